"""The numbered events of a statement: which are kept, and what a reader learns who missed some."""

from __future__ import annotations

import pytest

from models.codec import encode_row
from models.errors import BadRow
from models.statements import (
    EVENTS_KEPT,
    Statement,
    decode_statement,
    encode_statement,
    next_statement,
)

NEVER = (-1, -1)


def _after(before: Statement | None, known: tuple[int, int], first: int, count: int) -> Statement:
    happened = [((first + at, -1), {"what": first + at}) for at in range(count)]
    return next_statement(before, known, (first + count - 1, -1), {"cash": "1"}, happened)


def test_the_events_of_a_write_are_all_there_however_many_they_are() -> None:
    statement = _after(_after(None, NEVER, 0, 10), (9, -1), 10, 1_000)

    assert list(range(11, 1_011)) == [event.number for event in statement.events]


def test_a_small_write_keeps_the_last_events_before_it() -> None:
    statement = _after(_after(None, NEVER, 0, 1_000), (999, -1), 1_000, 1)

    assert EVENTS_KEPT == len(statement.events)
    assert 1_001 == statement.last_number


def test_what_is_delivered_again_gets_the_numbers_that_it_had() -> None:
    first = _after(_after(None, NEVER, 0, 5), (4, -1), 5, 400)
    again = _after(first, (4, -1), 5, 3)

    assert [6, 7, 8] == [event.number for event in again.events[-3:]]
    assert _after(again, (7, -1), 8, 397).events[-1] == first.events[-1]


def test_a_reader_who_missed_more_than_a_row_has_is_told_so() -> None:
    statement = _after(_after(None, NEVER, 0, 1_000), (999, -1), 1_000, 1)

    assert [1_001] == [event.number for event in statement.events_after(1_000) or ()]
    assert [] == statement.events_after(1_001)
    assert statement.events_after(1_001 - EVENTS_KEPT) is not None
    assert None is statement.events_after(1_000 - EVENTS_KEPT)


def test_events_that_do_not_fit_into_a_record_leave_the_oldest_out() -> None:
    happened = [((at, -1), {"text": "x" * 100_000}) for at in range(9)]
    statement = next_statement(None, NEVER, (8, -1), {}, happened)

    assert [7, 8, 9] == [event.number for event in statement.events]


def test_a_row_is_read_as_it_was_written() -> None:
    statement = _after(None, NEVER, 0, 3)

    assert statement == decode_statement(encode_row(1, 1, encode_statement(statement)))
    for body in (
        {},
        {"position": 5, "statement": {}, "events": []},
        {"position": [1, 2], "statement": {}, "events": [1]},
        {"position": [1, 2], "statement": {}, "events": [["7", 1, 0, {}]]},
        {"position": [1, 2], "statement": {}, "events": [[7, None, 0, {}]]},
    ):
        with pytest.raises(BadRow, match="expected a row of statements"):
            decode_statement(encode_row(1, 1, body))


def test_a_statement_that_is_made_anew_tells_every_reader_that_he_missed_some() -> None:
    told = _after(None, NEVER, 0, 7).last_number
    anew = next_statement(None, (6, -1), (7, -1), {}, [((7, -1), {"what": 7})], first=8_000_000)

    assert None is anew.events_after(told)
    assert [{"what": 8}] == [event.body for event in _after(anew, (7, -1), 8, 1).events_after(anew.last_number) or ()]
