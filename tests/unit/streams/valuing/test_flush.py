"""Which accounts' rows are written when: watched ones at once, others by how far they moved and how old they are."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from models.codec import decode_row, encode_row, join_row
from models.engine.board import InputBoard, PriceSource
from models.engine.pace import Pace
from models.engine.tables import ACCOUNTS, ALERTS, SUBTOTALS, VALUATIONS
from models.freshness import SETTLE_MS
from models.money import E18
from models.prices import Mark
from models.symmio.account import decode_account, encode_account
from streams.kafka.partitions import partition_of
from streams.process.clock import SystemClock
from streams.settings import Settings, TopicSettings, WorkerSettings
from streams.transport.tables import UNCHARGED
from streams.transport.terms import Terms
from streams.valuing.engines import Engines
from streams.valuing.flush import Flush
from tests.support.eventually import eventually
from tests.support.pacing import Even
from tests.support.symmio import account_with_one_long

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from models.engine.board import MarketId
    from models.engine.step import Served, Write
    from models.engine.stored_rows import StoredRows
    from models.errors import BadRow
    from models.symmio.account import AccountRow
    from streams.transport.publisher import Charge

PARTITIONS = 1
NEVER_S = 1e9
BTC = ("main", 1)
BINANCE = PriceSource(b"binance:BTC", 10_000)


class FakeRows:
    """Tables in dicts; nothing is on its way unless the test says so, but for alerts while ``held`` is a list."""

    partitions = PARTITIONS
    unsent = 0

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {
            name: {} for name in (ACCOUNTS, VALUATIONS, SUBTOTALS, ALERTS, "watermarks", "position-states")
        }
        self.held: list[Charge] | None = None
        self.written = 0
        self.unacked = 0
        self.is_draining = False
        self.drained = asyncio.Event()

    def of_partition(self, partition: int) -> StoredRows:
        assert partition == 0
        return self

    def read(self, table: str, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def note_unreadable(self, table: str, key: bytes, row: bytes, cause: BadRow) -> None:
        msg = f"expected rows that can be read, found {table} {key!r} {row!r}"
        raise AssertionError(msg) from cause

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        assert partition == 0
        return iter(list(self.tables[table].items()))

    def put(self, partition: int, write: Write, charge: Charge = UNCHARGED) -> None:
        assert partition == 0
        self.tables[write.table][write.key] = join_row(1, write.version, write.body)
        self.written += write.table == VALUATIONS
        charge.opened()
        if self.held is None or write.table != ALERTS:
            charge.acked(1)
        else:
            self.held.append(charge)

    def put_shown(self, partition: int, write: Write) -> None:
        self.put(partition, write)

    def put_served(self, partition: int, served: Served) -> None:
        """What is kept of the totals is read by nobody here."""

    def flush(self) -> None:
        """Everything leaves at once."""

    async def drain(self) -> None:
        self.is_draining = True
        await self.drained.wait()
        self.is_draining = False

    def shown(self, key: bytes) -> dict[str, Any]:
        value = self.tables[VALUATIONS].get(key)
        return {} if value is None else decode_row(value).body

    def told(self, key: bytes) -> list[str]:
        """Kinds of the account's transitions, in the order in which they came."""
        value = self.tables[ALERTS].get(key)
        return [] if value is None else [one["kind"] for one in reversed(decode_row(value).body["transitions"])]


class OneMarket:
    """A board with one market, whose mark and whose clock the test sets; at first it is at 100."""

    def __init__(self) -> None:
        self.on_moved: Callable[[Iterable[MarketId]], None] | None = None
        self._now_ms = 1_000
        self._marks: dict[bytes, Mark] = {}
        self.board = InputBoard(self._marks.get)
        self.board.put_market(BTC, [BINANCE])
        self._tick(100 * E18)
        self.board.choose_all(self._now_ms)

    def move(self, price: int) -> None:
        self._now_ms += 1
        self._tick(price)
        self._choose()

    def grow_stale(self) -> None:
        self._now_ms += BINANCE.max_age_ms + 1
        self._choose()

    def settle(self, price: int) -> None:
        """Let the price be another, when none has been stale for long enough."""
        self._now_ms += SETTLE_MS
        self._tick(price)
        self._choose()

    def _tick(self, price: int) -> None:
        self._marks[BINANCE.key] = Mark(price, None, None, None, self._now_ms, self._now_ms, self._now_ms)

    def _choose(self) -> None:
        assert self.on_moved is not None
        self.on_moved(self.board.choose_all(self._now_ms))


class FixedPace(Pace):
    """A greatest age that does not depend on what was measured."""

    def age_s(self, accounts: int) -> float:
        assert accounts
        return self._max_age_s


