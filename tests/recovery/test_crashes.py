"""Whatever ends a worker, in whatever moment: the tables are what they would have been."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from models.engine.tables import VALUATIONS
from streams.kafka.topics import create_topics, registry
from streams.settings import WorkerSettings
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.golden import (
    CHAIN_TABLES,
    FORKS,
    FORKS_SYMBOL,
    Oracle,
    forked_chain,
    forked_deployment,
    refused_reasons,
    ticks,
    valuation_differences,
    versions_that_went_back,
)
from tests.support.pipeline import (
    WorkerProcess,
    all_committed,
    feed_rows,
    worker,
    write_chain,
    write_ticks,
)
from tests.support.verified import expect_verified
from tests.support.whole import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.codec import Row
    from streams.settings import Settings

TICKS = 400
# Small slices, so that a kill lands inside the run and not after it.
SLICE_RECORDS = 12

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def undisturbed() -> Oracle:
    """What the engine makes of the chain: forks, gaps, a join and finality included."""
    return Oracle(forked_deployment(), forked_chain())


def forked_settings(kafka: str, directory: Path, store: str = "memory") -> Settings:
    return settings_of_a_test(
        kafka,
        directory,
        deployments=forked_deployment(),
        worker=WorkerSettings.model_validate({"slice_records": SLICE_RECORDS, "store": store}),
    )


async def assert_as_undisturbed(settings: Settings, undisturbed: Oracle, *processes: WorkerProcess) -> None:
    """The same rows and versions in the changelog, in a replica's feed and in the workers; sound valuations."""
    await all_committed(settings)

    async def all_is_owned() -> bool:
        owned = [partition for process in processes for partition in (await process.status())["partitions"]]
        return sorted(owned) == list(range(settings.topics.partitions))

    # What a killed worker owned is the others' only when its session is over.
    await eventually(all_is_owned, 30)
    for table in CHAIN_TABLES:
        held: dict[bytes, Row] = {}
        for process in processes:
            held |= await process.rows(table)

        assert [] == undisturbed.differences(table, settings.topics.partitions, await feed_rows(settings, table))
        assert [] == undisturbed.differences(table, settings.topics.partitions, held)
    assert undisturbed.refused == await refused_reasons(settings)

    async def valued() -> bool:
        return await valuation_differences(settings, await feed_rows(settings, VALUATIONS)) == []

    await eventually(valued, 15)

    async def held_as_fed() -> bool:
        held: dict[bytes, Row] = {}
        for process in processes:
            held |= await process.rows(VALUATIONS)
        return held == await feed_rows(settings, VALUATIONS)

    await eventually(held_as_fed, 15)
    assert any(row.body["positions"] and row.body["upnl"] for row in (await feed_rows(settings, VALUATIONS)).values())
    assert [] == await versions_that_went_back(settings)
    await expect_verified(settings)


async def start(settings: Settings) -> list[Any]:
    await create_topics(settings.bootstrap, registry(settings))
    return forked_chain()


@pytest.mark.parametrize(("store", "kills"), [("memory", 20 if WHOLE else 8), ("rocksdb", 10 if WHOLE else 5)])
async def test_killed_at_random_moments_the_tables_are_as_if_nothing_had_happened(
    kafka: str, tmp_path: Path, undisturbed: Oracle, store: str, kills: int
) -> None:
    settings = forked_settings(kafka, tmp_path, store=store)
    chain = await start(settings)
    moment = random.Random(store)
    share = -(-len(chain) // kills)
    for at in range(kills):
        await write_chain(settings, FORKS, chain[at * share : (at + 1) * share])
        await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS // kills, start=at * TICKS // kills))
        async with worker(settings, fault="slow") as process:
            await process.ready()
            # Not waiting for anything: the random moment of the kill is what is tested.
            await asyncio.sleep(moment.uniform(0, 0.6))
            process.kill()
    async with worker(settings) as process:
        await process.ready()
        await assert_as_undisturbed(settings, undisturbed, process)


@pytest.mark.parametrize("fault", ["exception", "too-large", "left-undone"])
async def test_a_fault_in_the_middle_of_a_slice_ends_the_worker_and_costs_nothing(
    kafka: str, tmp_path: Path, undisturbed: Oracle, fault: str
) -> None:
    settings = forked_settings(kafka, tmp_path)
    await write_chain(settings, FORKS, await start(settings))
    await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS))
    async with worker(settings, fault=fault) as process:
        assert 70 == await process.exit_code(30)
    async with worker(settings) as process:
        await process.ready()
        await assert_as_undisturbed(settings, undisturbed, process)


