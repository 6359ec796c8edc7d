"""Subtotals are those of the rows that were written last, each account counted once a round."""

from __future__ import annotations

from typing import Any

from models.codec import decode_order, decode_row, encode_body, encode_row
from models.engine.step import Write
from models.engine.tables import SUBTOTALS, MemoryTables
from models.engine.totals import Totals

ALICE, BOB = b"main:0xa", b"main:0xb"
KEY = b"symbol:main:1:3"


def valuation(notional: int) -> dict[str, Any]:
    position = {
        "quote": 1, "symbol": 1, "side": "long", "party_b": "0xb", "quantity": "1", "upnl": "0",
        "notional": str(notional),
    }  # fmt: skip
    return {"as_of_ms": 5_000, "positions": [position]}


class World:
    """Totals of partition 3, and valuations that replace one another and are noted."""

    def __init__(self, former: bytes | None = None) -> None:
        self.tables = MemoryTables()
        if former is not None:
            self.tables.put(Write(SUBTOTALS, KEY, 7, former))
        self.lost = 0
        self.totals = Totals(3, self.tables, self.tables.keys(SUBTOTALS), self._lose)
        self._current: dict[bytes, bytes] = {}

    def _lose(self) -> None:
        self.lost += 1

    def value(self, key: bytes, notional: int) -> None:
        body = valuation(notional)
        self.totals.note(key, self._current.get(key), body)
        self._current[key] = encode_row(1, 1, body)

    def round(self, *, is_due: bool = True) -> list[bytes]:
        """Finish the round; the keys of the sums that it wrote."""
        written = []
        for write in self.totals.round(0, is_due=is_due):
            if isinstance(write, Write):
                self.tables.put(write)
                written.append(write.key)
        return written

    def long_notional(self) -> str | None:
        row = self.tables.read(SUBTOTALS, KEY)
        return None if row is None else decode_row(row).body["long_notional"]


def test_an_account_written_many_times_is_counted_once_by_what_stands() -> None:
    world = World()
    world.value(ALICE, 10)
    world.value(BOB, 5)
    world.round()
    for notional in (11, 12, 13):
        world.value(ALICE, notional)
    assert world.totals.is_waiting

    world.round()
    assert str(13 + 5) == world.long_notional()
    assert not world.totals.is_waiting


def test_an_account_written_while_others_are_counted_is_counted_right_whether_its_turn_has_been_or_not() -> None:
    for key in (ALICE, BOB):
        world = World()
        world.value(ALICE, 10)
        world.value(BOB, 10)
        assert None is next(world.totals.round(0, is_due=True))
        world.value(key, 20)
        world.round()
        world.round()

        assert str(20 + 10) == world.long_notional()


def test_a_round_that_was_left_while_it_wrote_goes_on_with_the_sums_that_are_left() -> None:
    world = World()
    world.value(ALICE, 10)
    first = next(write for write in world.totals.round(0, is_due=True) if isinstance(write, Write))
    world.tables.put(first)
    world.value(ALICE, 20)
    rest = world.round()

    assert (2, 2) == (len({first.key, *rest}), len([first.key, *rest]))
    assert world.totals.is_waiting
    world.round()
    assert "20" == world.long_notional()


def test_an_account_that_was_counted_in_a_round_and_written_again_is_counted_anew_in_the_next() -> None:
    world = World()
    world.value(ALICE, 10)
    world.round(is_due=False)
    world.value(ALICE, 20)
    world.value(ALICE, 40)
    assert world.totals.is_waiting

    world.round()
    assert "40" == world.long_notional()


def test_sums_of_positions_that_are_no_more_are_zeroed_in_the_first_round_that_writes() -> None:
    world = World(encode_body({"positions": 4, "long_notional": "9"}))

    assert world.totals.is_waiting
    assert [] == world.round(is_due=False)
    assert world.totals.is_waiting
    assert [KEY] == world.round()
    assert "0" == world.long_notional()
    assert not world.totals.is_waiting


def test_more_accounts_than_fit_are_counted_before_the_sums_are_due_and_written_then() -> None:
    world = World()
    world.round()
    for at in range(999):
        world.value(b"main:%d" % at, 1)
    assert not world.totals.is_full
    world.value(ALICE, 1)
    assert world.totals.is_full

    assert [] == world.round(is_due=False)
    assert not world.totals.is_full
    assert world.totals.is_waiting
    assert world.long_notional() is None
    world.round()
    assert "1000" == world.long_notional()


def test_a_sum_that_is_as_it_was_is_not_written_again_and_one_that_changed_has_the_next_version() -> None:
    world = World()
    world.value(ALICE, 10)
    assert KEY in world.round()
    world.value(ALICE, 12)
    world.value(ALICE, 10)
    assert [] == world.round()
    world.value(ALICE, 11)
    assert KEY in world.round()

    row = world.tables.read(SUBTOTALS, KEY)
    assert row is not None
    assert 2 == decode_order(row)[1]
