"""Which accounts of a partition are valued next, how urgently, and the rows that come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.codec import decode_order, decode_row, encode_row, join_row
from models.engine.board import InputBoard, PriceSource
from models.engine.deployment import Venues
from models.engine.step import Write
from models.engine.tables import ACCOUNTS, ALERTS, SUBTOTALS, VALUATIONS
from models.engine.valuing import Valuing
from models.money import E18
from models.prices import Mark
from models.symmio.account import encode_account
from models.symmio.holding import decode_holding
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark
from tests.support.dict_rows import DictRows
from tests.support.symmio import account_with_one_long

if TYPE_CHECKING:
    from models.symmio.account import AccountRow

ALICE, BOB, OTHER = b"main:0xa", b"main:0xb", b"other:0xa"
BTC, ETH = ("main", 1), ("main", 2)
SOURCE = PriceSource(b"venue:BTC", 10_000)
NEARLY_LIQUIDATABLE = 85 * E18
"""Of it 70 is locked, and each unit of the price is worth 10: from 98.5 down the account can be liquidated."""


class World:
    """One partition whose accounts are long 10 from 100 of a market that is at 100; they are written and valued."""

    def __init__(self, *keys: bytes, deadband: float = 1.0, allocated: int = 1_000 * E18) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.watermarks: dict[str, DeploymentWatermark] = {}
        self.touched = 0
        self.now_s = 0.0
        self._deadband = deadband
        self._now_ms = 1_000
        self._marks: dict[bytes, Mark] = {}
        self.board = InputBoard(self._marks.get)
        for market in (BTC, ("other", 1)):
            self.board.put_market(market, [SOURCE])
        self._tick(100)
        self.board.choose_all(self._now_ms)
        self.valuing = self._new()
        for key in keys:
            self.fold(key, account_with_one_long(allocated))
        self.valuing.move_all()
        self.value_all()
        self.touched = 0

    def take_over(self) -> None:
        """Another worker goes on from the rows, and looks at all accounts."""
        self.valuing = self._new()
        for (table, key), row in self.rows.items():
            if table == ACCOUNTS:
                self.valuing.restore(key, decode_holding(row, decode_order(row)[1]))
            if table == ALERTS:
                self.valuing.alarms.restore(key, row)
        self.valuing.move_all()

    def fold(self, key: bytes, row: AccountRow, term: int = 1) -> None:
        self.rows[ACCOUNTS, key] = encode_row(term, row.version, encode_account(row))
        self.valuing.put(key, row.holding)

    def move(self, price: float) -> None:
        self._now_ms += 1
        self._tick(price)
        self.valuing.move(self.board.choose_all(self._now_ms))

    def grow_stale(self) -> None:
        self._now_ms += SOURCE.max_age_ms + 1
        self.valuing.move(self.board.choose_all(self._now_ms))

    def urgent(self) -> set[bytes]:
        self.now_s += 1.0
        return self.valuing.take_urgent(self.now_s)

    def value(self, key: bytes, *, is_urgent: bool = True) -> Write | None:
        """Value an account and write the row."""
        write = self.valuing.value(key, self._now_ms, is_urgent=is_urgent)
        if write is not None:
            self.rows[write.table, write.key] = join_row(1, write.version, write.body)
        return write

    def value_all(self) -> list[bytes]:
        """Value whatever is to be, transitions at once acknowledged; the accounts whose valuation is another."""
        changed = []
        while keys := self.urgent() | set(self.valuing.deferred):
            self.valuing.deferred.clear()
            for key in sorted(keys):
                write = self.value(key)
                if write is not None and write.table == ALERTS:
                    self.valuing.acknowledged(key, is_urgent=True)
                elif write is not None:
                    changed.append(key)
        return changed

    def body(self, key: bytes = ALICE) -> dict[str, Any]:
        return decode_row(self.rows[VALUATIONS, key]).body

    def version(self, key: bytes = ALICE) -> int:
        return decode_row(self.rows[VALUATIONS, key]).version

    def mark(self, key: bytes = ALICE) -> int:
        return int(self.body(key)["positions"][0]["mark"]) // E18

    def summed(self) -> list[str]:
        """Sums that a round writes."""
        return [write.key.decode() for write in self.valuing.totals.round(0, is_due=True) if isinstance(write, Write)]

    def _new(self) -> Valuing:
        sums = [key for table, key in self.rows if table == SUBTOTALS]
        valuing = Valuing(
            0,
            DictRows(self.rows),
            venues=Venues({}, SYMMIO),
            board=self.board,
            watermark_of=lambda deployment: self.watermarks.get(deployment, DeploymentWatermark()),
            deadband=self._deadband,
            sums=sums,
        )
        valuing.listen(self._hear)
        return valuing

    def _hear(self) -> None:
        self.touched += 1

    def _tick(self, price: float) -> None:
        mark_e18 = round(price * 1_000) * E18 // 1_000
        self._marks[SOURCE.key] = Mark(mark_e18, None, None, None, self._now_ms, self._now_ms, self._now_ms)


def richer(row: AccountRow, allocated: int) -> AccountRow:
    balances = msgspec.structs.replace(row.state.balances, allocated=allocated)
    state = msgspec.structs.replace(row.state, balances=balances)
    return msgspec.structs.replace(row, version=row.version + 1, state=state)


def test_an_account_that_was_folded_is_urgent_and_its_row_has_the_next_version() -> None:
    world = World(ALICE)
    assert (1, str(1_000 * E18)) == (world.version(), world.body()["allocated"])
    world.fold(ALICE, richer(account_with_one_long(1_000 * E18), 5_000 * E18))

    assert world.touched
    assert {ALICE} == world.urgent()
    assert set() == world.urgent()
    world.value(ALICE)
    assert (2, str(5_000 * E18)) == (world.version(), world.body()["allocated"])


def test_a_row_that_is_as_it_was_is_not_written() -> None:
    world = World(ALICE)

    assert world.value(ALICE) is None
    assert 1 == world.version()


def test_an_account_without_a_row_is_not_valued() -> None:
    world = World(ALICE)
    del world.rows[ACCOUNTS, ALICE]
    world.valuing.restated(ALICE)

    assert {ALICE} == world.urgent()
    assert world.value(ALICE) is None


def test_a_row_that_was_written_again_under_another_term_is_named_by_its_valuation() -> None:
    world = World(ALICE)
    assert [1, 1] == world.body()["account_order"]
    row = world.rows[ACCOUNTS, ALICE]
    world.rows[ACCOUNTS, ALICE] = join_row(9, decode_order(row)[1], row[16:])
    world.valuing.restated(ALICE)

    assert [ALICE] == world.value_all()
    assert [9, 1] == world.body()["account_order"]


def test_a_move_within_the_deadband_makes_only_watched_accounts_urgent() -> None:
    world = World(ALICE, BOB)
    world.valuing.watch(ALICE)
    assert 0 == world.touched
    world.move(101)

    assert 1 == world.touched
    assert ({ALICE}, False) == (world.urgent(), world.valuing.is_behind)


def test_a_move_beyond_the_deadband_lets_an_account_wait_for_its_turn() -> None:
    world = World(ALICE, BOB, deadband=0.01)
    world.valuing.watch(ALICE)
    world.move(103)

    assert ({ALICE}, [BOB], True) == (world.urgent(), list(world.valuing.deferred), world.valuing.is_behind)


def test_an_account_that_may_have_become_liquidatable_or_recovered_is_urgent() -> None:
    world = World(ALICE, allocated=NEARLY_LIQUIDATABLE)
    for price in (98, 99):
        world.move(price)
        assert {ALICE} == world.urgent()
        world.valuing.touch((ALICE,))
        world.value_all()


def test_an_account_that_is_watched_from_now_on_is_urgent_where_its_row_is_out_of_date() -> None:
    world = World(ALICE, BOB)
    world.valuing.watch(ALICE)
    assert set() == world.urgent()
    world.move(101)
    assert {ALICE} == world.urgent()
    world.valuing.watch(BOB)

    assert {BOB} == world.urgent()


def test_an_account_that_nobody_watches_any_more_moves_within_the_deadband_unseen() -> None:
    world = World(ALICE)
    world.valuing.watch(ALICE)
    world.valuing.unwatch(ALICE)
    world.move(101)

    assert (set(), False) == (world.urgent(), world.valuing.is_behind)


def test_markets_that_nobody_holds_touch_nobody() -> None:
    world = World(ALICE)
    world.valuing.move([ETH, ("other", 2)])
    assert 0 == world.touched

    world.valuing.move([ETH, BTC])
    assert 1 == world.touched


def test_a_deployment_is_touched_apart_from_those_whose_names_begin_as_its_own() -> None:
    world = World(ALICE, BOB, OTHER, b"mainly:0xa")
    world.valuing.touch_deployment("main")

    assert {ALICE, BOB} == world.urgent()
    assert 4 == world.valuing.accounts


def test_a_look_lets_accounts_wait_for_their_turn_that_have_moved_since_before_a_time() -> None:
    world = World(ALICE, OTHER)
    world.board.put_market(("other", 1), [])
    world.valuing.move(world.board.choose([("other", 1)], 1_000))
    world.value_all()
    world.move(101)
    world.urgent()
    moved_s = world.now_s
    assert 2.0 == world.valuing.oldest_s(moved_s + 2.0)

    world.valuing.look(moved_s)
    assert [] == list(world.valuing.deferred)
    world.valuing.look(moved_s + 0.5)
    assert [ALICE] == list(world.valuing.deferred)
    assert [ALICE] == world.value_all()
    assert 0.0 == world.valuing.oldest_s(world.now_s)


def test_those_that_wait_and_should_not_any_longer_are_pressed() -> None:
    world = World(ALICE, BOB, deadband=0.01)
    world.move(103)
    assert set() == world.urgent()
    assert {ALICE, BOB} == set(world.valuing.deferred)
    world.valuing.press()
    assert set() == world.urgent()

    # Nobody is told of an account twice: only a look at all finds what happens to one that waits.
    world.move(5)
    assert set() == world.urgent()
    world.valuing.press()
    assert {ALICE, BOB} == world.urgent()


def test_a_mark_that_grows_stale_concerns_accounts_though_its_price_is_the_same() -> None:
    world = World(ALICE, BOB)
    world.valuing.watch(ALICE)
    world.grow_stale()
    assert {ALICE} == world.urgent()
    world.valuing.look(world.now_s + 1.0)

    assert [BOB] == list(world.valuing.deferred)
    world.valuing.touch((ALICE,))
    assert {ALICE, BOB} == set(world.value_all())
    assert [1, 1] == [world.body(key)["stale"] for key in (ALICE, BOB)]


def test_a_valuation_that_shows_a_transition_waits_until_that_is_acknowledged() -> None:
    world = World(ALICE, allocated=NEARLY_LIQUIDATABLE)
    world.move(98)
    assert {ALICE} == world.urgent()
    transition = world.value(ALICE)

    assert transition is not None
    assert (ALERTS, ALICE, 100) == (transition.table, transition.key, world.mark())
    world.move(97)
    world.urgent()
    assert (None, 100) == (world.value(ALICE), world.mark())
    world.touched = 0
    world.valuing.acknowledged(ALICE, is_urgent=True)
    assert world.touched
    assert {ALICE} == world.urgent()
    world.value(ALICE)
    assert (97, True) == (world.mark(), world.body()["liquidatable"])


def test_who_could_wait_before_a_transition_can_wait_after_it_unless_somebody_watches_by_then() -> None:
    world = World(ALICE, BOB)
    world.grow_stale()
    world.urgent()
    for key in (ALICE, BOB):
        write = world.value(key, is_urgent=False)
        assert write is not None
        assert ALERTS == write.table
    world.valuing.watch(BOB)
    world.urgent()
    for key in (ALICE, BOB):
        world.valuing.acknowledged(key, is_urgent=False)

    assert ({BOB}, [ALICE]) == (world.urgent(), list(world.valuing.deferred))


def test_an_account_that_loses_its_price_keeps_the_last_complete_figures() -> None:
    world = World(ALICE)
    upnl = world.body()["upnl"]
    world.board.put_market(BTC, [])
    world.valuing.move(world.board.choose([BTC], 2_000))
    assert [ALICE] == world.value_all()
    assert ("unpriced", None, upnl) == (
        world.body()["status"], world.body()["upnl"], world.body()["last_complete"]["upnl"],
    )  # fmt: skip

    world.board.put_market(BTC, [SOURCE])
    world.valuing.move(world.board.choose([BTC], 2_000))
    assert [ALICE] == world.value_all()
    assert ("valued", upnl, None) == (world.body()["status"], world.body()["upnl"], world.body()["last_complete"])


def test_accounts_of_an_unsupported_deployment_are_unknown() -> None:
    world = World(ALICE, OTHER)
    world.watermarks["main"] = DeploymentWatermark(unsupported_since=40, reason="an unknown log")
    world.valuing.touch_deployment("main")

    assert [ALICE] == world.value_all()
    assert ("unsupported", "valued") == (world.body()["status"], world.body(OTHER)["status"])


def test_sums_are_of_each_account_once_and_follow_the_rows_that_changed() -> None:
    world = World(ALICE, BOB)
    assert 2 == len(world.summed())
    assert [] == world.summed()
    world.value(ALICE)
    assert not world.valuing.totals.is_waiting
    world.valuing.watch(ALICE)
    world.move(101)
    world.value_all()

    assert 2 == len(world.summed())


def test_after_a_takeover_rows_that_are_as_they_were_are_counted_all_the_same() -> None:
    world = World(ALICE, BOB)
    world.take_over()
    assert world.touched
    assert set() == world.urgent()
    world.valuing.look(-1e9)
    assert {ALICE, BOB} == set(world.valuing.deferred)
    assert [] == world.value_all()

    (hedger, symbol) = sorted(world.summed())
    assert (True, "symbol:main:1:0") == (hedger.startswith("hedger:main:0x"), symbol)
    assert [] == world.summed()


def test_sums_of_positions_that_are_no_more_are_zeroed_after_a_takeover() -> None:
    world = World(ALICE)
    world.rows[SUBTOTALS, b"symbol:main:9:0"] = encode_row(1, 4, {"positions": 1})
    world.take_over()

    assert ["symbol:main:9:0"] == world.summed()


def test_a_worker_that_takes_over_makes_no_transition_that_is_on_record() -> None:
    world = World(ALICE, allocated=NEARLY_LIQUIDATABLE)
    world.move(98)
    world.value_all()
    alerts = world.rows[ALERTS, ALICE]
    world.take_over()
    world.valuing.look(0.0)
    world.value_all()

    assert alerts == world.rows[ALERTS, ALICE]