class World:
    """One partition with a few accounts, each long 10 from 100, and its flush task."""

    def __init__(self, *, deadband_bps: int, age_s: float, accounts: dict[bytes, AccountRow]) -> None:
        settings = Settings(
            kafka="nowhere:1",
            data_dir=Path("unused"),
            topics=TopicSettings(partitions=PARTITIONS),
            worker=WorkerSettings(flush_ms=1, deadband_bps=deadband_bps),
        )
        terms = Terms()
        terms.hold({0: 1})
        self.rows = FakeRows()
        self.rows.tables[ACCOUNTS] = {
            key: encode_row(1, row.version, encode_account(row)) for key, row in accounts.items()
        }
        self.markets = OneMarket()
        self.fatal: list[BaseException] = []
        self.engines = Engines(settings, self.rows, terms, self.markets.board)
        self.markets.on_moved = self.engines.move
        self.flush = Flush(
            settings,
            self.rows,
            self.engines,
            pace=FixedPace(age_s),
            pacing=Even(0.0),
            clock=SystemClock(),
            fatal=self.fatal.append,
        )

    def has_taken_in(self, price: int) -> bool:
        """Whether the flush has seen a price, and nothing waits for it any more."""
        valuing = self.engines[0].valuing
        return valuing.exposures.mark(BTC) == price / E18 and not valuing.urgent and not valuing.is_behind

    def shows(self, key: bytes, price: int) -> bool:
        positions = self.rows.shown(key).get("positions", [])
        return [str(price)] == [position["mark"] for position in positions]


@asynccontextmanager
async def world(
    *keys: bytes,
    deadband_bps: int = 10_000,
    age_s: float = NEVER_S,
    allocated: int = 1_000 * E18,
    alerts: dict[bytes, bytes] | None = None,
    watched: frozenset[bytes] = frozenset(),
) -> AsyncIterator[World]:
    accounts = {key: account_with_one_long(allocated) for key in keys}
    made = World(deadband_bps=deadband_bps, age_s=age_s, accounts=accounts)
    made.rows.tables[ALERTS] |= alerts or {}
    made.engines.watch(watched)
    await made.engines.start(0)
    await made.flush.start(0)
    try:
        await eventually(lambda: all(made.shows(key, 100 * E18) for key in keys))
        yield made
    finally:
        await made.flush.stop()
    assert [] == made.fatal


ALICE, BOB = b"main:0xa", b"main:0xb"


async def test_a_watched_account_is_written_at_the_next_flush_and_another_within_the_deadband_is_not() -> None:
    async with world(ALICE, BOB) as one:
        one.engines.watch({ALICE})
        one.markets.move(101 * E18)

        await eventually(lambda: one.shows(ALICE, 101 * E18))
        assert one.shows(BOB, 100 * E18)


async def test_an_account_that_is_watched_from_now_on_is_written_with_what_it_missed() -> None:
    async with world(ALICE, BOB) as one:
        one.engines.watch({ALICE})
        one.markets.move(101 * E18)
        await eventually(lambda: one.shows(ALICE, 101 * E18))
        one.engines.watch({BOB})

        await eventually(lambda: one.shows(BOB, 101 * E18))


async def test_after_a_takeover_an_account_that_somebody_watches_is_written_before_the_others() -> None:
    others = [b"main:0x%d" % number for number in range(200)]
    async with world(*others, ALICE, watched=frozenset({ALICE})) as one:
        assert [ALICE, *others] == list(one.rows.tables[VALUATIONS])


async def test_an_account_that_nobody_watches_any_more_moves_within_the_deadband_unwritten() -> None:
    async with world(ALICE, BOB) as one:
        one.engines.watch({ALICE, BOB})
        one.markets.move(101 * E18)
        await eventually(lambda: one.shows(ALICE, 101 * E18) and one.shows(BOB, 101 * E18))
        one.engines.unwatch({BOB})
        one.markets.move(102 * E18)

        await eventually(lambda: one.shows(ALICE, 102 * E18))
        assert one.shows(BOB, 101 * E18)


