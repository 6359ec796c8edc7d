"""An executor of funding between tables, a chain, charges and a journal that a test holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY

from models.account_events import Transaction as AccountEvents
from models.symmio.epoch_prices import Unpriced
from models.symmio.funding_plan import ChainQuote, When, Window, next_window, window_at
from models.symmio.funding_records import (
    ChargeCells,
    Epoch,
    Frozen,
    FrozenMarket,
    Outcome,
    Record,
    Refused,
    Transaction,
)
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.state import PositionType, QuoteStatus
from streams.funder.account_charges import AccountCharges, AccountFault, Due, Progress
from streams.funder.chain_errors import NodeDown
from streams.funder.chain_view import Chain
from streams.funder.clocks import Times, times_of
from streams.funder.epoch_ticks import EpochTicks, Instant
from streams.funder.executor import Executor
from streams.funder.funding_inputs import Tables
from streams.funder.funding_journal import Journal
from streams.node.endpoints import Node
from streams.process.clock import SystemClock
from streams.settings import Settings
from tests.support.eventually import eventually
from tests.support.symmio import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from models.account_events import AccountRecord


PARTY_B = "0x" + "0b" * 20


ALICE, BOB = "0x" + "a1" * 20, "0x" + "b1" * 20


EPOCH_S, WINDOW_S = 1_000, 100


DEPTH = 7


NO_TICKS = EpochTicks(Settings.model_validate({"kafka": "127.0.0.1:1"}), Instant(0, 0, 0), ())


MARKET = FrozenMarket(mark="110", mark_key="venue:AAA", venue_rate="-5", long="4", short="-5")


def position(quote_id: int, symbol_id: int = 1) -> OpenPosition:
    return OpenPosition(quote_id, symbol_id, PositionType.LONG, PARTY_B, 100, 1)


def charged(quote_id: int, paid_s: int) -> ChainQuote:
    return ChainQuote(
        quote_id, 1, PositionType.LONG, ALICE, PARTY_B, QuoteStatus.OPENED, 100, 1, max_funding_rate=1, paid_s=paid_s
    )


class HeldTables(Tables):
    def __init__(self) -> None:
        self.refused: str | None = None
        self.windows = 0
        self.when = When.AFTER
        self.ticks_topic = "price-ticks"
        self.folded_s = 10**9
        self.asked = asyncio.Event()
        self.reads = 0
        self.looks = 0
        self.is_whole = True
        self.second: FrozenMarket | str = Unpriced.NO_MARK
        self.held = {ALICE: [position(1), position(2)], BOB: [position(3), position(4, 2)]}
        self.moved: list[tuple[str, AccountRecord]] = []
        self.symbols = {1, 2}
        self.kinds_now = {(EPOCH_S, WINDOW_S)}

    @property
    def kinds(self) -> set[tuple[int, int]]:
        return self.kinds_now

    @property
    def time_s(self) -> int:
        self.asked.set()
        return self.folded_s

    @property
    def refusal(self) -> str | None:
        return self.refused

    def positions(self, party_b: str) -> dict[str, list[OpenPosition]]:
        assert PARTY_B == party_b
        return self.held

    def open_windows(self, now_s: int) -> dict[Epoch, Window]:
        self.windows += 1
        if not self.kinds_now:
            return {}
        window = window_at(now_s, EPOCH_S, WINDOW_S, self.when)
        return {} if window is None else {Epoch(EPOCH_S, WINDOW_S, window.pays_s): window}

    def next_windows(self, now_s: int) -> dict[Epoch, Window]:
        window = next_window(now_s, EPOCH_S, WINDOW_S, self.when)
        return {Epoch(EPOCH_S, WINDOW_S, window.pays_s): window}

    def markets(self, epoch: Epoch) -> set[int]:
        return self.symbols if epoch[:2] == (EPOCH_S, WINDOW_S) else set()

    async def known_until_s(self) -> int:
        return self.folded_s

    async def read_moves(self, window: Window, now_s: int) -> Moves:
        assert now_s >= window.opens_s
        self.looks += 1
        moves = Moves(window.opens_s, is_whole=self.is_whole)
        for account, record in self.moved:
            moves.add(account, record)
        return moves

    async def read_prices(self, window: Window) -> EpochTicks:
        assert EPOCH_S == window.epoch_s
        self.reads += 1
        return NO_TICKS

    def freeze(self, ticks: EpochTicks, symbol_id: int, window: Window) -> FrozenMarket | str:
        assert (NO_TICKS, EPOCH_S) == (ticks, window.epoch_s)
        return MARKET if symbol_id == 1 else self.second


class HeldTime(Chain):
    def __init__(self) -> None:
        super().__init__(Node("main", (), 1), PARTY_B, SystemClock())
        self.now_s = 5_004
        self.behind_s = 0
        self.down: str | None = None
        self.asked = 0
        self.final_s = 0
        self.charged: set[int] = set()
        self.paid_s = 5_000
        self.told_elsewhere: set[int] | None = None
        self.closed_elsewhere: set[int] = set()
        self.closed: set[int] = set()

    async def times(self) -> Times:
        self.asked += 1
        if self.down is not None:
            raise NodeDown(self.down)
        return times_of([self.now_s, self.now_s - self.behind_s])

    async def final_time_s(self, depth: int) -> int:
        assert DEPTH == depth
        return self.final_s

    async def quotes(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        told = {one: charged(one, self.paid_s if one in self.charged else 0) for one in quote_ids}
        return {
            one: quote._replace(status=QuoteStatus.CLOSED) if one in self.closed else quote
            for one, quote in told.items()
        }

    async def quotes_by_each(self, quote_ids: Sequence[int]) -> list[dict[int, ChainQuote]]:
        told = [await self.quotes(quote_ids)]
        if self.told_elsewhere is not None:
            told.append({one: charged(one, 5_000 if one in self.told_elsewhere else 0) for one in quote_ids})
        if self.closed_elsewhere:
            told.append(
                {
                    one: quote._replace(status=QuoteStatus.CLOSED) if one in self.closed_elsewhere else quote
                    for one, quote in told[0].items()
                }
            )
        return told


class HeldJournal(Journal):
    def __init__(self) -> None:
        self.records: list[Record] = []

    async def write(self, records: Iterable[Record]) -> None:
        self.records += records

    @property
    def told(self) -> list[Record]:
        """The records without those that say why an epoch is not charged so far."""
        return [one for one in self.records if not isinstance(one, Refused)]

    @property
    def is_closed(self) -> bool:
        """Whether an epoch is on record as final."""
        return any(isinstance(one, Frozen) and one.final for one in self.records)

    def outcome(self, party_a: str) -> Outcome | None:
        found = [one for one in self.records if isinstance(one, Outcome) and one.party_a == party_a]
        return found[-1] if found else None


class Charging(AccountCharges):
    """Pays everything while the window is open, or fails as the test says."""

    def __init__(self, bench: Bench, party_a: str, progress: dict[Epoch, Progress]) -> None:
        self._bench = bench
        self._account = party_a
        self._done = progress

    async def run(self, dues: Sequence[Due]) -> None:
        bench = self._bench
        assert any(isinstance(one, Frozen) for one in bench.journal.records)
        bench.runs.append(self._account)
        for due in dues:
            if self._done[due.epoch].settled(due.quote_id):
                continue
            if due.quote_id in bench.closed:
                self._done[due.epoch].closed[due.quote_id] = "it is not open"
            elif due.window.is_open(bench.chain.now_s) and due.quote_id in bench.refused:
                self._done[due.epoch].culprits[due.quote_id] = bench.refused[due.quote_id]
            elif due.window.is_open(bench.chain.now_s) and due.quote_id in bench.free:
                self._done[due.epoch].free.add(due.quote_id)
            elif not due.window.is_open(bench.chain.now_s):
                self._done[due.epoch].late.add(due.quote_id)
            elif self._account in bench.faults:
                raise AccountFault(bench.faults[self._account])
            else:
                self._done[due.epoch].paid.add(due.quote_id)
                if self._account == BOB:
                    bench.charged_at.append((len(bench.journal.records), due.epoch.pays_s))
                bench.chain.charged.add(due.quote_id)


class Bench:
    def __init__(self) -> None:
        self.chain, self.tables, self.journal = HeldTime(), HeldTables(), HeldJournal()
        self.faults: dict[str, str] = {}
        self.closed: set[int] = set()
        # What the contract refuses, and what has nothing to pay, as can be seen while the window is open.
        self.refused: dict[int, str] = {}
        self.free: set[int] = set()
        self.watched: set[str] = set()
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.runs: list[str] = []
        self.charged_at: list[tuple[int, int]] = []
        self.executor = self.new()

    def new(self) -> Executor:
        return Executor(
            "main",
            PARTY_B,
            chain=self.chain,
            journal=self.journal,
            tables=self.tables,
            charges_of=lambda party_a, progress: Charging(self, party_a, progress),
            is_watching=lambda party_a: party_a in self.watched,
            turns=self.turns,
            depth=DEPTH,
            concurrency=2,
        )

    def told(self, *accounts: str) -> bool:
        return all(self.journal.outcome(one) is not None for one in accounts)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(bench.executor.run(0.001))
    yield
    task.cancel()
    await asyncio.wait([task])


def sent(party_a: str, left_block: int | None, quote_ids: tuple[int, ...] = (1, 2)) -> Transaction:
    charges = tuple(ChargeCells(one, Epoch(EPOCH_S, WINDOW_S, 5_000), "1", "1") for one in quote_ids)
    return Transaction("0xs", 7, party_a, charges, "sent", 5_100, "0x", ("0x1",), left_block=left_block)


def outcomes(bench: Bench, party_a: str) -> list[Outcome]:
    return [one for one in bench.journal.records if isinstance(one, Outcome) and one.party_a == party_a]


async def final(bench: Bench, party_a: str) -> Outcome:
    await eventually(lambda: any(one.final for one in outcomes(bench, party_a)))
    return outcomes(bench, party_a)[-1]


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"deployment": "main", "party_b": PARTY_B, **labels})


def opening(quote_id: int, at_s: int) -> AccountEvents:
    logs = (log("OpenPosition", quote_id, ALICE, PARTY_B, 1, 100),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)


def ending(quote_id: int, at_s: int) -> AccountEvents:
    logs = (log("FillCloseRequest", quote_id, ALICE, PARTY_B, 1, 100, QuoteStatus.CLOSED, 1),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)


def charging(at_s: int, quote_id: int) -> AccountEvents:
    logs = (log("ChargeFundingRate", PARTY_B, ALICE, [quote_id], [1]),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)