@pytest.mark.parametrize(("fault", "code"), [("slow", 0), ("hang", 75), ("spin", 75)])
async def test_sigterm_in_the_middle_of_a_slice_ends_the_worker_in_three_seconds_and_costs_nothing(
    kafka: str, tmp_path: Path, undisturbed: Oracle, fault: str, code: int
) -> None:
    settings = forked_settings(kafka, tmp_path)
    await write_chain(settings, FORKS, await start(settings))
    await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS))
    async with worker(settings, fault=fault) as process:
        await eventually(process.at_fault, 30)
        ended, seconds = await process.terminate()

        assert code == ended
        assert seconds < 3.5
    async with worker(settings) as process:
        await process.ready()
        await assert_as_undisturbed(settings, undisturbed, process)


async def test_two_workers_joining_and_leaving_in_the_middle_of_slices_cost_nothing(
    kafka: str, tmp_path: Path, undisturbed: Oracle
) -> None:
    settings = forked_settings(kafka, tmp_path)
    await write_chain(settings, FORKS, await start(settings))
    await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS))
    async with worker(settings, instance="worker-0", fault="slow") as first:
        await first.ready()
        async with worker(settings, instance="worker-1", fault="slow") as second:
            await second.ready()
            await eventually(first.is_ready, 20)
            await first.terminate()
            async with worker(settings, instance="worker-2", fault="slow") as third:
                await third.ready()
                second.kill()
                async with worker(settings, instance="worker-0") as again:
                    await again.ready()
                    await assert_as_undisturbed(settings, undisturbed, again, third)


async def test_a_worker_that_slept_past_its_session_and_wakes_beside_its_successor_costs_nothing(
    kafka: str, tmp_path: Path, undisturbed: Oracle
) -> None:
    settings = forked_settings(kafka, tmp_path, store="rocksdb")
    chain = await start(settings)
    await write_chain(settings, FORKS, chain[: len(chain) // 2])
    await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS))
    async with worker(settings, instance="worker-0", fault="slow") as sleeper:
        await eventually(sleeper.folding, 30)
        sleeper.pause()
        async with worker(settings, instance="worker-1") as successor:
            await successor.ready(60)
            await all_committed(settings)
            await write_chain(settings, FORKS, chain[len(chain) // 2 :])
            sleeper.wake()
            await all_committed(settings)
            successor.kill()
            # It may have heard its successor and ended, or have joined the group anew.
            again = await Supervised(settings, sleeper).working()
            await assert_as_undisturbed(settings, undisturbed, again)
            again.kill()


async def test_a_worker_whose_loop_is_stuck_loses_its_partitions_to_another(
    kafka: str, tmp_path: Path, undisturbed: Oracle
) -> None:
    settings = forked_settings(kafka, tmp_path)
    chain = await start(settings)
    async with worker(settings, instance="worker-0", fault="spin") as stuck:
        await write_chain(settings, FORKS, chain)
        await eventually(stuck.at_fault, 30)
        async with worker(settings, instance="worker-1") as other:
            await other.ready(60)
            await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS))
            await assert_as_undisturbed(settings, undisturbed, other)
            stuck.kill()
            other.kill()


async def test_a_broker_killed_three_times_stops_the_flow_and_skips_nothing(
    tmp_path: Path, undisturbed: Oracle
) -> None:
    broker = new_broker(tmp_path)
    bootstrap = broker.start()
    try:
        settings = forked_settings(bootstrap, tmp_path)
        chain = await start(settings)
        share = -(-len(chain) // 3)
        supervised = Supervised(settings)
        for at in range(3):
            await write_chain(settings, FORKS, chain[at * share : (at + 1) * share])
            await write_ticks(settings, ticks(FORKS_SYMBOL, TICKS // 4, start=at * TICKS // 4))
            await supervised.working()
            broker.kill()
            assert bootstrap == broker.start()
        process = await supervised.working()
        await assert_as_undisturbed(settings, undisturbed, process)
        process.kill()
    finally:
        broker.stop()


class Supervised:
    """A worker that is started again whenever it has ended, as Kubernetes or the local stack does."""

    def __init__(self, settings: Settings, process: WorkerProcess | None = None) -> None:
        self._settings = settings
        self._process = process

    async def working(self) -> WorkerProcess:
        while True:
            if self._process is None or self._process.process.poll() is not None:
                self._process = WorkerProcess(self._settings, fault="slow")
            process = self._process
            await eventually(_ended_or_ready(process), 60)
            if process.process.poll() is None:
                return process


def _ended_or_ready(process: WorkerProcess) -> Callable[[], Any]:
    async def check() -> bool:
        return process.process.poll() is not None or await process.is_ready()

    return check
