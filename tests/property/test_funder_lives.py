"""Executors die at any step, endpoints lie and blocks leave the chain: each quote is charged once all the same.

Executor, sender, ceilings and the node's policy are the real ones, on a virtual clock; chain and topic are in memory.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

import pytest

from models.symmio.funding_plan import LATE_S
from models.symmio.funding_records import Outcome
from tests.evm.mutants import MUTANTS
from tests.support.funding_chain import GWEI, Act
from tests.support.funding_endpoint import VIEWS_TWISTED
from tests.support.funding_lives import EPOCH_S, PAYS_S, WINDOW_S, World
from tests.support.virtual_loop import run_in_no_time

FIRST = int(os.environ.get("TIDEMARK_TEST_SEED") or 0)
ASKED = int(os.environ.get("TIDEMARK_TEST_STORMS") or 0)
"""How many storms were asked for (`make funding-storm`); without any there are a few."""
SEEDS = range(FIRST, FIRST + (50 * ASKED or 5))
KINDS = ("fork", "fork", "spike", "suggest", "stall", "forget", "lie", "lie", "fail", "act", "act", "close", "open")


async def until_over(world: World, lives: list[int | None], *, away_s: float, is_upgraded: bool = False) -> None:
    """Let executors live, one after the other; who comes after one that died takes its place a while later.

    Args:
        world: Where they live.
        lives: At which step each of them dies; after them comes one that does not.
        away_s: How long nobody is there after each.
        is_upgraded: Whether the last one finds records of the version before.
    """

    async def one_after_the_other() -> None:
        for ends_at in lives:
            await world.live(ends_at)
            await asyncio.sleep(away_s)
        if is_upgraded:
            world.grow_old()
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
STEPS = range(1, 2_000) if ASKED else [*random.Random(FIRST).sample(range(1, 400), 6), 700, 1_100]


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
                chain.fork(draw.randint(1, world.depth - 1), forgets=draw.random() < 0.5, acting=acting)
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
            case "open":
                chain.do(Act(draw.choice(world.unborn).quote_id, opens=True))
            case _:
                chain.do(Act(draw.randint(2, len(world.quotes) - 1), opens=False))
    for endpoint in world.endpoints:
        endpoint.odds = 0.0
    chain.base_wei, chain.suggested_wei, chain.is_stalled = 2 * GWEI, GWEI // 10, False


async def storm(seed: int, calm_after_s: int, *, is_upgraded: bool = False, **about: int) -> World:
    draw = random.Random(seed)
    hedgers = 1 if is_upgraded else draw.choice((1, 2))
    slowest_s = draw.choice((0.0, 0.0, 2.0, 12.0))
    world = World(draw, hedgers=hedgers, slowest_s=slowest_s, **about)
    world.chain.refused = {1: "the quote is cursed"}
    if not is_upgraded:
        # Which quotes were known late the version before did not put on record.
        world.known_s = PAYS_S + draw.choice((0, 0, 0, 40, 90, world.window_s + 5, world.window_s + 60))
        world.late = frozenset(one.quote_id for one in world.quotes if draw.random() < 0.5)
    lives: list[int | None] = [draw.randint(1, 400) for _ in range(draw.randint(0, 5))]
    meddling = asyncio.create_task(meddle(world, draw, world.instants_s[-1] + calm_after_s))
    try:
        await until_over(world, lives, away_s=draw.uniform(2, 15), is_upgraded=is_upgraded)
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


@pytest.mark.parametrize("seed", SEEDS)
def test_epochs_that_follow_one_another_are_each_told_as_the_chain_has_them(seed: int) -> None:
    world = run_in_no_time(storm(seed, 45, epochs=2, epoch_s=500, window_s=90))
    assert [] == world.complaints(may_miss=True)
    assert 2 <= len({one.epoch for one in world.newest(Outcome)})


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_fork_deeper_than_the_window_brings_back_or_takes_is_told_once_with_a_reason(seed: int) -> None:
    assert [] == run_in_no_time(storm(seed, 60, epoch_s=400, window_s=30, depth=60)).complaints(may_miss=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_finds_the_records_of_the_version_before_goes_on_from_them(seed: int) -> None:
    assert [] == run_in_no_time(storm(seed, WINDOW_S // 2, is_upgraded=True)).complaints()


async def stalled_at_the_close(still_s: int) -> World:
    """The chain stands still when the window closes, with charges in its pool, and goes on later."""
    world = World(random.Random(3), window_s=(EPOCH_S - LATE_S - 1) // 2, slowest_s=1.0)
    closes_s = PAYS_S + world.window_s
    # The tables are known so late that there is something to be charged then.
    world.known_s, world.late = closes_s - 4, frozenset(range(2, len(world.quotes)))

    async def stall() -> None:
        await asyncio.sleep(closes_s - 2 - world.chain.now_s)
        world.chain.is_stalled = True
        await asyncio.sleep(still_s)
        world.chain.is_stalled = False

    stalling = asyncio.create_task(stall())
    await until_over(world, [], away_s=1)
    await stalling
    return world


@pytest.mark.parametrize("still_s", [3, 30, LATE_S - 5])
def test_a_charge_that_is_late_for_its_window_never_pays_the_next_epoch(still_s: int) -> None:
    world = run_in_no_time(stalled_at_the_close(still_s))
    assert [] == world.complaints(may_miss=True)
    assert any(one.missed for one in world.newest(Outcome))


async def changed_on_chain(slowest_s: float) -> World:
    """The market has other epochs on chain before anything is charged, or while it is signed; no table says so."""
    world = World(random.Random(5), slowest_s=slowest_s)
    world.known_s = 0 if slowest_s else PAYS_S + 30

    async def change() -> None:
        await asyncio.sleep(PAYS_S + 20 - world.chain.now_s)
        # The contract would take a charge for an epoch that begins in between.
        world.chain.kind = (900, WINDOW_S)

    changing = asyncio.create_task(change())
    await until_over(world, [], away_s=1)
    await changing
    return world


@pytest.mark.parametrize("slowest_s", [0.0, 60.0])
def test_no_charge_pays_another_epoch_where_a_market_is_changed_that_the_tables_do_not_know_yet(
    slowest_s: float,
) -> None:
    world = run_in_no_time(changed_on_chain(slowest_s))
    assert [] == world.complaints(may_miss=True)
    assert any(one.missed for one in world.newest(Outcome))


def lie_of(world: World, lie: str) -> None:
    """Let the first endpoint say something that is not so, whatever it is asked."""
    match lie:
        case "ahead":
            world.endpoints[0].blocks_ahead = 6
        case "fast":
            world.endpoints[0].clock_ahead_s = 400
        case "slow":
            world.endpoints[0].clock_ahead_s = -400
        case _:
            world.endpoints[0].is_frozen = True


async def among_three(lie: str, place: int) -> World:
    world = World(random.Random(7), hedgers=2, endpoints=3)
    lie_of(world, lie)
    world.endpoints.insert(place, world.endpoints.pop(0))
    # Blocks leave the chain again and again, up to the depth at which they are final.
    forking = asyncio.create_task(fork_again(world))
    try:
        await until_over(world, [150], away_s=3)
    finally:
        forking.cancel()
        with suppress(asyncio.CancelledError):
            await forking
    return world


async def fork_again(world: World) -> None:
    while world.chain.now_s < PAYS_S + WINDOW_S // 2:
        await asyncio.sleep(8)
        world.chain.fork(world.depth - 2, forgets=True, acting=())


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("lie", ["ahead", "fast", "slow", "frozen"])
def test_one_endpoint_of_three_that_is_wrong_all_the_time_costs_no_quote_its_epoch(lie: str, place: int) -> None:
    assert [] == run_in_no_time(among_three(lie, place)).complaints()


RECEIPTS = {"reverted": {"status": "0x0"}, "for nothing": {"gasUsed": "0x1"}}
"""What an endpoint may say of every transaction."""


async def where_one_is_wrong_about_costs(lie: str, endpoints: int, place: int) -> World:
    world = World(random.Random(9), hedgers=2, endpoints=endpoints)
    world.chain.refused = {2: "the quote is cursed"}
    world.endpoints[0].takes_all = lie == "takes all"
    world.endpoints[0].refuses_all = lie == "refuses all"
    world.endpoints[0].receipt_says = RECEIPTS.get(lie, {})
    world.endpoints[0].twists = lie if lie in VIEWS_TWISTED else ""
    world.endpoints[0].gas = {"too little": 25_000, "too much": 14_000_000, "far too much": 10**9}.get(lie)
    world.endpoints.insert(place, world.endpoints.pop(0))
    await until_over(world, [150], away_s=3)
    return world


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    "lie", ["takes all", "refuses all", "too little", "too much", "far too much", *VIEWS_TWISTED, *RECEIPTS]
)
def test_one_endpoint_of_three_that_is_wrong_about_what_a_charge_is_made_of_costs_nothing(lie: str, place: int) -> None:
    world = run_in_no_time(where_one_is_wrong_about_costs(lie, 3, place))
    assert ([], 0) == (world.complaints(), world.reverts)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("lie", ["takes all", "refuses all", "too little", "too much", "far too much"])
def test_one_endpoint_of_two_that_is_wrong_about_what_is_taken_costs_a_bounded_number_of_charges(
    lie: str, place: int
) -> None:
    world = run_in_no_time(where_one_is_wrong_about_costs(lie, 2, place))
    assert [] == [one for one in world.complaints() if "the quote is cursed" not in one]
    # A batch of two, and the one quote of it that is refused.
    assert world.reverts <= (2 if lie == "takes all" else 0)


# Of two that differ on which quote it is nothing is told before they agree, also once its window has closed.
TOLD_BY_TWO = [lie for lie in VIEWS_TWISTED if lie != "market"]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("lie", TOLD_BY_TWO)
def test_one_endpoint_of_two_that_is_wrong_about_an_account_charges_nothing_wrongly(lie: str, place: int) -> None:
    world = run_in_no_time(where_one_is_wrong_about_costs(lie, 2, place))
    assert ([], 0) == (world.complaints(may_miss=True), world.reverts)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_judge_refuses_an_executor_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch.setattr)
    assert any(run_in_no_time(storm(seed, WINDOW_S // 2)).complaints() for seed in range(FIRST, FIRST + 60))
