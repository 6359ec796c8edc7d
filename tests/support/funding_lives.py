"""Executors of funding that live and die over a chain in this process, as ``tidemark funder`` runs them."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, assert_never

import msgspec
from eth_account import Account

from models.symmio.funding_plan import When, Window, next_window, window_at
from models.symmio.funding_records import (
    CeilingMet,
    Epoch,
    Frozen,
    FrozenMarket,
    Missed,
    Outcome,
    Plan,
    Refused,
    Settled,
    Transaction,
    record_key,
)
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.state import PositionType
from streams.funder.account_charges import Route
from streams.funder.chain_errors import PATIENCE
from streams.funder.chain_view import Chain
from streams.funder.epoch_ticks import EpochTicks, Instant
from streams.funder.funder_process import Working, is_of
from streams.funder.funding_inputs import Tables
from streams.funder.hedgers import Hedger
from streams.funder.local_key import LocalKey
from streams.funder.signer import Signer
from streams.node.endpoints import Node
from streams.settings import Settings, symmio_deployments
from tests.evm.complaints import complaints_of_outcomes
from tests.evm.judge import Paid, complaints_of_spending
from tests.evm.verdict import Held, Said, Seen, Terms
from tests.support.clocks import LoopClock
from tests.support.funding_chain import CHAIN_ID, DIAMOND, E18, OPEN, FundingChain, OnChain
from tests.support.funding_endpoint import FAILURES, LIES, FundingEndpoint
from tests.support.funding_mortals import Life, Mortal, MortalJournal, MortalKey, MortalMuon

if TYPE_CHECKING:
    from models.symmio.funding_records import Record
    from streams.settings import FundingSettings

T = TypeVar("T")

NAME = "main"
EPOCH_S, WINDOW_S, PAYS_S = 1_000, 240, 1_700_000_000
DEPTH = 12
HEDGERS = tuple(Account.from_key(f"0x{number:064x}") for number in (0x41, 0x42))
ACCOUNTS = tuple(f"0x{0xA000 + number:040x}" for number in range(4))
_MARK_E18 = 110 * E18
_LONG_E18, _SHORT_E18 = -E18 // 10_000, E18 * 3 // 40_000
_SAID = Said(0, 1, PAYS_S * 1_000, PAYS_S * 1_000, _MARK_E18, E18 // 5_000, PAYS_S * 1_000)
_TERMS: dict[int, Terms | str] = {1: Terms(_SAID, _SAID, _LONG_E18, _SHORT_E18)}
_MARKET = FrozenMarket(
    str(_MARK_E18), "venue:AAA", str(E18 // 5_000), str(_LONG_E18), str(_SHORT_E18), interval_s=EPOCH_S
)
KNOWN_LATE = "the tables knew of it only after the window had closed"


class StandingTables(Tables):
    """Tables that know every quote from some time on, and the terms of the one market."""

    def __init__(self, world: World) -> None:
        self.when = When.AFTER
        self.ticks_topic = "price-ticks"
        self._world = world
        self._chain = world.chain
        self._epoch_s = world.epoch_s
        self._window_s = world.window_s
        self._settings = Settings.model_validate({"kafka": "127.0.0.1:1"})

    @property
    def kinds(self) -> set[tuple[int, int]]:
        return {(self._epoch_s, self._window_s)}

    @property
    def time_s(self) -> int:
        now_s = self._chain.now_s
        return now_s if now_s >= self._world.known_s else PAYS_S - 1

    @property
    def refusal(self) -> str | None:
        return None

    async def known_until_s(self) -> int:
        return self.time_s

    def positions(self, party_b: str) -> dict[str, list[OpenPosition]]:
        found: dict[str, list[OpenPosition]] = {}
        late = self._world.late if self._chain.now_s < self._world.known_s else ()
        for one in self._chain.head.state.quotes.values():
            if one.party_b == party_b and one.quote_id not in late and one.status == OPEN:
                side = PositionType.LONG if one.is_long else PositionType.SHORT
                position = OpenPosition(one.quote_id, one.symbol_id, side, party_b, one.price, E18)
                found.setdefault(one.party_a, []).append(position)
        return found

    def open_windows(self, now_s: int) -> dict[Epoch, Window]:
        window = window_at(now_s, self._epoch_s, self._window_s, self.when)
        return {} if window is None else {Epoch(self._epoch_s, self._window_s, window.pays_s): window}

    def next_windows(self, now_s: int) -> dict[Epoch, Window]:
        window = next_window(now_s, self._epoch_s, self._window_s, self.when)
        return {Epoch(self._epoch_s, self._window_s, window.pays_s): window}

    def markets(self, epoch: Epoch) -> set[int]:
        return {1} if epoch[:2] == (self._epoch_s, self._window_s) else set()

    async def read_prices(self, window: Window) -> EpochTicks:
        return EpochTicks(self._settings, Instant(window.opens_s, window.closes_s, 0), ())

    async def read_moves(self, window: Window, now_s: int) -> Moves:
        del now_s
        moves = Moves(window.opens_s)
        for account, record in self._chain.events():
            moves.add(account, record)
        return moves

    def freeze(self, ticks: EpochTicks, symbol_id: int, window: Window) -> FrozenMarket | str:
        del ticks, symbol_id, window
        return _MARKET


def quotes_for(hedgers: int) -> list[OnChain]:
    """Some quotes of each account with each hedger; the last one of all has nothing to pay."""
    quotes: list[OnChain] = []
    for number, party_a in enumerate(ACCOUNTS):
        for hedger in HEDGERS[: 1 + (number + 1) % hedgers]:
            for side in (True, False, True)[: 1 + number % 3]:
                price = (80 + 7 * len(quotes)) * E18
                quotes.append(
                    OnChain(len(quotes) + 1, 1, side, party_a, hedger.address.lower(), price, max_rate=E18 // 10)
                )
    quotes[-1].max_rate = 0
    return quotes


def older(record: Record) -> Record | None:
    """A record as it was before there could be several hedgers, and epochs be final; None where there was none."""
    match record:
        case Frozen():
            return msgspec.structs.replace(record, party_b="", final=False, ticks_topic="")
        case Plan():
            return msgspec.structs.replace(record, party_b="", late=())
        case Outcome() | Missed():
            return msgspec.structs.replace(record, party_b="")
        case Transaction():
            return msgspec.structs.replace(record, left_block=None, data_wei="0", expires_s=None)
        case Refused() | Settled():
            return None
        case CeilingMet():
            return record
        case _:
            assert_never(record)


class World:
    """Chain, endpoints, topic and executors of one test.

    Args:
        draw: Decides whatever is left open.
        hedgers: How many there are, 1 or 2.
        epoch_s: The market's funding epoch, s.
        window_s: The market's window, s.
        epochs: How many epochs are charged, one after the other.
        depth: After how many blocks a block is final.
        slowest_s: How long a signature takes at most, s.
        endpoints: How many endpoints the chain has, 2 or more.

    Attributes:
        quotes: Those that are open at the beginning.
        unborn: Those that may be opened later.
        late: The quotes of which the tables do not know before ``known_s``.
        known_s: When the tables reach the first window's beginning, by the chain's time, Unix s.
    """

    def __init__(
        self,
        draw: random.Random,
        *,
        hedgers: int = 1,
        epoch_s: int = EPOCH_S,
        window_s: int = WINDOW_S,
        epochs: int = 1,
        depth: int = DEPTH,
        slowest_s: float = 0.0,
        endpoints: int = 2,
    ) -> None:
        self.late: frozenset[int] = frozenset()
        self.known_s = 0
        self.draw = draw
        self.quotes = quotes_for(hedgers)
        last = len(self.quotes)
        self.unborn = [
            replace(one, quote_id=last + number) for number, one in enumerate(draw.sample(self.quotes[:-1], 3), 1)
        ]
        self.chain = FundingChain(
            self.quotes,
            began_s=PAYS_S - 20,
            epoch_s=epoch_s,
            window_s=window_s,
            draw=random.Random(draw.random()),
            unborn=self.unborn,
        )
        # One of them at least says what is so, where it says anything.
        self.endpoints = [
            FundingEndpoint(self.chain, "#1", draw, LIES),
            *(FundingEndpoint(self.chain, f"#{number}", draw, FAILURES) for number in range(2, endpoints + 1)),
        ]
        self.topic: list[tuple[int, Record]] = []
        self.steps: list[int] = []
        self.epoch_s, self.window_s = epoch_s, window_s
        self.depth = depth
        self.instants_s = [PAYS_S + number * epoch_s for number in range(epochs)]
        self._hedgers = HEDGERS[:hedgers]
        self._slowest_s = slowest_s
        settings = Settings.model_validate(
            {
                "deployments": {
                    NAME: {
                        "kind": "symmio",
                        "chain_id": CHAIN_ID,
                        "diamond": DIAMOND,
                        "default_sources": ["venue"],
                        "poll_interval_ms": 1_000,
                        "finality_depth": depth,
                        "funding": {"batch": 2, "concurrency": 2, "replace_after_s": 3, "max_window_spend": 0.05},
                    }
                }
            }
        )
        self._deployment = symmio_deployments(settings)[NAME]

    @property
    def funding(self) -> FundingSettings:
        return self._deployment.funding

    async def live(self, ends_at: int | None) -> None:
        """Let an executor work until it dies; one that does not die works until this is cancelled."""
        life = Life(ends_at)
        work = asyncio.create_task(self._work(life))
        ended = asyncio.create_task(life.ended.wait())
        try:
            await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            self.steps.append(life.steps)
            life.ended.set()
            for task in (work, ended):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _work(self, life: Life) -> None:
        endpoints = [Mortal(one, life) for one in self.endpoints]
        chain = Chain(Node(NAME, endpoints, CHAIN_ID, PATIENCE), DIAMOND, LoopClock((PAYS_S - 20) * 1_000))
        journal = MortalJournal(self.topic, life)
        records = journal.needed()
        tables = StandingTables(self)
        turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        async with asyncio.TaskGroup() as work:
            for number, account in enumerate(self._hedgers):
                key = MortalKey(LocalKey(account), life, self._slowest_s, self.draw)
                hedger = Hedger(key.address, Signer(key, CHAIN_ID))
                route = Route(key.address, key.address, DIAMOND)
                muon = MortalMuon(self.chain, life)
                one = Working(NAME, self._deployment, hedger, route, chain, muon, journal, tables, turns)
                own = [record for record in records if is_of(record, hedger, is_first=number == 0)]
                work.create_task(one.run(own))

    def grow_old(self) -> None:
        """Let all records be as the version before would have written them."""
        found = [(at_ms, older(record)) for at_ms, record in self.topic]
        self.topic[:] = [(at_ms, record) for at_ms, record in found if record is not None]

    @property
    def records(self) -> list[Record]:
        """Everything that was ever put on record."""
        return [record for _, record in self.topic]

    def newest(self, kind: type[T]) -> list[T]:
        """The newest record of each key that is of a kind."""
        return list({record_key(NAME, one): one for one in self.records if isinstance(one, kind)}.values())

    @property
    def is_over(self) -> bool:
        """Whether everything is told and final, or will never be."""
        closed = {(one.epoch.pays_s, one.party_b) for one in self.newest(Frozen) if one.final}
        missed = {(one.epoch.pays_s, one.party_b) for one in self.newest(Missed)}
        is_told = len(closed | missed) >= len(self.instants_s) * len(self._hedgers)
        return is_told or self.chain.now_s > self.instants_s[-1] + 2 * self.window_s + 10 * self.depth

    @property
    def reverts(self) -> int:
        """How many transactions of the hedgers did nothing in the chain, and cost something."""
        told = [self.chain.paid(account.address.lower()) for account in self._hedgers]
        return sum(receipt["status"] == "0x0" for paid in told for _, receipt, _ in paid)

    def complaints(self, *, may_miss: bool = False) -> list[str]:
        """What the judge has to say against what was done and recorded.

        Args:
            may_miss: Whether quotes may be missed that were not charged, for whatever reason is told: the window closed
                while things happened.
        """
        found: list[str] = []
        for account in self._hedgers:
            party_b = account.address.lower()
            for instant_s in self.instants_s:
                complaints = self._complaints_of(instant_s, party_b, may_miss=may_miss)
                found += [f"epoch {instant_s - PAYS_S} of {party_b[:6]}: {one}" for one in complaints]
            sent = [one for one in self.newest(Transaction) if one.signer == party_b]
            found += complaints_of_spending(self._paid(party_b), sent, self.funding)
        charged = {one.epoch_s for quote in self._on_chain.values() for one in quote.charged}
        found += [f"epoch {other_s - PAYS_S} is charged" for other_s in sorted(charged - {*self.instants_s})]
        frozen = [one for one in self.records if isinstance(one, Frozen)]
        return found + [f"frozen at other terms: {one}" for one in frozen if {*one.markets.values()} - {_MARKET}]

    @property
    def _on_chain(self) -> dict[int, OnChain]:
        return self.chain.head.state.quotes

    def _complaints_of(self, instant_s: int, party_b: str, *, may_miss: bool) -> list[str]:
        """What the judge has to say against one epoch of a hedger."""
        window = instant_s, instant_s + self.window_s
        outcomes = [
            one
            for one in self.newest(Outcome)
            if one.epoch.pays_s == instant_s and one.party_b in (party_b, *([""] if len(self._hedgers) == 1 else []))
        ]
        own = {quote_id: one for quote_id, one in self._on_chain.items() if one.party_b == party_b}
        opened_s, closed_s = self.chain.moved_s(opens=True), self.chain.moved_s(opens=False)
        charges = {
            quote_id: found
            for quote_id, one in own.items()
            if (found := [charge for charge in one.charged if charge.epoch_s == instant_s])
        }
        held = {
            quote_id: Held(
                1,
                one.is_long,
                charges[quote_id][0].price if quote_id in charges else one.price,
                one.max_rate,
                opened_s.get(quote_id, 0),
                closed_s.get(quote_id),
            )
            for quote_id, one in own.items()
        }
        excused: dict[int, str] = {}
        if instant_s == PAYS_S and self.known_s > window[1]:
            excused |= {
                quote_id: KNOWN_LATE for quote_id in self.late & held.keys() if held[quote_id].is_open_at(window[1])
            }
        if may_miss:
            told = {quote_id: said for one in outcomes for quote_id, said in one.missed.items()}
            excused |= {quote_id: said for quote_id, said in told.items() if said and quote_id not in charges}
        missed = {(one.epoch.pays_s, one.party_b) for one in self.newest(Missed)}
        was_there = any(one.party_b in ("", party_b) for one in self.newest(Frozen) + self.newest(Refused))
        if (instant_s, party_b) in missed or not was_there:
            return [f"quote {quote_id} is charged in a window that was missed" for quote_id in charges]
        # The judge knows no quotes that are excused, but markets that have no terms.
        held |= {quote_id: held[quote_id]._replace(symbol_id=-quote_id) for quote_id in excused.keys() & held.keys()}
        seen = Seen(
            held,
            {quote_id: [charge.rate_e18 for charge in told] for quote_id, told in charges.items()},
            # A fork may put a charge into a block of before the instant, which is the same epoch's to the contract.
            [max(instant_s, charge.time_s) for told in charges.values() for charge in told],
            self.chain.refused,
        )
        terms: dict[int, Terms | str] = {-quote_id: said for quote_id, said in excused.items()}
        return complaints_of_outcomes(seen, _TERMS | terms, outcomes, window)

    def _paid(self, signer: str) -> list[Paid]:
        return [
            Paid(
                fields["nonce"],
                time_s,
                int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16),
                fields["maxFeePerGas"],
                fields["maxPriorityFeePerGas"],
                fields["gas"],
            )
            for fields, receipt, time_s in self.chain.paid(signer)
        ]
