from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from models.codec import decode_row, encode_body, encode_row, join_row
from streams.kafka.topics import SUBTOTALS
from streams.process.clock import SystemClock
from streams.valuing.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE, BOB = b"main:0xa", b"main:0xb"
KEY = b"symbol:main:1:3"


class FakeRows:
    """The subtotals in a dict."""

    def __init__(self, standing: dict[bytes, bytes]) -> None:
        self.sums = standing

    def get(self, table: str, partition: int, key: bytes) -> bytes | None:
        assert (SUBTOTALS, 3) == (table, partition)
        return self.sums.get(key)

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        assert (SUBTOTALS, 3) == (table, partition)
        return iter(list(self.sums.items()))

    def write_if_changed(self, table: str, partition: int, key: bytes, standing: bytes | None, body: bytes) -> bool:
        assert (SUBTOTALS, 3) == (table, partition)
        self.sums[key] = join_row(1, 1, body)
        return standing is None or standing[16:] != body

    def flush(self) -> None:
        """Everything leaves at once."""

    def long_notional(self) -> str | None:
        row = self.sums.get(KEY)
        return None if row is None else decode_row(row).body["long_notional"]


class Accounts:
    """Valuations as they are written one in place of another, and noted."""

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self._standing: dict[bytes, bytes] = {}

    def value(self, key: bytes, notional: int) -> None:
        body = valuation(notional)
        self._sums.note(key, self._standing.get(key), body)
        self._standing[key] = encode_row(1, 1, body)


def valuation(notional: int) -> dict[str, Any]:
    position = {
        "quote": 1, "symbol": 1, "side": "long", "party_b": "0xb", "quantity": "1", "upnl": "0",
        "notional": str(notional),
    }  # fmt: skip
    return {"as_of_ms": 5_000, "positions": [position]}


def made(standing: dict[bytes, bytes] | None = None) -> tuple[Sums, FakeRows, Accounts]:
    rows = FakeRows(standing or {})
    sums = Sums(3, rows, SystemClock())  # type: ignore[arg-type]
    return sums, rows, Accounts(sums)


def write_now(sums: Sums) -> None:
    sums.due_s = 0.0
    sums.turn(math.inf)


def test_an_account_written_many_times_is_counted_once_by_what_stands() -> None:
    sums, rows, accounts = made()
    accounts.value(ALICE, 10)
    accounts.value(BOB, 5)
    write_now(sums)
    for notional in (11, 12, 13):
        accounts.value(ALICE, notional)
    assert sums.is_waiting

    write_now(sums)
    assert str(13 + 5) == rows.long_notional()
    assert not sums.is_waiting


def test_an_account_written_while_others_are_counted_is_counted_right_whether_its_turn_has_been_or_not() -> None:
    sums, rows, accounts = made()
    for key in (ALICE, BOB):
        accounts.value(key, 10)
    sums.due_s = 0.0
    sums.turn(-math.inf)
    assert 0.0 == sums.due_s
    accounts.value(ALICE, 20)
    sums.turn(math.inf)
    assert 0.0 < sums.due_s
    assert str(20 + 10) == rows.long_notional()
    accounts.value(BOB, 30)

    write_now(sums)
    assert str(20 + 30) == rows.long_notional()


def test_an_account_that_was_counted_in_a_round_and_written_again_is_counted_anew_in_the_next() -> None:
    sums, rows, accounts = made()
    accounts.value(ALICE, 10)
    sums.turn(math.inf)
    accounts.value(ALICE, 20)
    accounts.value(ALICE, 40)
    assert sums.is_waiting

    write_now(sums)
    assert "40" == rows.long_notional()


def test_sums_that_stand_for_nothing_are_zeroed_at_the_first_turn() -> None:
    sums, rows, _ = made({KEY: join_row(0, 7, encode_body({"positions": 4, "long_notional": "9"}))})

    assert sums.is_waiting
    write_now(sums)
    assert "0" == rows.long_notional()


def test_more_accounts_than_fit_are_counted_before_the_sums_are_due_and_written_then() -> None:
    sums, rows, accounts = made()
    write_now(sums)
    sums.due_s = math.inf
    for at in range(1_000):
        accounts.value(b"main:%d" % at, 1)
    assert sums.is_due(0)
    sums.turn(math.inf)

    assert not sums.is_due(0)
    assert sums.is_waiting
    assert rows.long_notional() is None
    write_now(sums)
    assert "1000" == rows.long_notional()