async def test_an_account_that_moved_further_than_the_deadband_is_written() -> None:
    async with world(ALICE, deadband_bps=100) as one:
        one.markets.move(100 * E18 + E18 // 2)
        one.markets.move(102 * E18)

        await eventually(lambda: one.shows(ALICE, 102 * E18))


async def test_an_account_that_becomes_liquidatable_or_recovers_is_written_whatever_the_deadband() -> None:
    async with world(ALICE, allocated=70 * E18 + 15 * E18) as one:
        assert not one.rows.shown(ALICE)["liquidatable"]
        for price, is_liquidatable in ((98 * E18, True), (99 * E18, False)):
            one.markets.move(price)
            await eventually(lambda price=price: one.shows(ALICE, price))  # type: ignore[misc]

            assert is_liquidatable is one.rows.shown(ALICE)["liquidatable"]


async def test_a_row_that_is_out_of_date_is_written_when_it_is_as_old_as_the_pace_allows() -> None:
    async with world(ALICE, age_s=0.2) as one:
        one.markets.move(101 * E18)

        await eventually(lambda: one.shows(ALICE, 101 * E18))


async def test_a_row_whose_markets_do_not_move_is_not_written_again() -> None:
    async with world(ALICE, BOB, age_s=0.1) as one:
        one.markets.move(101 * E18)
        await eventually(lambda: one.shows(ALICE, 101 * E18) and one.shows(BOB, 101 * E18))
        before = one.rows.written
        one.markets.move(102 * E18)
        await eventually(lambda: one.shows(ALICE, 102 * E18) and one.shows(BOB, 102 * E18))

        assert before + 2 == one.rows.written


async def test_a_broker_that_is_slow_makes_rows_conflate_and_not_queue() -> None:
    async with world(ALICE) as one:
        one.engines.watch({ALICE})
        before = one.rows.written
        one.rows.unacked = 10**6
        one.markets.move(101 * E18)
        await eventually(lambda: one.rows.is_draining)
        for price in range(102, 150):
            one.markets.move(price * E18)
        assert before == one.rows.written
        one.rows.unacked = 0
        one.rows.drained.set()

        await eventually(lambda: one.shows(ALICE, 149 * E18))
        assert before + 1 == one.rows.written


async def test_sums_follow_the_rows_that_stand() -> None:
    async with world(ALICE, BOB, age_s=0.1) as one:
        one.markets.move(103 * E18)

        def sums_are_those_of_the_rows() -> bool:
            body = decode_row(one.rows.tables[SUBTOTALS].get(b"symbol:main:1:0", encode_row(0, 0, {}))).body
            return body.get("long_notional") == str(2 * 10 * 103 * E18)

        await eventually(sums_are_those_of_the_rows)


async def test_an_account_whose_record_was_folded_is_written_at_the_next_flush() -> None:
    async with world(ALICE) as one:
        row = decode_account(one.rows.tables[ACCOUNTS][ALICE])
        richer = msgspec.structs.replace(
            row,
            version=row.version + 1,
            state=msgspec.structs.replace(
                row.state, balances=msgspec.structs.replace(row.state.balances, allocated=5_000 * E18)
            ),
        )
        one.rows.tables[ACCOUNTS][ALICE] = encode_row(1, richer.version, encode_account(richer))
        one.engines[0].valuing.put(ALICE, richer.holding)

        await eventually(lambda: one.rows.shown(ALICE)["allocated"] == str(5_000 * E18))


NEARLY_LIQUIDATABLE = 85 * E18
"""Of it 70 is locked, and each unit of the price is worth 10: from 98.5 down the account can be liquidated."""


async def test_each_transition_is_told_once_however_often_the_account_is_valued() -> None:
    async with world(ALICE, allocated=NEARLY_LIQUIDATABLE) as one:
        one.engines.watch({ALICE})
        assert [] == one.rows.told(ALICE)
        for price in (98, 97, 96, 99, 100, 98):
            one.markets.move(price * E18)
            await eventually(lambda price=price: one.shows(ALICE, price * E18))  # type: ignore[misc]

        assert ["liquidatable", "recovered", "liquidatable"] == one.rows.told(ALICE)


async def test_no_row_shows_a_transition_before_the_broker_has_it_and_none_is_made_meanwhile() -> None:
    async with world(ALICE, BOB, allocated=NEARLY_LIQUIDATABLE) as one:
        one.rows.held = []
        one.engines.watch({ALICE})
        one.markets.move(98 * E18)
        await eventually(lambda: one.rows.told(ALICE) == one.rows.told(BOB) == ["liquidatable"])
        one.markets.move(100 * E18)
        one.markets.move(97 * E18)
        await eventually(lambda: one.has_taken_in(97 * E18))

        assert one.shows(ALICE, 100 * E18)
        assert one.shows(BOB, 100 * E18)
        assert 2 == len(one.rows.held)
        for charge in one.rows.held:
            charge.acked(1)
        await eventually(lambda: one.shows(ALICE, 97 * E18) and one.shows(BOB, 97 * E18))
        assert ["liquidatable"] == one.rows.told(ALICE) == one.rows.told(BOB)


async def test_a_worker_that_takes_over_goes_on_from_the_alerts_that_stand() -> None:
    async with world(ALICE, BOB, allocated=NEARLY_LIQUIDATABLE) as before:
        before.markets.move(98 * E18)
        await eventually(lambda: before.shows(ALICE, 98 * E18) and before.shows(BOB, 98 * E18))
        standing = before.rows.tables[ALERTS]
    async with world(ALICE, allocated=NEARLY_LIQUIDATABLE, alerts=standing) as after:
        assert ["liquidatable", "recovered"] == after.rows.told(ALICE)
        assert ["liquidatable"] == after.rows.told(BOB)


async def test_a_mark_that_grows_stale_is_told_of_accounts_that_nobody_watches() -> None:
    async with world(ALICE, age_s=0.1) as one:
        one.markets.grow_stale()
        await eventually(lambda: one.rows.told(ALICE) == ["stale"])
        await eventually(lambda: one.rows.shown(ALICE)["stale"] == 1)
        one.markets.move(101 * E18)
        await eventually(lambda: one.shows(ALICE, 101 * E18))
        assert ["stale"] == one.rows.told(ALICE)
        one.markets.settle(102 * E18)

        await eventually(lambda: one.rows.told(ALICE) == ["stale", "fresh"])


def test_one_partition_holds_every_account_of_these_tests() -> None:
    assert {0} == {partition_of(key, PARTITIONS) for key in (ALICE, BOB)}
