from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from models.codec import decode_row, encode_body, encode_row, join_row
from streams.sums import Sums
from streams.topics import SUBTOTALS, VALUATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE, BOB = b"main:0xa", b"main:0xb"
KEY = b"symbol:main:1:3"


class FakeRows:
    """The two tables in dicts."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {VALUATIONS: {}, SUBTOTALS: {}}
        self.decoded = 0

    def get(self, table: str, partition: int, key: bytes) -> bytes | None:
        assert partition == 3
        return self.tables[table].get(key)

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        assert partition == 3
        return iter(list(self.tables[table].items()))

    def write_if_changed(self, table: str, partition: int, key: bytes, standing: bytes | None, body: bytes) -> bool:
        assert partition == 3
        self.tables[table][key] = join_row(1, 1, body)
        return standing is None or standing[16:] != body

    def flush(self) -> None:
        """Everything leaves at once."""

    def value(self, key: bytes, notional: int) -> bytes | None:
        before = self.tables[VALUATIONS].get(key)
        self.tables[VALUATIONS][key] = encode_row(1, 1, valuation(notional))
        return before

    def long_notional(self) -> str | None:
        row = self.tables[SUBTOTALS].get(KEY)
        return None if row is None else decode_row(row).body["long_notional"]


def valuation(notional: int) -> dict[str, Any]:
    position = {
        "quote": 1, "symbol": 1, "side": "long", "party_b": "0xb", "quantity": "1", "upnl": "0",
        "notional": str(notional),
    }  # fmt: skip
    return {"as_of_ms": 5_000, "positions": [position]}


def made(standing: dict[bytes, bytes] | None = None) -> tuple[Sums, FakeRows]:
    rows = FakeRows()
    rows.tables[SUBTOTALS] |= standing or {}
    return Sums(3, rows), rows  # type: ignore[arg-type]


def write_now(sums: Sums) -> None:
    sums.due_s = 0.0
    sums.turn(math.inf)


def test_an_account_written_many_times_is_counted_once_by_what_stands() -> None:
    sums, rows = made()
    sums.note(ALICE, None)
    rows.value(ALICE, 10)
    sums.note(BOB, None)
    rows.value(BOB, 5)
    write_now(sums)
    for notional in (11, 12, 13):
        sums.note(ALICE, rows.value(ALICE, notional))
    assert sums.is_waiting

    write_now(sums)
    assert str(13 + 5) == rows.long_notional()
    assert not sums.is_waiting


def test_an_account_written_while_others_are_counted_is_counted_right_whether_its_turn_has_been_or_not() -> None:
    sums, rows = made()
    for key in (ALICE, BOB):
        sums.note(key, None)
        rows.value(key, 10)
    sums.due_s = 0.0
    sums.turn(-math.inf)
    assert 0.0 == sums.due_s
    sums.note(ALICE, rows.value(ALICE, 20))
    sums.turn(math.inf)
    assert 0.0 < sums.due_s
    assert str(20 + 10) == rows.long_notional()
    sums.note(BOB, rows.value(BOB, 30))

    write_now(sums)
    assert str(20 + 30) == rows.long_notional()


def test_sums_that_stand_for_nothing_are_zeroed_at_the_first_turn() -> None:
    sums, rows = made({KEY: join_row(0, 7, encode_body({"positions": 4, "long_notional": "9"}))})

    assert sums.is_waiting
    write_now(sums)
    assert "0" == rows.long_notional()


def test_more_accounts_than_fit_are_counted_before_the_sums_are_due_and_written_then() -> None:
    sums, rows = made()
    write_now(sums)
    sums.due_s = math.inf
    for at in range(1_000):
        sums.note(b"main:%d" % at, rows.value(b"main:%d" % at, 1))
    assert sums.is_due(0)
    sums.turn(math.inf)

    assert not sums.is_due(0)
    assert sums.is_waiting
    assert rows.long_notional() is None
    write_now(sums)
    assert "1000" == rows.long_notional()
