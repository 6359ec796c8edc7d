"""Rows of accounts of venues that are folded directly: one beginning, and errors that say what stands there instead."""

from __future__ import annotations

import msgspec
import pytest

from models.account_rows import AccountColumns, AccountRows
from models.codec import join_row
from models.errors import BadRow
from models.flash.flash_account import NEW as NO_BASKET
from models.flash.flash_venue import FLASH
from models.ledger.ledger_account import NEW as NO_HOLDINGS
from models.ledger.ledger_venue import LEDGER


class Columns(AccountColumns):
    """Of a venue that keeps one number."""

    number: int


ROWS = AccountRows("numbers", 3, Columns)


def row(**columns: object) -> bytes:
    return join_row(7, 9, msgspec.json.encode(columns))


def test_a_row_is_read_as_it_was_written_and_begins_with_venue_schema_and_the_last_record() -> None:
    body = ROWS.write(Columns("numbers", 3, (5, -1), 12))
    assert body == b'{"venue":"numbers","schema":3,"applied":[5,-1],"number":12}'
    assert ROWS.read(join_row(7, 9, body)) == Columns("numbers", 3, (5, -1), 12)


@pytest.mark.parametrize(
    "columns",
    [
        {"venue": "numbers", "schema": 4, "applied": [5, -1], "number": 12},
        {"venue": "numbers", "schema": 4, "applied": [5, -1], "words": "that schema 3 has not"},
        {"venue": "letters", "schema": 3},
    ],
)
def test_a_row_of_another_venue_or_schema_is_named_as_such_whether_its_columns_can_be_read_or_not(
    columns: dict[str, object],
) -> None:
    with pytest.raises(BadRow, match=f"expected schema 3 of numbers, found {columns['schema']} of {columns['venue']}"):
        ROWS.read(row(**columns))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"short",
        join_row(7, 9, b""),
        join_row(7, 9, b"null"),
        join_row(7, 9, b'{"venue":"\xff"}'),
        join_row(7, 9, b'{"words":' + b"[" * 5_000),
        row(venue="numbers", schema=3, applied=[5, -1]),
    ],
)
def test_what_is_no_row_is_shown(value: bytes) -> None:
    with pytest.raises(BadRow, match="expected a row of a numbers account, found"):
        ROWS.read(value)


def test_the_rows_of_venues_that_are_built_in_begin_alike() -> None:
    for kind, body in (("flash", FLASH.write(NO_BASKET)), ("ledger", LEDGER.write(NO_HOLDINGS))):
        assert body.startswith(b'{"venue":"%b","schema":1,"applied":[-1,-1],' % kind.encode())
