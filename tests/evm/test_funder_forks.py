"""Fees spike, receipts come late, blocks leave the chain up to the finality depth, and executors are killed, at random.

In the end the judge, which looks at the chain alone, agrees with every outcome, and nothing went beyond the ceilings.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.evm.judge import charged, charged_at_s, expect_no_ceiling_broken
from tests.evm.killer import Killer
from tests.evm.market import HOUR_S, SIGNER, next_window_s, quotes_of, scene
from tests.evm.weather import KINDS, SEEDS, happen, meddle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.symmio.funding_records import Outcome
    from streams.settings import Settings
    from tests.evm.market import Scene

DEPTH = 12
# Each account is some three charges' worth of gas; 12 accounts cost some 0.02 coins at 2 gwei.
SIZES = (40, 30, 20, *(4,) * 6, *(2,) * 3)
MOST_FEE_GWEI, MOST_TIP_GWEI, MOST_WINDOW, MOST_DAY = 20, 2, 0.2, 0.3
EVENTS = 6


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", SEEDS)
async def test_outcomes_are_what_the_chain_says_and_no_ceiling_is_broken(
    settings: Callable[..., Settings], tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    ceilings: dict[str, Any] = {
        "max_fee_gwei": MOST_FEE_GWEI,
        "max_tip_gwei": MOST_TIP_GWEI,
        "max_window_spend": MOST_WINDOW,
        "max_day_spend": MOST_DAY,
    }
    async with scene(
        settings, party_b="key", depth=DEPTH, window_s=HOUR_S, replace_after_s=3, concurrency=4, batch=15, **ceilings
    ) as one:
        await one.open(quotes_of(SIZES, seed=seed))
        await one.chain.mine_every(1)
        pays_s = await next_window_s(one.chain)
        await one.chain.go_to(pays_s + 1)
        # A fork that reached below this would take the quotes out of the chain and its clock back before the window,
        # where nothing can be charged.
        await one.chain.ask("anvil_mine", hex(DEPTH), hex(1))
        killer = Killer(one, tmp_path, seed)
        meddling = asyncio.create_task(meddle(one, draw))
        try:
            await killer.start()
            await killer.start()
            # From here on there is something to lose.
            await killer.until(lambda: has_sent(one), timeout_s=60)
            for _ in range(EVENTS):
                await happen(draw.choice(KINDS), one, killer, draw, depth=DEPTH)
            meddling.cancel()
            with suppress(asyncio.CancelledError):
                await meddling
            one.node.calm()
            await killer.until(lambda: all_told(one), timeout_s=40)
            # What a fork threw out of the chain, or a fee above the ceiling held up, is charged while the window is
            # open: some 20 blocks after a spike to 200 gwei the fee is below the ceiling again.
            await killer.until(lambda: most_are_charged(one), timeout_s=90)
            await one.chain.go_to(pays_s + HOUR_S + 1)
            await killer.until(lambda: all_final(one), timeout_s=60)
        finally:
            meddling.cancel()
            await killer.end()
        await one.chain.mine_every(0)
        await expect_no_ceiling_broken(one, SIGNER.address.lower())
        await expect_outcomes_of_the_chain(one, pays_s)


async def has_sent(one: Scene) -> bool:
    return bool(await one.sent())


async def all_told(one: Scene) -> bool:
    return len(await one.outcomes()) == len(SIZES)


async def most_are_charged(one: Scene) -> bool:
    return len(await charged(one)) > len(one.quotes) // 2


async def all_final(one: Scene) -> bool:
    outcomes = await one.outcomes()
    return len(outcomes) == len(SIZES) and all(told.final for told in outcomes.values())


async def expect_outcomes_of_the_chain(one: Scene, pays_s: int) -> None:
    times = await charged_at_s(one)
    assert all(pays_s <= time_s <= pays_s + HOUR_S for time_s in times)
    counts = await charged(one)
    assert set(counts.values()) <= {1}
    outcomes = await one.outcomes()
    assert set(range(1, len(one.quotes) + 1)) == {quote_id for told in outcomes.values() for quote_id in told.quotes}
    assert len(one.quotes) == sum(len(told.quotes) for told in outcomes.values())
    assert set(counts) == {quote_id for told in outcomes.values() for quote_id in told.paid}
    assert all(said for told in outcomes.values() for said in reasons(told))
    # A storm in which hardly anything was charged would show nothing.
    assert len(counts) > len(one.quotes) // 2


def reasons(outcome: Outcome) -> list[str]:
    return [*outcome.missed.values(), *outcome.culprits.values(), *outcome.closed.values()]
