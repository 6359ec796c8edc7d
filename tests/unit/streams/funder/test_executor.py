"""Windows, accounts and what is on record of them, over tables and charges that the test holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client import REGISTRY

from models.account_events import Transaction as AccountEvents
from models.symmio.epoch_prices import Unpriced
from models.symmio.funding_plan import ChainQuote, When, Window, next_window, window_at
from models.symmio.funding_records import (
    NOBODY,
    ChargeCells,
    Epoch,
    Frozen,
    FrozenMarket,
    Missed,
    Outcome,
    Plan,
    Record,
    Refused,
    Transaction,
)
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.state import PositionType, QuoteStatus
from streams.funder import executor as executor_module
from streams.funder.account_charges import AccountCharges, AccountFault, Due, Progress
from streams.funder.agreed_chain import Times, times_of
from streams.funder.chain_errors import NodeDown
from streams.funder.chain_view import Chain
from streams.funder.epoch_ticks import EpochTicks, Instant
from streams.funder.executor import Executor
from streams.funder.funding_inputs import Tables
from streams.funder.funding_journal import Journal
from streams.funder.rounds import freeze
from streams.node.endpoints import Node
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


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "_RETRY_MOST_S", 0.0)
    monkeypatch.setattr(executor_module, "_FINAL_AGAIN_S", 0.0)


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
        super().__init__(Node("main", (), 1), PARTY_B)
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


def test_terms_are_frozen_with_the_quotes_that_they_hold_for() -> None:
    epoch, window = Epoch(EPOCH_S, WINDOW_S, 5_000), Window(EPOCH_S, 5_000, 5_000, 5_100)
    tables = HeldTables()
    frozen, plans = freeze(
        epoch,
        window,
        symbols={1, 2, 3},
        positions=tables.held,
        terms_of=partial(tables.freeze, NO_TICKS),
        at_s=5_001,
        tables_s=4_999,
    )
    assert Frozen(epoch, 5_000, 5_100, 5_001, 4_999, {1: MARKET}, {2: Unpriced.NO_MARK}, 2) == frozen
    assert [Plan(epoch, ALICE, ((1, 1), (2, 1))), Plan(epoch, BOB, ((3, 1), (4, 2)))] == plans


async def test_every_account_is_charged_once_in_a_window() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    assert [ALICE, BOB] == sorted(bench.runs)
    alice = bench.journal.outcome(ALICE)
    assert alice is not None
    assert ((1, 2), {}, {}) == (alice.paid, alice.culprits, alice.missed)


async def test_accounts_are_charged_in_the_order_of_their_addresses() -> None:
    bench = Bench()
    accounts = [f"0x{number * 7 % 20:040x}" for number in range(20)]
    bench.tables.held = {party_a: [position(number + 1)] for number, party_a in enumerate(accounts)}
    async with running(bench):
        await eventually(lambda: bench.told(*accounts))
    assert sorted(accounts) == bench.runs


async def test_who_comes_later_goes_on_from_what_is_on_record() -> None:
    bench = Bench()
    bench.faults = {BOB: "insolvent"}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and BOB in bench.runs)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.held = {}
    bench.faults = {}
    bench.runs = []
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    assert [BOB] == bench.runs
    assert 1 == len([one for one in bench.journal.records if isinstance(one, Frozen)])


async def test_what_an_account_could_not_bear_is_missed_with_the_reason() -> None:
    bench = Bench()
    bench.faults = {BOB: "party A would be insolvent"}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) >= 2)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((), {3: "party A would be insolvent", 4: Unpriced.NO_MARK}) == (bob.paid, bob.missed)


async def test_windows_without_an_executor_are_missed_and_told_once() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.chain.now_s = 7_500

    def missed() -> list[int]:
        return [one.epoch.pays_s for one in bench.journal.records if isinstance(one, Missed)]

    async with running(bench):
        await eventually(lambda: [6_000, 7_000] == missed())
        bench.chain.now_s = 8_050
        await eventually(lambda: len([one for one in bench.journal.records if isinstance(one, Frozen)]) == 2)
    assert [6_000, 7_000] == missed()


async def test_a_market_without_terms_is_asked_for_again_and_charged_when_it_has_some() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        reads = bench.tables.reads
        await eventually(lambda: bench.tables.reads >= reads + 2)
        assert not bench.told(BOB)
        bench.tables.second = MARKET
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3, 4), {}) == (bob.paid, bob.missed)
    frozen = [one for one in bench.journal.records if isinstance(one, Frozen)]
    assert [({1}, {2: str(Unpriced.NOT_PASSED)}), ({1, 2}, {})] == [(set(one.markets), one.left_out) for one in frozen]


async def test_what_has_no_terms_when_the_window_closes_is_missed_with_the_reason_and_counted_once() -> None:
    def unpriced() -> float:
        return REGISTRY.get_sample_value("tidemark_funding_unpriced_markets_total", {"deployment": "main"}) or 0.0

    before = unpriced()
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3,), {4: Unpriced.NOT_PASSED}) == (bob.paid, bob.missed)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert before + 1 == unpriced()


async def test_who_comes_later_prices_what_had_no_terms_yet() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NOT_PASSED
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.second = MARKET
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert (3, 4) == bob.paid


async def test_a_market_that_has_no_terms_for_good_is_not_asked_for_again() -> None:
    bench = Bench()
    bench.tables.second = Unpriced.NO_MARK
    async with running(bench):
        await eventually(lambda: bench.told(ALICE) and bench.runs.count(BOB) == 1)
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert 1 == bench.tables.reads


async def test_nothing_is_frozen_before_the_epochs_marks_can_be_settled() -> None:
    bench = Bench()
    bench.chain.now_s = 5_003
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= 3)
        assert [] == bench.journal.told
        bench.chain.now_s = 5_004
        await eventually(lambda: bench.told(ALICE, BOB))


async def test_what_left_the_chain_is_looked_at_again() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.executor.unmined(sent(ALICE, left_block=3))
        await eventually(lambda: bench.runs.count(ALICE) == 2)
        await eventually(lambda: len([one for one in bench.journal.records if isinstance(one, Outcome)]) == 3)
    assert 1 == bench.runs.count(BOB)


def sent(party_a: str, left_block: int | None, quote_ids: tuple[int, ...] = (1, 2)) -> Transaction:
    charges = tuple(ChargeCells(one, Epoch(EPOCH_S, WINDOW_S, 5_000), "1", "1") for one in quote_ids)
    return Transaction("0xs", 7, party_a, charges, "sent", 5_100, "0x", ("0x1",), left_block=left_block)


def outcomes(bench: Bench, party_a: str) -> list[Outcome]:
    return [one for one in bench.journal.records if isinstance(one, Outcome) and one.party_a == party_a]


async def final(bench: Bench, party_a: str) -> Outcome:
    await eventually(lambda: any(one.final for one in outcomes(bench, party_a)))
    return outcomes(bench, party_a)[-1]


async def test_every_quote_has_one_outcome_and_those_of_a_market_without_terms_its_reason() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_101
        await eventually(lambda: gauge("tidemark_funding_epoch_quotes", outcome="missed") == 1.0)
        assert (3.0, 0.0) == (
            gauge("tidemark_funding_epoch_quotes", outcome="paid"),
            gauge("tidemark_funding_epoch_quotes", outcome="open"),
        )
        assert 0.0 == gauge("tidemark_funding_unaccounted_accounts")
    bob = bench.journal.outcome(BOB)
    assert bob is not None
    assert ((3,), {4: Unpriced.NO_MARK}, [3, 4]) == (bob.paid, bob.missed, bob.quotes)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"deployment": "main", "party_b": PARTY_B, **labels})


async def test_an_outcome_is_final_once_its_window_is_deep_and_its_transactions_are_final() -> None:
    bench = Bench()
    bench.watched = {BOB}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        assert (1, 2) == (await final(bench, ALICE)).paid
        assert [False] == [one.final for one in outcomes(bench, BOB)]
        bench.watched = set()
        assert (3,) == (await final(bench, BOB)).paid


async def test_an_outcome_that_the_chain_contradicts_is_corrected() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.charged = {2, 3, 4}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert ((2,), {1: "the chain says that it was not charged"}) == (alice.paid, alice.missed)
    assert ((3, 4), {}) == (bob.paid, bob.missed)


async def test_where_the_contract_has_a_later_epoch_the_log_says_what_was_charged_for_the_one_before() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        # Whoever sent it: with a former key of the hedger, or by hand. The contract takes it from 100 s before on.
        bench.tables.moved = [(ALICE, charging(4_899, 1)), (ALICE, charging(5_100, 2)), (BOB, charging(5_000, 3))]
        bench.chain.paid_s = 6_000
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert ((2,), {1: "the chain says that it was not charged"}) == (alice.paid, alice.missed)
    assert (3,) == bob.paid


async def test_a_final_outcome_stays_whatever_leaves_the_chain() -> None:
    bench = Bench()
    bench.watched = {BOB}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        told = await final(bench, ALICE)
        bench.executor.unmined(sent(ALICE, left_block=33))
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert (told, 1) == (outcomes(bench, ALICE)[-1], bench.runs.count(ALICE))


async def test_an_epochs_outcome_is_on_record_before_the_next_epoch_is_charged() -> None:
    bench = Bench()
    bench.faults = {BOB: "not now"}
    async with running(bench):
        await eventually(lambda: BOB in bench.runs)
        bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.faults, bench.chain.now_s = {}, 6_010
    async with running(bench):
        await eventually(lambda: {5_000, 6_000} <= {one.epoch.pays_s for one in outcomes(bench, BOB)})
    former = next(at for at, one in enumerate(bench.journal.records) if one in outcomes(bench, BOB))
    assert 5_000 == outcomes(bench, BOB)[0].epoch.pays_s
    assert former < next(at for at, epoch in bench.charged_at if epoch == 6_000)


async def test_a_quote_whose_closing_left_the_chain_while_the_window_is_open_is_charged() -> None:
    bench = Bench()
    bench.closed = {1, 2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.moved = [(ALICE, ending(1, 5_010))]
        bench.closed = {1}
        bench.chain.now_s = 5_050
        await eventually(lambda: outcomes(bench, ALICE)[-1].paid == (2,))
    assert [1] == list(outcomes(bench, ALICE)[-1].closed)


async def test_a_quote_whose_closing_left_the_chain_is_missed_and_not_closed() -> None:
    bench = Bench()
    bench.closed = {2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        assert {2: "it is not open"} == outcomes(bench, ALICE)[-1].closed
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        alice = await final(bench, ALICE)
    said = "it was not open when its turn came, and is again since blocks left the chain"
    assert ((1,), {}, {2: said}) == (alice.paid, alice.closed, alice.missed)


async def test_a_quote_that_was_closed_only_after_its_window_is_missed_and_not_closed() -> None:
    bench = Bench()
    bench.closed = bench.chain.closed = {1, 2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.moved = [(ALICE, ending(1, 5_100)), (ALICE, ending(2, 5_101))]
        bench.chain.now_s, bench.chain.final_s = 5_300, 5_300
        alice = await final(bench, ALICE)
    assert {1: "it is not open"} == alice.closed
    assert {2: "it was open until its window closed, and was not charged"} == alice.missed


async def test_an_outcome_with_which_an_endpoint_still_agrees_is_not_corrected_yet() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.charged = {2, 3}
        bench.chain.told_elsewhere = {1, 2, 3}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        await final(bench, BOB)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.chain.told_elsewhere = {2, 3}
        assert (2,) == (await final(bench, ALICE)).paid


async def test_a_closing_that_an_endpoint_still_has_is_not_taken_as_gone() -> None:
    bench = Bench()
    bench.closed = {2}
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.closed_elsewhere = {2}
        bench.chain.now_s, bench.chain.final_s = 5_101, 5_101
        await final(bench, BOB)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.chain.closed_elsewhere = set()
        assert [2] == list((await final(bench, ALICE)).missed)


async def test_what_left_the_chain_and_was_not_charged_again_is_missed_with_its_block() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_101
        bench.executor.unmined(sent(ALICE, left_block=33))
        await eventually(lambda: len(outcomes(bench, ALICE)) == 2)
    said = "block 33 left the chain with the transaction that charged it, and the window closed before another did"
    assert {1: said, 2: said} == outcomes(bench, ALICE)[-1].missed


async def test_nothing_is_charged_on_a_deployment_that_is_not_supported_and_the_window_is_missed_for_it() -> None:
    bench = Bench()
    bench.tables.refused = "the deployment is not supported since block 9: QuoteAdjusted"
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
        assert [] == bench.runs
        bench.chain.now_s = 5_101
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    (missed,) = bench.journal.told
    assert Missed(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, bench.tables.refused) == missed


async def test_a_deployment_that_becomes_unsupported_in_mid_window_is_not_charged_on() -> None:
    bench = Bench()
    bench.faults = {ALICE: "not now", BOB: "not now"}
    async with running(bench):
        await eventually(lambda: {ALICE, BOB} <= set(bench.runs))
        bench.tables.refused = "not supported"
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.faults, runs = {}, len(bench.runs)
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        assert runs == len(bench.runs)
        bench.chain.now_s = 5_101
        await eventually(lambda: bench.told(ALICE, BOB))
    assert {1: "not supported", 2: "not supported"} == outcomes(bench, ALICE)[-1].missed


async def test_quotes_of_a_market_that_has_other_epochs_in_mid_window_are_missed_for_that() -> None:
    bench = Bench()
    bench.faults = {ALICE: "not now", BOB: "not now"}
    async with running(bench):
        await eventually(lambda: {ALICE, BOB} <= set(bench.runs))
        bench.tables.symbols = {2}
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.faults = {}
        await eventually(lambda: bench.told(ALICE, BOB))
        said = "its market has other funding epochs since this one began"
        assert ((), {1: said, 2: said}) == (outcomes(bench, ALICE)[-1].paid, outcomes(bench, ALICE)[-1].missed)
        # What the contract took before it knew the change is paid all the same.
        bench.chain.charged = {1}
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    assert ((1,), {2: said}) == (alice.paid, alice.missed)


async def test_an_account_without_an_outcome_after_its_window_is_not_accounted_for() -> None:
    bench = Bench()
    async with running(bench):
        async with bench.turns[ALICE]:
            await eventually(lambda: bench.told(BOB))
            bench.chain.now_s = 5_101
            await eventually(lambda: gauge("tidemark_funding_unaccounted_accounts") == 1.0)
        await eventually(lambda: gauge("tidemark_funding_unaccounted_accounts") == 0.0)


async def test_accounts_that_wait_for_room_leave_their_turns_to_other_hedgers() -> None:
    bench = Bench()
    carol = "0x" + "c1" * 20
    bench.tables.held[carol] = [position(5)]
    async with running(bench):
        async with bench.turns[ALICE], bench.turns[BOB]:
            # The two that there is room for wait for their turns.
            await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
            asked = bench.chain.asked
            await eventually(lambda: bench.chain.asked >= asked + 3)
            assert not bench.turns[carol].locked()
            assert [] == bench.runs
        await eventually(lambda: bench.told(ALICE, BOB, carol))


async def test_a_window_that_closed_while_the_node_was_down_is_missed_for_that() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.down = "no endpoint answers"
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.chain.now_s, bench.chain.down = 6_500, None
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    (missed,) = [one for one in bench.journal.records if isinstance(one, Missed)]
    assert (6_000, "no pass was made: no endpoint answers") == (missed.epoch.pays_s, missed.reason)


async def test_the_first_window_of_all_is_missed_for_the_node_too() -> None:
    bench = Bench()
    bench.chain.now_s = 4_500
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
        bench.chain.down = "no endpoint answers"
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.chain.now_s, bench.chain.down = 5_500, None
        await eventually(lambda: bench.journal.told != [])
    said = "no pass was made: no endpoint answers"
    assert [Missed(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, said)] == bench.journal.told


async def test_windows_of_a_kind_that_no_market_had_meanwhile_are_not_missed_when_one_has_it_again() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        kinds, bench.tables.kinds_now = bench.tables.kinds_now, set()
        bench.chain.now_s = 7_500
        windows = bench.tables.windows
        await eventually(lambda: bench.tables.windows >= windows + 3)
        bench.tables.kinds_now = kinds
        bench.chain.now_s = 8_500
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))
    assert [8_000] == [one.epoch.pays_s for one in bench.journal.records if isinstance(one, Missed)]


async def test_nothing_is_frozen_or_missed_by_the_wrong_clock_of_one_endpoint() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        written = len(bench.journal.records)
        bench.chain.now_s, bench.chain.behind_s = 9_050, 4_000
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        assert written == len(bench.journal.records)
        bench.chain.behind_s = 0
        await eventually(lambda: any(isinstance(one, Missed) for one in bench.journal.records))


async def test_an_account_waits_while_another_hedger_charges_it() -> None:
    bench = Bench()
    async with running(bench):
        async with bench.turns[ALICE]:
            await eventually(lambda: bench.told(BOB))
            assert [BOB] == bench.runs
        await eventually(lambda: bench.told(ALICE))


async def test_tables_that_are_behind_are_waited_for_but_not_for_long() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.chain.now_s = 5_024
    async with running(bench):
        await bench.tables.asked.wait()
        assert [] == bench.journal.told
        bench.chain.now_s = 5_025
        await eventually(lambda: bench.told(ALICE, BOB))
    assert [4_999] == [one.tables_s for one in bench.journal.records if isinstance(one, Frozen)]


async def test_quotes_that_the_tables_come_to_know_after_the_freezing_are_planned_and_charged_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.tables.held = {ALICE: [position(1, 2)], BOB: [position(3), position(5)]}
        bench.tables.second = MARKET
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE) and outcomes(bench, BOB)[-1].paid == (3, 5))
    assert (1,) == outcomes(bench, ALICE)[-1].paid
    frozen = [one for one in bench.journal.records if isinstance(one, Frozen)]
    assert [(4_999, {1}, 1), (5_000, {1, 2}, 2)] == [(one.tables_s, {*one.markets}, one.accounts) for one in frozen]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert [BOB, ALICE, BOB] == [bench.runs[0], *sorted(bench.runs[1:])]


async def test_what_a_fork_changed_among_the_quotes_of_before_the_epoch_is_planned_and_charged_too() -> None:
    bench = Bench()
    bench.tables.second = MARKET
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        # Quote 2 is of another market now, and quote 9 was not there.
        bench.tables.held = {ALICE: [position(1), position(2, 2), position(9)], BOB: [position(3), position(4, 2)]}
        bench.chain.now_s = 5_050
        await eventually(lambda: outcomes(bench, ALICE)[-1].paid == (1, 2, 9))
        assert 1 == len(outcomes(bench, BOB))
    plans = [one for one in bench.journal.records if isinstance(one, Plan) and one.party_a == ALICE]
    assert ((1, 1), (2, 2), (9, 1)) == plans[-1].quotes


async def test_what_a_fork_brought_when_nobody_could_charge_it_any_more_is_missed_and_not_forgotten() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.held[ALICE].append(position(9))
        bench.chain.now_s = bench.chain.final_s = 5_101
        alice = await final(bench, ALICE)
    assert ((1, 2), {9: "the tables knew of it only after the window had closed"}) == (alice.paid, alice.missed)


async def test_quotes_that_the_tables_come_to_know_after_the_window_are_missed_with_that_reason() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 5_101
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        # Whether there are more of them is not known yet.
        assert [False] == [one.final for one in outcomes(bench, BOB)]
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3), position(4, 2)]}
        bench.tables.folded_s = 5_101
        alice, bob = await final(bench, ALICE), await final(bench, BOB)
    assert {1: "the tables knew of it only after the window had closed"} == alice.missed
    assert ((3,), {4: Unpriced.NO_MARK}) == (bob.paid, bob.missed)


async def test_quotes_that_were_planned_late_are_charged_by_the_next_executor_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
    # It was killed once the plan had grown, before it could charge what is new.
    (frozen,) = [one for one in bench.journal.records if isinstance(one, Frozen)]
    bench.tables.folded_s = 5_000
    bench.tables.held = {BOB: [position(3), position(5)]}
    plan = Plan(frozen.epoch, BOB, ((3, 1), (5, 1)), PARTY_B)
    bench.journal.records += [plan, msgspec.structs.replace(frozen, tables_s=5_000)]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: outcomes(bench, BOB)[-1].paid == (3, 5))


async def test_what_left_the_chain_before_an_executor_was_killed_is_looked_at_again_by_the_next() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
    bench.journal.records.append(sent(ALICE, left_block=33))
    bench.runs.clear()
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: len(outcomes(bench, ALICE)) == 2)
    assert [ALICE] == bench.runs


async def test_an_epoch_that_was_frozen_without_any_quote_is_not_over_before_the_tables_have_reached_it() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
        bench.chain.now_s = 5_101
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.tables.held = {ALICE: [position(1)]}
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE))
    assert {1: "the tables knew of it only after the window had closed"} == outcomes(bench, ALICE)[-1].missed


async def test_quotes_that_were_opened_after_the_epoch_began_are_none_of_its_however_late_the_tables_are() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 9_000
        bench.tables.moved = [(BOB, opening(5, 5_050)), (ALICE, opening(1, 8_000)), (BOB, opening(6, 8_001))]
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3), position(5), position(6)]}
        bench.tables.folded_s = 9_000
        assert [3] == (await final(bench, BOB)).quotes
    assert {BOB} == {one.party_a for one in bench.journal.records if isinstance(one, Outcome | Plan)}


async def test_quotes_that_ended_before_the_tables_knew_of_the_epoch_have_an_outcome_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.chain.now_s = bench.chain.final_s = 5_999
        bench.closed = bench.chain.closed = {1, 2, 7}
        # The first one ended while it could be charged, the second one later, and the last one was opened later.
        bench.tables.moved = [
            (ALICE, ending(1, 5_060)),
            (ALICE, ending(2, 5_101)),
            (ALICE, opening(7, 5_200)),
            (ALICE, ending(7, 5_300)),
        ]
        bench.tables.folded_s = 5_999
        alice = await final(bench, ALICE)
    assert {1: "it is not open"} == alice.closed
    assert {2: "the tables knew of it only after the window had closed"} == alice.missed
    assert [1, 2] == alice.quotes


async def test_what_was_known_late_is_missed_for_that_by_the_next_executor_too() -> None:
    bench = Bench()
    bench.tables.folded_s = 4_999
    bench.tables.held = {BOB: [position(3)]}
    bench.chain.now_s = 5_025
    async with running(bench):
        await eventually(lambda: bench.told(BOB))
        bench.faults = {ALICE: "not now"}
        bench.chain.now_s = 5_101
        bench.tables.held = {ALICE: [position(1)], BOB: [position(3)]}
        bench.tables.folded_s = 5_000
        await eventually(lambda: bench.told(ALICE))
    # It was killed when it had told what is to be told of, and nothing more.
    records = [one for one in bench.journal.records if not (isinstance(one, Outcome) and one.party_a == ALICE)]
    bench.journal.records = records
    bench.executor = bench.new()
    bench.executor.restore(list(records))
    async with running(bench):
        await eventually(lambda: bench.told(ALICE))
    assert {1: "the tables knew of it only after the window had closed"} == outcomes(bench, ALICE)[-1].missed


async def test_a_fork_that_is_seen_after_the_window_plans_what_was_open_at_its_beginning_after_all() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = 5_150
        looked = bench.tables.looks
        await eventually(lambda: bench.tables.looks > looked)
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        # Quote 9 is opened in a block of before the window now, and what closed quote 8 has left the chain.
        bench.tables.held[ALICE] += [position(8), position(9)]
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    said = "the tables knew of it only after the window had closed"
    assert ((1, 2), {8: said, 9: said}) == (alice.paid, alice.missed)
    assert 1 == len([one for one in bench.journal.records if isinstance(one, Frozen) and one.final])


async def test_an_epoch_without_a_quote_is_kept_until_no_fork_can_bring_one() -> None:
    bench = Bench()
    bench.tables.held = {}
    async with running(bench):
        await eventually(lambda: any(isinstance(one, Frozen) for one in bench.journal.records))
        bench.chain.now_s = 5_150
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 3)
        bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.tables.held = {ALICE: [position(1)]}
    async with running(bench):
        bench.chain.final_s = 5_150
        alice = await final(bench, ALICE)
        await eventually(lambda: bench.journal.is_closed)
    assert {1: "the tables knew of it only after the window had closed"} == alice.missed
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    looked, asked = bench.tables.looks, bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 3)
    assert looked == bench.tables.looks


async def test_an_epoch_that_is_final_is_not_begun_again_where_only_an_endpoint_answers_that_is_far_behind() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.chain.now_s = bench.chain.final_s = 5_200
        await eventually(lambda: bench.journal.is_closed)
    written = len(bench.journal.records)
    bench.chain.now_s = 5_050
    asked = bench.chain.asked
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 5)
    assert written == len(bench.journal.records)
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    async with running(bench):
        await eventually(lambda: bench.chain.asked >= asked + 10)
    assert written == len(bench.journal.records)


async def test_nothing_is_final_before_the_tables_have_come_to_the_block_that_makes_it_so() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.folded_s = 5_150
        bench.chain.now_s = bench.chain.final_s = 5_200
        asked = bench.chain.asked
        await eventually(lambda: bench.chain.asked >= asked + 5)
        assert [False] == [one.final for one in outcomes(bench, ALICE)]
        bench.tables.folded_s = 5_200
        await final(bench, ALICE)


async def test_what_the_log_keeps_no_more_adds_no_plan_and_takes_nothing_back() -> None:
    bench = Bench()
    async with running(bench):
        await eventually(lambda: bench.told(ALICE, BOB))
        bench.tables.is_whole = False
        bench.tables.held[ALICE].append(position(9))
        bench.chain.paid_s = 6_000
        bench.chain.now_s = bench.chain.final_s = 5_200
        alice = await final(bench, ALICE)
    assert ((1, 2), [1, 2]) == (alice.paid, alice.quotes)


async def test_why_a_window_is_missed_is_known_to_who_comes_later() -> None:
    bench = Bench()
    bench.tables.refused = "the deployment is not supported since block 9: QuoteAdjusted"
    async with running(bench):
        await eventually(lambda: len(bench.journal.records) == 2)
    _, refused = bench.journal.records
    assert Refused(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, bench.tables.refused) == refused
    bench.executor = bench.new()
    bench.executor.restore([refused])
    bench.chain.now_s = 5_101
    async with running(bench):
        await eventually(lambda: bench.journal.told != [])
    assert Missed(refused.epoch, 5_000, 5_100, PARTY_B, bench.tables.refused) == bench.journal.records[-1]
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    windows = bench.tables.windows
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= windows + 3)
    assert 1 == len(bench.journal.told)


async def test_the_first_window_of_all_is_missed_too_if_nobody_came_back_before_it_closed() -> None:
    bench = Bench()
    bench.chain.now_s = 4_500
    async with running(bench):
        await eventually(lambda: bench.tables.windows >= 3)
    assert [Refused(Epoch(EPOCH_S, WINDOW_S, 5_000), 5_000, 5_100, PARTY_B, NOBODY)] == bench.journal.records
    bench.executor = bench.new()
    bench.executor.restore(list(bench.journal.records))
    bench.chain.now_s = 6_500
    async with running(bench):
        await eventually(lambda: len(bench.journal.told) == 2)
    assert [(5_000, NOBODY), (6_000, NOBODY)] == [
        (one.epoch.pays_s, one.reason) for one in bench.journal.told if isinstance(one, Missed)
    ]


def opening(quote_id: int, at_s: int) -> AccountEvents:
    logs = (log("OpenPosition", quote_id, ALICE, PARTY_B, 1, 100),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)


def ending(quote_id: int, at_s: int) -> AccountEvents:
    logs = (log("FillCloseRequest", quote_id, ALICE, PARTY_B, 1, 100, QuoteStatus.CLOSED, 1),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)


def charging(at_s: int, quote_id: int) -> AccountEvents:
    logs = (log("ChargeFundingRate", PARTY_B, ALICE, [quote_id], [1]),)
    return AccountEvents((at_s, 0), at_s, at_s, "0x01", logs)
