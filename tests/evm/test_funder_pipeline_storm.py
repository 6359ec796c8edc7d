"""Feeds, workers, ingests and executors fail, fees spike, receipts come late and blocks leave the chain, at random.

Everything is real but the exchange and the contract: an EVM, Kafka, the ingest, the worker and the executors are
processes. What became of each quote is compared with what a judge says that sees the chain and the log of ticks alone.
No claim is about how fast anything is: the window is an hour of the chain's time, and every end is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from models.symmio.funding_records import CeilingMet
from streams.funder.epoch_replay import replay
from streams.process.clock import SystemClock
from tests.evm.complaints import complaints_of_outcomes, complaints_of_terms
from tests.evm.flaky import LIES
from tests.evm.judge import closed_at_s, expect_no_ceiling_broken
from tests.evm.killer import Killer
from tests.evm.market import (
    EPOCH_S,
    HOUR_S,
    NAME,
    SECOND_SIGNER,
    SIGNER,
    SYMBOLS,
    next_window_s,
    quotes_of,
    scene,
)
from tests.evm.pipeline import pipeline
from tests.evm.verdict import Terms, read_ticks, refusals, seen_of, terms_at, verdicts
from tests.evm.weather import OWN_KINDS, SEEDS, STORMS, happen, kinds_of, lie_of, meddle
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.evm.market import Scene
    from tests.evm.pipeline import Pipeline

_log = logging.getLogger(__name__)

DEPTH = 12
SOURCES = ("binance-futures", "recorded")
SIZES = (14, 8, 4, 3, 2, 2)
REFUSED, FREE, CLIPPED = 5, 9, 13
CLIPPED_TO = 10**12
EVENTS = len(OWN_KINDS) // 2 if STORMS else 3


class Storm:
    """One storm over one epoch.

    Args:
        one: The scene.
        tables: The ingest and the worker.
        killer: Has the executors.
        draw: Decides what happens.
    """

    def __init__(self, one: Scene, tables: Pipeline, killer: Killer, draw: random.Random) -> None:
        self._one = one
        self._tables = tables
        self._killer = killer
        self._draw = draw
        self._closed: set[int] = set()
        # How often each thing happened, and what it came to.
        self.happened: Counter[str] = Counter()

    async def open_window(self, pays_s: int) -> None:
        """Let feeds fall silent about the epoch's beginning and what makes tables be down, then go there."""
        one, draw = self._one, self._draw
        # A short silence, one after which a source does not count, one that leaves no mark, and one that is for good.
        silences = (
            range(0),
            range(pays_s - 7, pays_s + 6),
            range(pays_s - 4, pays_s + 30),
            range(pays_s - 200, pays_s + 5),
            range(pays_s - 3, pays_s + 10**6),
        )
        for symbol in SYMBOLS.values():
            one.venue.hushed[SOURCES[0], symbol] = draw.choice(silences)
        # One market at least can be priced by its second source.
        hushed = draw.choice([*SYMBOLS.values()])
        one.venue.hushed[SOURCES[1], hushed] = draw.choice(silences)
        self.happened["feeds silent at T"] = sum(pays_s in hush for hush in one.venue.hushed.values())
        if draw.random() < 0.5:
            self._tables.kill_worker()
            self.happened["worker down at T"] += 1
        if draw.random() < 0.25:
            self._tables.kill_ingest()
            self.happened["ingest down at T"] += 1
        await self._killer.start()
        if draw.random() < 0.5:
            await eventually(lambda: len(self._killer.working) == 1, timeout_s=60)
        await one.chain.mine_every(1)
        await one.chain.go_to(pays_s + 1)
        if draw.random() < 0.5:
            await self._killer.kill_one()
            self.happened["executor killed at T"] += 1
        # Who has not spoken yet when the chain's time leaps on says nothing of the epoch's beginning any more.
        await eventually(lambda: one.venue.said_s > pays_s, timeout_s=60)
        # A fork that reached below this would take the chain's clock back before the window.
        await one.chain.ask("anvil_mine", hex(DEPTH), hex(1))

    async def happen(self, kind: str) -> None:
        """Let one thing of a kind happen."""
        one, draw = self._one, self._draw
        self.happened[kind] += 1
        charged = len(await one.charges())
        match kind:
            case "worker" if self._tables.worker is None:
                self._tables.start_worker()
            case "worker":
                self._tables.kill_worker()
            case "ingest":
                self._tables.kill_ingest()
                self._tables.start_ingest()
            case "close":
                # What became of these two is the same whether they are closed or not.
                self._closed.add(draw.choice([*{*range(1, len(one.quotes) + 1)} - {REFUSED, FREE}]))
                await self._close()
            case "leap":
                await one.chain.go_to(await one.chain.time_s() + draw.randint(HOUR_S // 60, HOUR_S // 12))
            case _:
                await happen(kind, one, self._killer, draw, depth=DEPTH)
                self.happened["charges that left with their blocks"] += max(0, charged - len(await one.charges()))
                # A chain mines again what it lost; this one forgets it.
                await self._close()

    async def _close(self) -> None:
        for quote_id in sorted(self._closed):
            await self._one.diamond.send("close", quote_id)

    async def calm(self, pays_s: int) -> None:
        """Let everything be up, and the chain be where every source that comes back has come back."""
        one = self._one
        one.node.calm()
        self._tables.start_worker()
        self._tables.start_ingest()
        await one.chain.mine_every(1)
        await self._close()
        # A base fee of 200 gwei falls below the ceiling in 20 empty blocks.
        await one.chain.ask("anvil_mine", hex(24), hex(1))
        # Blocks come meanwhile, and time does not go back.
        await one.chain.go_to(max(await one.chain.time_s(), pays_s) + HOUR_S // 20)
        await eventually(lambda: one.venue.said_s > pays_s + 60, timeout_s=60)

    async def count(self) -> dict[str, int]:
        """What happened, and what executors met of it."""
        one = self._one
        found = self.happened + Counter(
            {
                "receipts withheld": one.node.withheld,
                "answers that failed": one.node.failed,
                "fees suggested": one.node.suggested,
                "lies": 0 if one.liar is None else one.liar.lied,
            }
        )
        found.update(f"transactions {sent.state}" for sent in await one.sent())
        found.update(f"ceiling {met.ceiling}" for met in await one.records() if isinstance(met, CeilingMet))
        return dict(sorted(found.items()))


def test_two_storms_have_every_kind_and_storms_have_every_lie() -> None:
    for seed in range(0, 100, 2):
        assert sorted(OWN_KINDS) == sorted(kinds_of(seed, OWN_KINDS) + kinds_of(seed + 1, OWN_KINDS))
    assert {*LIES, ""} == {lie_of(seed) for seed in range(4 * len(LIES))}


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_quote_is_charged_at_the_judges_rate_or_has_the_judges_reason(
    settings: Callable[..., Settings], tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    quotes = quotes_of(SIZES, seed=seed)
    quotes[FREE - 1] = quotes[FREE - 1]._replace(max_funding_rate=0)
    quotes[CLIPPED - 1] = quotes[CLIPPED - 1]._replace(max_funding_rate=CLIPPED_TO)
    signers, hedgers = [SIGNER.address.lower()], {}
    if seed % 2:
        # Every third quote is another hedger's, also of accounts that the first one has quotes of.
        second = SECOND_SIGNER.address.lower()
        quotes = [quote._replace(party_b=second) if at % 3 == 1 else quote for at, quote in enumerate(quotes)]
        signers.append(second)
        hedgers = {"second": {"party_b": second, "key": SECOND_SIGNER.key.hex()}}
    ceilings = {"max_fee_gwei": 20, "max_tip_gwei": 2, "max_window_spend": 0.2, "max_day_spend": 0.3}
    async with (
        scene(
            settings,
            party_b="key",
            depth=DEPTH,
            window_s=HOUR_S,
            sources=SOURCES,
            replace_after_s=3,
            batch=10,
            hedgers=hedgers,
            lie=lie_of(seed),
            **ceilings,
        ) as one,
        AsyncExitStack() as stack,
    ):
        one.venue.seed = seed
        await one.open_on_chain(quotes)
        await one.diamond.send("refuse", REFUSED, "the quote is cursed")
        tables = await stack.enter_async_context(pipeline(one))
        pays_s = await next_window_s(one.chain)
        killer = Killer(one, tmp_path, seed)
        storm = Storm(one, tables, killer, draw)
        # It draws when it comes to it: with the storm's own, that would be another storm each time.
        meddling = asyncio.create_task(meddle(one, random.Random(seed)))
        try:
            await storm.open_window(pays_s)
            await killer.start()
            for kind in kinds_of(seed, OWN_KINDS)[:EVENTS]:
                await storm.happen(kind)
            meddling.cancel()
            with suppress(asyncio.CancelledError):
                await meddling
            await storm.calm(pays_s)
            terms = await judged_terms(one, pays_s)
            # A storm in which nothing is to be charged would show nothing.
            assert any(isinstance(found, Terms) for found in terms.values())
            refused = await refusals(one)
            await killer.until(lambda: is_done(one, terms, refused, pays_s), timeout_s=90)
            await one.chain.go_to(pays_s + HOUR_S + 1)
            await killer.until(lambda: all_final(one), timeout_s=90)
        finally:
            meddling.cancel()
            await killer.end()
            _log.info("storm seed=%d lie=%r happened=%s", seed, lie_of(seed), await storm.count())
        await one.chain.mine_every(0)
        await expect_the_judges_terms(one, terms, pays_s)
        outcomes = (await one.told()).values()
        window = pays_s, pays_s + HOUR_S
        assert [] == complaints_of_outcomes(await seen_of(one, await refusals(one)), terms, outcomes, window)
        for signer in signers:
            await expect_no_ceiling_broken(one, signer)
        prices, closed = await one.contract_prices(), await closed_at_s(one)
        # Rows hold a quote for a while after it was closed.
        await eventually(lambda: prices == {one: prices[one] for one in closed} | tables.prices, timeout_s=60)


async def judged_terms(one: Scene, pays_s: int) -> dict[int, Terms | str]:
    ticks = await read_ticks(one)
    return {
        symbol_id: terms_at([ticks[source, symbol] for source in SOURCES], pays_s, EPOCH_S)
        for symbol_id, symbol in SYMBOLS.items()
    }


async def is_done(one: Scene, terms: dict[int, Terms | str], refused: dict[int, str], pays_s: int) -> bool:
    """Whether an executor was there, and everything is charged that the judge says is to be."""
    if not await one.frozen():
        return False
    seen = await seen_of(one, refused)
    told = verdicts(seen, terms, (pays_s, pays_s + HOUR_S))
    return {quote_id for quote_id, verdict in told.items() if verdict.outcome == "paid"} == seen.charged.keys()


async def all_final(one: Scene) -> bool:
    outcomes = await one.told()
    pairs = {(quote.party_a, quote.party_b or one.party_b) for quote in one.quotes}
    return outcomes.keys() == pairs and all(told.final for told in outcomes.values())


async def expect_the_judges_terms(one: Scene, terms: dict[int, Terms | str], pays_s: int) -> None:
    for frozen in {told.party_b: told for told in await one.frozen()}.values():
        held = {quote.symbol_id for quote in one.quotes if (quote.party_b or one.party_b) == frozen.party_b}
        judged = {symbol_id: terms[symbol_id] for symbol_id in held}
        assert [] == complaints_of_terms(judged, {**frozen.markets, **frozen.left_out})
    # Whenever they are read, they are the same.
    (replayed,) = await replay(one.settings, NAME, SystemClock(), pays_s)
    assert [] == complaints_of_terms(terms, replayed.markets)
    assert not any(replayed.differs(symbol_id) for symbol_id in replayed.markets)
