from __future__ import annotations

from models.codec import encode_row
from models.engine.tables import VALUATIONS
from streams.kafka.feed import CurrentRows
from tests.support.fetched import Fetched

KEY, OTHER = b"main:a", b"main:b"
OLD, NEW, OF_A_LATER_OWNER = (encode_row(term, version, {}) for term, version in ((1, 1), (1, 2), (2, 1)))


def told() -> tuple[CurrentRows, list[list[bytes]]]:
    """Rows, and the keys that were told of them."""
    rows, changes = CurrentRows(VALUATIONS), list[list[bytes]]()
    rows.listen(lambda keys: changes.append(list(keys)))
    return rows, changes


def test_a_row_that_was_written_is_current_before_it_is_read_back() -> None:
    rows, changes = told()

    rows.take_written([(KEY, OLD), (OTHER, OLD), (KEY, NEW)])

    assert {KEY: NEW, OTHER: OLD} == rows.rows
    assert [[KEY, OTHER, KEY]] == changes


def test_a_row_of_before_that_is_read_back_late_replaces_nothing() -> None:
    rows, changes = told()
    rows.take_written([(KEY, NEW)])

    rows.take_in([[Fetched(KEY, OLD)]])

    assert {KEY: NEW} == rows.rows
    assert [[KEY]] == changes


def test_what_a_fenced_owner_has_written_late_is_not_current_for_itself_either() -> None:
    rows, changes = told()
    rows.take_in([[Fetched(KEY, OF_A_LATER_OWNER)]])

    rows.take_written([(KEY, NEW)])

    assert {KEY: OF_A_LATER_OWNER} == rows.rows
    assert [[KEY]] == changes
