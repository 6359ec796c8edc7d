"""Which rows were shown by an owner that could not keep them any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.codec import join_row
from streams.valuing.served_gap import Kept, not_kept


def rows(*versions: int, term: int = 7) -> list[Kept]:
    return [Kept(b"main:0xa", join_row(term, version, b"{}")) for version in versions]


def test_what_stands_behind_the_last_row_in_both_is_missing() -> None:
    assert rows(4, 5) == not_kept(rows(1, 2, 3, 4, 5), rows(2, 3))


def test_a_row_that_was_kept_and_never_shown_leaves_nothing_missing() -> None:
    assert [] == not_kept(rows(1, 2), rows(1, 2, 3))


def test_ends_without_a_row_in_both_say_nothing() -> None:
    assert not_kept(rows(8, 9), rows(1, 2)) is None
    assert not_kept([], rows(1)) is None
    assert not_kept(rows(1), []) is None


def test_rows_of_one_version_under_two_terms_are_two() -> None:
    assert rows(2, term=8) == not_kept([*rows(1, 2), *rows(2, term=8)], rows(1, 2))


@given(st.integers(1, 50), st.data())
def test_whatever_ends_of_one_sequence_are_read_all_that_is_missing_is_found(count: int, data: st.DataObject) -> None:
    written = data.draw(st.integers(1, count))
    kept = data.draw(st.integers(1, count))
    shown_from, kept_from = data.draw(st.integers(1, written)), data.draw(st.integers(1, kept))
    missing = not_kept(rows(*range(shown_from, written + 1)), rows(*range(kept_from, kept + 1)))

    first = max(shown_from, kept_from)
    if first > min(written, kept):
        assert missing is None
    else:
        assert rows(*range(kept + 1, written + 1)) == missing
