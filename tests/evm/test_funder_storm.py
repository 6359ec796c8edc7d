"""180 quotes of 20 accounts are charged once each, whatever happens to executor, node and chain meanwhile."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from models.symmio.funding_plan import ChainQuote, ChargeOn, Terms, charge_of, price_after
from models.symmio.state import PositionType, QuoteStatus
from tests.evm.judge import charged, charged_at_s
from tests.evm.killer import Killer
from tests.evm.market import EPOCH_S, HOUR_S, Opened, account, next_window_s, quotes_of, scene
from tests.evm.pipeline import pipeline
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.evm.market import Scene
    from tests.evm.pipeline import Pipeline

SIZES = (62, 40, 20, *(4,) * 7, *(3,) * 10)
REFUSED, CLOSED, CLIPPED = (7, 120, 121), 99, (3, 30, 150)
SPARED = frozenset({*REFUSED, CLOSED})
LAST = account(5)
CLIPPED_TO = 10**12
CLOSED_STATUS = 7


async def meddle(one: Scene) -> None:
    """Others act for the accounts all the time: signatures fetched before are stale."""
    draw = random.Random(5)
    while True:
        await one.diamond.send("act", one.party_b, account(draw.randrange(6)))
        await asyncio.sleep(draw.random() * 1.5)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("party_b", "kills"), [("key", 3), ("contract", 2)])
async def test_each_quote_is_charged_once(
    settings: Callable[..., Settings], tmp_path: Path, party_b: str, kills: int
) -> None:
    quotes = quotes_of(SIZES, seed=3)
    for quote_id in CLIPPED:
        quotes[quote_id - 1] = quotes[quote_id - 1]._replace(max_funding_rate=CLIPPED_TO)
    async with scene(settings, party_b=party_b, concurrency=4, window_s=HOUR_S) as one, AsyncExitStack() as stack:
        await one.open_on_chain(quotes)
        for quote_id in REFUSED:
            await one.diamond.send("refuse", quote_id, "the quote is cursed")
        accounts = await stack.enter_async_context(pipeline(one))
        # No log says so: the tables keep it open.
        await one.diamond.send("setStatus", CLOSED, CLOSED_STATUS)
        await one.chain.mine_every(1)
        pays_s = await next_window_s(one.chain)
        await one.chain.go_to(pays_s + 1)
        killer = Killer(one, tmp_path, seed=11)
        meddling = asyncio.create_task(meddle(one))
        one.node.odds = 0.04
        # However fast the others are charged, each executor is killed with work left to do.
        one.gateway.silent = {LAST}
        try:
            await killer.start()
            await killer.start()
            for number in range(kills):
                await killer.kill_one()
                if number == kills // 2:
                    await one.chain.ask("anvil_reorg", 2, [])
            meddling.cancel()
            with suppress(asyncio.CancelledError):
                await meddling
            assert LAST not in await one.outcomes()
            one.gateway.silent = set()
            one.node.hangs = 1

            async def all_told() -> bool:
                # What was told before its block left the chain is told again once it is charged again.
                counts = await charged(one)
                return len(await one.outcomes()) == len(SIZES) and len(counts) == len(quotes) - len(SPARED)

            await killer.until(all_told, timeout_s=150)
        finally:
            meddling.cancel()
            await killer.end()
        await one.chain.mine_every(0)
        await expect_charged_once(one, pays_s, accounts)
        assert 1 <= one.node.failed


async def expect_charged_once(one: Scene, pays_s: int, accounts: Pipeline) -> None:
    spared = SPARED
    assert all(pays_s <= time_s <= pays_s + HOUR_S for time_s in await charged_at_s(one))
    everything = set(range(1, len(one.quotes) + 1))
    assert dict.fromkeys(everything - spared, 1) == await charged(one)

    (frozen,) = await one.frozen()
    expected = {
        quote_id: quote.opened_price
        if quote_id in spared
        else charged_price(quote_id, quote, one.party_b, frozen.markets[quote.symbol_id].terms)
        for quote_id, quote in enumerate(one.quotes, 1)
    }
    assert expected == await one.contract_prices()
    await eventually(lambda: expected == accounts.prices, timeout_s=30)

    outcomes = await one.outcomes()
    assert everything - spared == {quote_id for told in outcomes.values() for quote_id in told.paid}
    culprits = {quote_id: said for told in outcomes.values() for quote_id, said in told.culprits.items()}
    assert dict.fromkeys(REFUSED, "the quote is cursed") == culprits
    closed = {quote_id: said for told in outcomes.values() for quote_id, said in told.closed.items()}
    assert {CLOSED: "it is not open"} == closed
    # Each quote has one outcome.
    assert sorted(everything) == sorted(quote_id for told in outcomes.values() for quote_id in told.quotes)
    assert set(CLIPPED) == {quote_id for told in outcomes.values() for quote_id in told.clipped}
    assert all(not told.missed for told in outcomes.values())
    assert (EPOCH_S, HOUR_S, pays_s) == frozen.epoch


def charged_price(quote_id: int, quote: Opened, party_b: str, terms: Terms) -> int:
    on_chain = ChainQuote(
        quote_id,
        quote.symbol_id,
        PositionType(quote.position_type),
        quote.party_a,
        party_b,
        QuoteStatus.OPENED,
        quote.opened_price,
        quote.quantity,
        quote.max_funding_rate,
        0,
    )
    return price_after(on_chain, charge_of(on_chain, terms, ChargeOn.MARK).rate_e18)
