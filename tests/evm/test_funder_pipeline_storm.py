"""Feeds, workers, ingests and executors fail, fees spike, receipts come late and blocks leave the chain, at random.

Everything is real but the exchange and the contract: an EVM, Kafka, the ingest, the worker and the executors are
processes. What became of each quote is compared with what a judge says that sees the chain and the log of ticks alone.
No claim is about how fast anything is: the window is an hour of the chain's time, and every end is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack, suppress
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from streams.funder.epoch_replay import replay
from streams.process.clock import SystemClock
from tests.evm.complaints import complaints_of_outcomes, complaints_of_terms
from tests.evm.flaky import LIES
from tests.evm.judge import closed_at_s, complaints_of_signer
from tests.evm.killer import Killer
from tests.evm.market import (
    EPOCH_S,
    HOUR_S,
    MARKS_E18,
    NAME,
    SECOND_SIGNER,
    SIGNER,
    SYMBOLS,
    account,
    next_window_s,
    quotes_of,
    scene,
)
from tests.evm.pipeline import pipeline
from tests.evm.storm import Storm
from tests.evm.verdict import Terms, read_ticks, refusals, seen_of, terms_at, verdicts
from tests.evm.weather import KINDS, REFUSED, SEEDS, kinds_of, lie_of
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streams.settings import Settings
    from tests.evm.market import Opened, Scene

_log = logging.getLogger(__name__)

DEPTH = 12
SOURCES = ("binance-futures", "recorded")
SIZES = (14, 8, 4, 3, 2, 2)
# Accounts with quotes of both markets, and of the one alone that always has a price.
MIXED, PLAIN = [account(number) for number in range(3)], [account(number) for number in range(3, len(SIZES))]
BIG = MIXED[0]
CLIPPED_TO = 10**12
# An account that could not be charged is tried again after 20 s at most, and blocks come every second.
UNCHANGED_BLOCKS = 40


class Settling:
    """Tells when nothing more is to come, also of an executor with a fault, which is not waited for then."""

    def __init__(self, one: Scene) -> None:
        self._one = one
        self._state: object = None
        self._since_block = 0

    async def is_over(self) -> bool:
        """Whether every account is told, and neither records nor charges have changed for some blocks."""
        outcomes, block = await self._one.told(), int(await self._one.chain.ask("eth_blockNumber"), 16)
        sent = {(told.signer, told.nonce): told for told in await self._one.sent()}
        state = outcomes, sent, len(await self._one.charges())
        if state != self._state or outcomes.keys() != pairs_of(self._one):
            self._state, self._since_block = state, block
        return block - self._since_block >= UNCHANGED_BLOCKS


def pairs_of(one: Scene) -> set[tuple[str, str]]:
    return {(quote.party_a, quote.party_b or one.party_b) for quote in one.quotes}


def quotes_in(seed: int, priced: int) -> list[Opened]:
    """The quotes of a storm: the first one of each account, and all of plain ones, are of one market."""
    quotes = quotes_of(SIZES, seed=seed)
    firsts = {ids_of(quotes, party_a)[0] for party_a in (*MIXED, *PLAIN)}
    refused, free, clipped = ids_of(quotes, BIG)[1:4]
    for quote_id, quote in enumerate(quotes, 1):
        if quote.party_a in PLAIN or quote_id in {*firsts, refused}:
            price = quote.opened_price * MARKS_E18[priced] // MARKS_E18[quote.symbol_id]
            quotes[quote_id - 1] = quote._replace(symbol_id=priced, opened_price=price)
    quotes[free - 1] = quotes[free - 1]._replace(max_funding_rate=0)
    quotes[clipped - 1] = quotes[clipped - 1]._replace(max_funding_rate=CLIPPED_TO)
    return quotes


def ids_of(quotes: Sequence[Opened], party_a: str) -> list[int]:
    return [quote_id for quote_id, quote in enumerate(quotes, 1) if quote.party_a == party_a]


def test_two_storms_have_every_kind_and_storms_have_every_lie() -> None:
    for seed in range(0, 100, 2):
        assert sorted(chain.from_iterable(KINDS)) == sorted(kinds_of(seed) + kinds_of(seed + 1))
    assert {*LIES, ""} == {lie_of(seed) for seed in range(4 * len(LIES))}


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_quote_is_charged_at_the_judges_rate_or_has_the_judges_reason(
    settings: Callable[..., Settings], tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    priced = draw.choice([*SYMBOLS])
    quotes = quotes_in(seed, priced)
    refused, free, _ = ids_of(quotes, BIG)[1:4]
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
            # The gateway may hold every account.
            concurrency=len(SIZES),
            hedgers=hedgers,
            lie=lie_of(seed),
            **ceilings,
        ) as one,
        AsyncExitStack() as stack,
    ):
        one.venue.seed = seed
        await one.open_on_chain(quotes)
        await one.diamond.send("refuse", refused, "the quote is cursed")
        tables = await stack.enter_async_context(pipeline(one))
        pays_s = await next_window_s(one.chain)
        killer = Killer(one, tmp_path, seed)
        # What became of these two is the same whether they are closed or not; the first ones are to be charged.
        lasting = {refused, free, *(ids_of(quotes, party_a)[0] for party_a in MIXED)}
        storm = Storm(one, tables, killer, draw, depth=DEPTH, priced=priced, mixed=MIXED, plain=PLAIN, lasting=lasting)
        meddling = asyncio.create_task(storm.meddle(random.Random(seed)))
        try:
            await storm.open_window(pays_s)
            await killer.start()
            for kind in kinds_of(seed):
                await storm.happen(kind)
            meddling.cancel()
            with suppress(asyncio.CancelledError):
                await meddling
            await storm.calm(pays_s)
            terms = await judged_terms(one, pays_s)
            contract_refuses, settling = await refusals(one), Settling(one)

            async def is_done() -> bool:
                return await is_charged(one, terms, contract_refuses, pays_s) or await settling.is_over()

            await killer.until(is_done, timeout_s=90)
            await one.chain.go_to(pays_s + HOUR_S + 1)
            await killer.until(lambda: all_final(one), timeout_s=90)
        finally:
            meddling.cancel()
            await killer.end()
            _log.info("storm seed=%d lie=%r happened=%s", seed, lie_of(seed), await storm.count())
        await one.chain.mine_every(0)
        assert [] == await storm.without_effect(kinds_of(seed)), "this storm tried nothing of these"
        outcomes = (await one.told()).values()
        window = pays_s, pays_s + HOUR_S
        complaints = [
            *await complaints_of_frozen(one, terms),
            *complaints_of_outcomes(await seen_of(one, await refusals(one)), terms, outcomes, window),
            *[said for signer in signers for said in await complaints_of_signer(one, signer)],
        ]
        assert [] == complaints, REFUSED
        await expect_the_same_terms_later(one, terms, pays_s)
        prices, closed = await one.contract_prices(), await closed_at_s(one)
        # Rows hold a quote for a while after it was closed.
        await eventually(lambda: prices == {one: prices[one] for one in closed} | tables.prices, timeout_s=60)


async def judged_terms(one: Scene, pays_s: int) -> dict[int, Terms | str]:
    ticks = await read_ticks(one)
    return {
        symbol_id: terms_at([ticks[source, symbol] for source in SOURCES], pays_s, EPOCH_S)
        for symbol_id, symbol in SYMBOLS.items()
    }


async def is_charged(one: Scene, terms: dict[int, Terms | str], refused: dict[int, str], pays_s: int) -> bool:
    """Whether an executor was there, and everything is charged that the judge says is to be."""
    if not await one.frozen():
        return False
    seen = await seen_of(one, refused)
    told = verdicts(seen, terms, (pays_s, pays_s + HOUR_S))
    return {quote_id for quote_id, verdict in told.items() if verdict.outcome == "paid"} == seen.charged.keys()


async def all_final(one: Scene) -> bool:
    outcomes = await one.told()
    return outcomes.keys() == pairs_of(one) and all(told.final for told in outcomes.values())


async def complaints_of_frozen(one: Scene, terms: dict[int, Terms | str]) -> list[str]:
    found = []
    for frozen in {told.party_b: told for told in await one.frozen()}.values():
        held = {quote.symbol_id for quote in one.quotes if (quote.party_b or one.party_b) == frozen.party_b}
        judged = {symbol_id: terms[symbol_id] for symbol_id in held}
        found += complaints_of_terms(judged, {**frozen.markets, **frozen.left_out})
    return found


async def expect_the_same_terms_later(one: Scene, terms: dict[int, Terms | str], pays_s: int) -> None:
    (replayed,) = await replay(one.settings, NAME, SystemClock(), pays_s)
    assert [] == complaints_of_terms(terms, replayed.markets)
    assert not any(replayed.differs(symbol_id) for symbol_id in replayed.markets)
