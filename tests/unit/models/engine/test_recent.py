from __future__ import annotations

from models.engine.recent import Recent


def test_the_values_that_were_put_last_are_kept() -> None:
    recent: Recent[int] = Recent(2)
    for at, key in enumerate((b"a", b"b", b"a", b"c")):
        recent.put(key, at)

    assert [2, None, 3] == [recent.get(key) for key in (b"a", b"b", b"c")]


def test_a_value_that_was_dropped_is_not_kept_and_leaves_its_place() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(b"a", 1)
    recent.put(b"b", 2)
    recent.drop(b"a")
    recent.drop(b"z")
    recent.put(b"c", 3)

    assert [None, 2, 3] == [recent.get(key) for key in (b"a", b"b", b"c")]
