"""Executors die at any step, endpoints lie and blocks leave the chain: each quote is charged once all the same.

Executor, sender, ceilings and the node's policy are the real ones, on a virtual clock; chain and topic are in memory.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

import pytest

from tests.evm.mutants import MUTANTS
from tests.support.funding_chain import GWEI
from tests.support.funding_lives import DEPTH, PAYS_S, WINDOW_S, World
from tests.support.virtual_loop import run_in_no_time

FIRST = int(os.environ.get("TIDEMARK_TEST_SEED") or 0)
ASKED = int(os.environ.get("TIDEMARK_TEST_STORMS") or 0)
"""How many storms were asked for; without any there are a few."""
SEEDS = range(FIRST, FIRST + (50 * ASKED or 15))
KINDS = ("fork", "fork", "spike", "suggest", "stall", "forget", "lie", "lie", "fail", "act", "act", "close")


async def until_over(world: World, lives: list[int | None], *, away_s: float) -> None:
    """Let executors live, one after the other; who comes after one that died takes its place a while later."""

    async def one_after_the_other() -> None:
        for ends_at in lives:
            await world.live(ends_at)
            await asyncio.sleep(away_s)
        await world.live(None)

    running = [asyncio.create_task(world.chain.run()), asyncio.create_task(one_after_the_other())]
    try:
        while not world.is_over:
            await asyncio.sleep(1)
            for task in running:
                if task.done():
                    task.result()
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def at_each_step(ends_at: int | None) -> World:
    world = World(random.Random(1), hedgers=2)
    world.chain.refused = {2: "the quote is cursed"}
    await until_over(world, [] if ends_at is None else [ends_at], away_s=5)
    return world


# The first quarter of the steps is of charging, the others are of waiting until everything is final.
STEPS = range(1, 2_000) if ASKED else [*random.Random(FIRST).sample(range(1, 400), 15), 700, 1_100]


@pytest.mark.parametrize("ends_at", STEPS)
def test_wherever_an_executor_dies_the_next_one_charges_what_is_left(ends_at: int) -> None:
    assert [] == run_in_no_time(at_each_step(ends_at)).complaints()


async def meddle(world: World, draw: random.Random, until_s: int) -> None:
    """Let things happen one after the other, and then be calm.

    Args:
        world: What it happens to.
        draw: Decides what happens.
        until_s: Until when, by the chain's time, Unix s.
    """
    chain = world.chain
    pairs = sorted({(one.party_b, one.party_a) for one in world.quotes})
    while chain.now_s < until_s:
        await asyncio.sleep(draw.uniform(0.2, 6))
        match draw.choice(KINDS):
            case "fork":
                acting = [pair for pair in pairs if draw.random() < 0.3]
                chain.fork(draw.randint(1, DEPTH - 1), forgets=draw.random() < 0.5, acting=acting)
            case "spike":
                chain.base_wei = draw.choice((1, 10, 30, 200)) * GWEI
            case "suggest":
                chain.suggested_wei = draw.choice((0, GWEI, 5_000 * GWEI))
            case "stall":
                chain.is_stalled = True
                await asyncio.sleep(draw.uniform(1, 20))
                chain.is_stalled = False
            case "forget":
                chain.forget_pool()
            case "lie":
                world.endpoints[0].odds = draw.choice((0.0, 0.1, 0.3, 0.9))
            case "fail":
                world.endpoints[1].odds = draw.choice((0.0, 0.1, 0.3))
            case "act":
                chain.mine([draw.choice(pairs)])
            case _:
                chain.close(draw.randint(2, len(world.quotes) - 1))
    for endpoint in world.endpoints:
        endpoint.odds = 0.0
    chain.base_wei, chain.suggested_wei, chain.is_stalled = 2 * GWEI, GWEI // 10, False


async def storm(seed: int, calm_after_s: int) -> World:
    draw = random.Random(seed)
    world = World(draw, hedgers=draw.choice((1, 2)), slowest_s=draw.choice((0.0, 0.0, 2.0, 12.0)))
    world.chain.refused = {1: "the quote is cursed"}
    world.known_s = PAYS_S + draw.choice((0, 0, 0, 40, 90, WINDOW_S + 5, WINDOW_S + 60))
    world.late = frozenset(one.quote_id for one in world.quotes if draw.random() < 0.5)
    lives: list[int | None] = [draw.randint(1, 400) for _ in range(draw.randint(0, 5))]
    meddling = asyncio.create_task(meddle(world, draw, PAYS_S + calm_after_s))
    try:
        await until_over(world, lives, away_s=draw.uniform(2, 15))
        await meddling
    finally:
        meddling.cancel()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_judge_agrees_once_it_is_calm(seed: int) -> None:
    assert [] == run_in_no_time(storm(seed, WINDOW_S // 2)).complaints()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_while_the_window_closes_what_is_told_is_what_the_chain_has(seed: int) -> None:
    assert [] == run_in_no_time(storm(seed, WINDOW_S + 30)).complaints(may_miss=True)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_judge_refuses_an_executor_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch.setattr)
    assert any(run_in_no_time(storm(seed, WINDOW_S // 2)).complaints() for seed in range(FIRST, FIRST + 60))
