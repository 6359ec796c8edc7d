"""Executors of funding that live and die over a chain in this process, as ``tidemark funder`` runs them.

Everything between the executor and the world is a place at which it may die: before a question, after the answer,
before a record is written and after it, before a signature and after it.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from eth_account import Account

from models.symmio.funding_plan import When, Window, next_window, window_at
from models.symmio.funding_records import Epoch, Frozen, FrozenMarket, Outcome, Transaction
from models.symmio.holding import OpenPosition
from models.symmio.position_moves import Moves
from models.symmio.state import PositionType
from streams.funder.account_charges import Route
from streams.funder.chain_view import PATIENCE, Chain
from streams.funder.diamond_calls import PairSignature
from streams.funder.epoch_ticks import EpochTicks, Instant
from streams.funder.funder_process import Working, is_of
from streams.funder.funding_inputs import Tables
from streams.funder.funding_journal import Journal
from streams.funder.hedgers import Hedger
from streams.funder.local_key import LocalKey
from streams.funder.muon import Muon
from streams.funder.signer import Signer
from streams.node.endpoints import Node
from streams.settings import Settings, symmio_deployments
from tests.evm.complaints import complaints_of_outcomes
from tests.evm.judge import Paid, complaints_of_spending
from tests.evm.verdict import Held, Said, Seen, Terms
from tests.support.funding_chain import (
    CHAIN_ID,
    DIAMOND,
    E18,
    FAILURES,
    LIES,
    FundingChain,
    FundingEndpoint,
    OnChain,
    signed_state,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.symmio.funding_records import Record
    from streams.funder.signer import Signed
    from streams.node.rpc import Call
    from streams.node.rpc import Outcome as Answered
    from streams.settings import FundingSettings

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
# Some blocks after the window is as deep as is final.
_OVER_S = WINDOW_S + 10 * DEPTH


class Life:
    """One executor's life: it ends at the step of that number, and whatever it does then has no effect any more."""

    def __init__(self, ends_at: int | None) -> None:
        self._ends_at = ends_at
        self.steps = 0
        self.ended = asyncio.Event()

    async def step(self) -> None:
        """Go on, or never again."""
        self.steps += 1
        if self.steps == self._ends_at:
            self.ended.set()
        if self.ended.is_set():
            await asyncio.get_running_loop().create_future()


class Mortal(FundingEndpoint):
    """An endpoint, as an executor reaches it that may die meanwhile."""

    def __init__(self, endpoint: FundingEndpoint, life: Life) -> None:
        self.label = endpoint.label
        self._endpoint = endpoint
        self._life = life

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Answered]:
        await self._life.step()
        answers = await self._endpoint.ask(calls, timeout_s)
        await self._life.step()
        return answers


class MortalJournal(Journal):
    """Writes to a list that outlives it."""

    def __init__(self, topic: list[Record], life: Life) -> None:
        self._written = topic
        self._life = life

    async def write(self, records: Iterable[Record]) -> None:
        taken = list(records)
        await self._life.step()
        self._written += taken
        await self._life.step()


class MortalKey:
    """Signs, after a while."""

    def __init__(self, key: LocalKey, life: Life, slowest_s: float, draw: random.Random) -> None:
        self.address = key.address
        self._key = key
        self._life = life
        self._slowest_s = slowest_s
        self._draw = draw

    async def sign(self, fields: dict[str, Any]) -> Signed:
        await self._life.step()
        await asyncio.sleep(self._slowest_s * self._draw.random())
        signed = await self._key.sign(fields)
        await self._life.step()
        return signed


class MortalMuon(Muon):
    """Signs the pair's nonces."""

    def __init__(self, chain: FundingChain, life: Life) -> None:
        self._chain = chain
        self._life = life

    async def sign(self, party_a: str, party_b: str) -> PairSignature:
        await self._life.step()
        state = signed_state(self._chain, party_b, party_a)
        signature = PairSignature(state, self._chain.now_s, 0, 0, b"", 1, DIAMOND, DIAMOND)
        await self._life.step()
        return signature


class StandingTables(Tables):
    """Tables that know every quote from some time on, and the terms of the one market."""

    def __init__(self, world: World) -> None:
        self.when = When.AFTER
        self._world = world
        self._chain = world.chain
        self._window_s = world.window_s
        self._settings = Settings.model_validate({"kafka": "127.0.0.1:1"})

    @property
    def kinds(self) -> set[tuple[int, int]]:
        return {(EPOCH_S, self._window_s)}

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
        for one in self._world.quotes:
            if one.party_b == party_b and one.quote_id not in late:
                side = PositionType.LONG if one.is_long else PositionType.SHORT
                position = OpenPosition(one.quote_id, one.symbol_id, side, party_b, one.price, E18)
                found.setdefault(one.party_a, []).append(position)
        return found

    def open_windows(self, now_s: int) -> dict[Epoch, Window]:
        window = window_at(now_s, EPOCH_S, self._window_s, self.when)
        return {} if window is None else {Epoch(EPOCH_S, self._window_s, window.pays_s): window}

    def next_windows(self, now_s: int) -> dict[Epoch, Window]:
        window = next_window(now_s, EPOCH_S, self._window_s, self.when)
        return {Epoch(EPOCH_S, self._window_s, window.pays_s): window}

    def markets(self, epoch: Epoch) -> set[int]:
        return {1} if epoch[:2] == (EPOCH_S, self._window_s) else set()

    async def read_prices(self, window: Window) -> EpochTicks:
        return EpochTicks(self._settings, Instant(window.opens_s, window.closes_s, 0), ())

    async def read_moves(self, window: Window) -> Moves:
        return Moves(window.opens_s)

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


