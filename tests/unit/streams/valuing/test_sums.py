"""When subtotals are gone on with and for how long; what they come to is said in tests of models.engine.totals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from models.codec import decode_row, encode_body, encode_row, join_row
from models.engine.step import Served, Write
from models.engine.tables import SUBTOTALS, MemoryTables
from models.engine.totals import Totals
from models.served import totals_key
from streams.process.clock import SystemClock
from streams.valuing.sums import Sums

if TYPE_CHECKING:
    from streams.process.clock import Clock

ALICE, BOB = b"main:0xa", b"main:0xb"
KEY = b"symbol:main:1:3"


class FakeRows:
    """The subtotals in a dict."""

    def __init__(self, former: bytes | None = None) -> None:
        self.tables = MemoryTables()
        self.has_left = True
        self.served: list[Served] = []
        if former is not None:
            self.tables.put(Write(SUBTOTALS, KEY, 7, former))

    def put(self, partition: int, write: Write) -> None:
        assert (SUBTOTALS, 3) == (write.table, partition)
        self.tables.put(write)
        self.has_left = False

    def put_served(self, partition: int, served: Served) -> None:
        assert 3 == partition
        self.served.append(served)

    def flush(self) -> None:
        self.has_left = True

    def long_notional(self) -> str | None:
        """What was written and has left."""
        row = self.tables.read(SUBTOTALS, KEY)
        assert self.has_left
        return None if row is None else decode_row(row).body["long_notional"]


class TickingClock(SystemClock):
    """A clock that goes on by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.s = 100.0

    def monotonic_s(self) -> float:
        self.s += 0.001
        return self.s


class Accounts:
    """Valuations as they are written one in place of another, and noted."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._current: dict[bytes, bytes] = {}

    def value(self, key: bytes, notional: int) -> None:
        body = valuation(notional)
        self._totals.note(key, self._current.get(key), body)
        self._current[key] = encode_row(1, 1, body)


def valuation(notional: int) -> dict[str, Any]:
    position = {
        "quote": 1, "symbol": 1, "side": "long", "party_b": "0xb", "quantity": "1", "upnl": "0",
        "notional": str(notional),
    }  # fmt: skip
    return {"as_of_ms": 5_000, "positions": [position]}


def _never() -> None:
    pytest.fail("expected that all is known that is in the sums")


def made(
    former: bytes | None = None, clock: Clock | None = None, partitions: int = 1
) -> tuple[Sums, FakeRows, Accounts]:
    rows = FakeRows(former)
    totals = Totals(3, rows.tables, rows.tables.keys(SUBTOTALS), _never)
    sums = Sums(3, totals, rows, clock or SystemClock(), lambda: partitions)
    return sums, rows, Accounts(totals)


def write_now(sums: Sums) -> None:
    sums.due_s = 0.0
    sums.turn(math.inf)


def test_sums_are_written_when_they_are_due_and_not_waited_for_when_nothing_is_left() -> None:
    sums, rows, accounts = made()
    accounts.value(ALICE, 10)
    accounts.value(BOB, 5)
    assert sums.due_s == sums.next_turn_s
    write_now(sums)

    assert str(10 + 5) == rows.long_notional()
    assert sums.next_turn_s is None
    accounts.value(ALICE, 13)
    assert sums.due_s == sums.next_turn_s
    write_now(sums)
    assert str(13 + 5) == rows.long_notional()


def test_a_partitions_part_of_the_totals_is_kept_once_for_each_change() -> None:
    sums, rows, accounts = made()
    accounts.value(ALICE, 10)
    write_now(sums)
    write_now(sums)
    accounts.value(BOB, 5)
    write_now(sums)

    assert {totals_key("main")} == {one.key for one in rows.served}
    assert ["10", "15"] == [decode_row(join_row(1, 1, one.body)).body["notional"] for one in rows.served]


def test_a_turn_that_ends_before_the_round_leaves_it_due_and_the_next_one_goes_on() -> None:
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


def test_a_turn_before_the_sums_are_due_counts_and_writes_nothing() -> None:
    sums, rows, accounts = made()
    accounts.value(ALICE, 10)
    due_s = sums.due_s
    sums.turn(math.inf)
    assert (due_s, None) == (sums.due_s, rows.long_notional())
    accounts.value(ALICE, 20)
    accounts.value(ALICE, 40)
    assert due_s == sums.next_turn_s

    write_now(sums)
    assert "40" == rows.long_notional()


def test_sums_that_stand_for_nothing_are_zeroed_at_the_first_turn() -> None:
    sums, rows, _ = made(encode_body({"positions": 4, "long_notional": "9"}))

    assert sums.due_s == sums.next_turn_s
    write_now(sums)
    assert "0" == rows.long_notional()


def test_more_accounts_than_fit_are_counted_before_the_sums_are_due_and_written_then() -> None:
    sums, rows, accounts = made()
    write_now(sums)
    sums.due_s = math.inf
    for at in range(1_000):
        accounts.value(b"main:%d" % at, 1)
    next_turn_s = sums.next_turn_s
    assert next_turn_s is not None
    assert next_turn_s <= 0
    sums.turn(math.inf)

    assert math.inf == sums.next_turn_s
    assert rows.long_notional() is None
    write_now(sums)
    assert "1000" == rows.long_notional()


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_turn_takes_no_longer_than_it_may_and_all_rounds_no_more_than_a_tenth_of_the_time(
    partitions: int,
) -> None:
    clock = TickingClock()
    sums, _, accounts = made(clock=clock, partitions=partitions)
    for at in range(200):
        accounts.value(b"main:%d" % at, 1)
    sums.due_s = first_due_s = clock.s
    turns, began_s = 0, clock.s
    while first_due_s == sums.due_s:
        began_s = clock.s
        sums.turn(0.010)
        turns += 1
        # The clock is read once to begin, once at each account or sum, and once to end.
        assert clock.s - began_s <= 0.010 + 3 * 0.001

    # 200 accounts and 2 sums are counted and written at one a millisecond, and 10 times as long a time passes until the
    # next: as much as a worker has who does the same for each of its partitions.
    assert 20 <= turns <= 25
    assert 0.202 / 0.1 <= (sums.due_s - began_s) / partitions <= 0.250 / 0.1
