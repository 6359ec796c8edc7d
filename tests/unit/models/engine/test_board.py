"""Which mark each market is valued at, and which markets are said to have moved."""

from __future__ import annotations

from models.engine.board import PriceSource, choose_mark
from models.prices import Mark, UsedMark


def _newest(event_ms: int, received_ms: int) -> Mark:
    return Mark(100, None, None, None, event_ms, received_ms, 9)


def test_the_first_source_that_is_fresh_is_chosen() -> None:
    first, second = _newest(1_000, 1_000), _newest(9_000, 9_000)

    assert UsedMark("b:X", 100, 9_000, 9, stale=False) == choose_mark(
        [(PriceSource(b"a:X", 50), first), (PriceSource(b"b:X", 50), second)], 9_050
    )
    assert UsedMark("a:X", 100, 1_000, 9, stale=False) == choose_mark(
        [(PriceSource(b"a:X", 8_050), first), (PriceSource(b"b:X", 50), second)], 9_050
    )


def test_the_newest_mark_is_used_as_stale_where_none_is_fresh() -> None:
    candidates = [
        (PriceSource(b"a:X", 5), None),
        (PriceSource(b"b:X", 5), _newest(1_000, 9_000)),
        (PriceSource(b"c:X", 5), _newest(2_000, 2_000)),
    ]

    assert UsedMark("c:X", 100, 2_000, 9, stale=True) == choose_mark(candidates, 99_000)
    assert choose_mark([(PriceSource(b"a:X", 5), None)], 1) is None