class World:
    """Chain, endpoints, topic and executors of one test.

    Args:
        draw: Decides whatever is left open.
        hedgers: How many there are, 1 or 2.
        window_s: The market's window, s.
        slowest_s: How long a signature takes at most, s.

    Attributes:
        late: The quotes of which the tables do not know before ``known_s``.
        known_s: When the tables reach the window's beginning, by the chain's time, Unix s.
    """

    def __init__(
        self, draw: random.Random, *, hedgers: int = 1, window_s: int = WINDOW_S, slowest_s: float = 0.0
    ) -> None:
        self.late: frozenset[int] = frozenset()
        self.known_s = 0
        self.draw = draw
        self.quotes = quotes_for(hedgers)
        self.chain = FundingChain(
            self.quotes, began_s=PAYS_S - 20, epoch_s=EPOCH_S, window_s=window_s, draw=random.Random(draw.random())
        )
        # One of them at least says what is so, where it says anything.
        self.endpoints = [
            FundingEndpoint(self.chain, "#1", draw, LIES),
            FundingEndpoint(self.chain, "#2", draw, FAILURES),
        ]
        self.topic: list[Record] = []
        self.steps: list[int] = []
        self.window_s = window_s
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
                        "finality_depth": DEPTH,
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
        chain = Chain(Node(NAME, endpoints, CHAIN_ID, PATIENCE), DIAMOND)
        journal, records = MortalJournal(self.topic, life), list(self.topic)
        tables = StandingTables(self)
        turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        async with asyncio.TaskGroup() as work:
            for number, account in enumerate(self._hedgers):
                key = MortalKey(LocalKey(account), life, self._slowest_s, self.draw)
                hedger = Hedger(key.address, Signer(key, CHAIN_ID))
                route = Route(key.address, key.address, DIAMOND)
                muon = MortalMuon(self.chain, life)
                one = Working(NAME, self._deployment, hedger, route, chain, muon, journal, tables, turns, 60)
                own = [record for record in records if is_of(record, hedger, is_first=number == 0)]
                work.create_task(one.run(own))

    @property
    def outcomes(self) -> list[Outcome]:
        """The newest outcome of each account with each hedger."""
        return list({(one.party_a, one.party_b): one for one in self.topic if isinstance(one, Outcome)}.values())

    @property
    def is_over(self) -> bool:
        """Whether everything is told and final, or will never be."""
        pairs = {(one.party_a, one.party_b) for one in self.quotes}
        told = self.outcomes
        is_told = len(told) == len(pairs) and all(one.final for one in told)
        return is_told or self.chain.now_s > PAYS_S + _OVER_S + self.window_s

    def complaints(self, *, may_miss: bool = False) -> list[str]:
        """What the judge has to say against what was done and recorded.

        Args:
            may_miss: Whether quotes may be missed that were not charged, for whatever reason is told: the window closed
                while things happened.
        """
        quotes = self.chain.head.state.quotes
        excused: dict[int, str] = {}
        if self.known_s > PAYS_S + self.window_s:
            excused |= dict.fromkeys(self.late, KNOWN_LATE)
        if may_miss:
            told = {quote_id: said for one in self.outcomes for quote_id, said in one.missed.items()}
            excused |= {quote_id: said for quote_id, said in told.items() if said and not quotes[quote_id].charged}
        held = {
            # The judge knows no quotes that are excused, but markets that have no terms.
            one.quote_id: Held(
                -one.quote_id if one.quote_id in excused else 1,
                one.is_long,
                one.price,
                one.max_rate,
                quotes[one.quote_id].status,
            )
            for one in self.quotes
        }
        charges = {quote_id: one.charged for quote_id, one in quotes.items() if one.charged}
        seen = Seen(
            held,
            {quote_id: [rate for rate, _, _ in told] for quote_id, told in charges.items()},
            [time_s for told in charges.values() for _, _, time_s in told],
            self.chain.refused,
        )
        terms: dict[int, Terms | str] = {-quote_id: said for quote_id, said in excused.items()}
        found = complaints_of_outcomes(seen, _TERMS | terms, self.outcomes, (PAYS_S, PAYS_S + self.window_s))
        for account in self._hedgers:
            signer = account.address.lower()
            sent = {one.nonce: one for one in self.topic if isinstance(one, Transaction) and one.signer == signer}
            found += complaints_of_spending(self._paid(signer), list(sent.values()), self.funding)
        frozen = [one for one in self.topic if isinstance(one, Frozen)]
        return found + [f"frozen at other terms: {one}" for one in frozen if {*one.markets.values()} - {_MARKET}]

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
