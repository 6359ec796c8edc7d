"""Kills, rebalances and long sleeps in random order: every row is what the engine makes of the chain."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from models.codec import decode_row, row_order
from models.engine.tables import VALUATIONS
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.settings import WorkerSettings
from tests.support.broker import settings_of_a_test
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
    records_of,
    write_chain,
    write_ticks,
)
from tests.support.verified import expect_verified
from tests.support.whole import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    from models.codec import Row
    from streams.settings import Settings

KILLS, REBALANCES, SLEEPS = (30, 30, 5) if WHOLE else (9, 9, 2)
# Small slices, so that most of what happens lands inside one.
SLICE_RECORDS = 12

pytestmark = pytest.mark.timeout(1_800)


class Fleet:
    """One worker that is always there, and one that comes and goes; whatever ended by itself is started again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._joined = 0
        self.workers: list[WorkerProcess] = [self._start("worker-0", static=True)]

    def _start(self, instance: str, *, static: bool) -> WorkerProcess:
        return WorkerProcess(self._settings, instance=instance, fault="slow", static=static)

    def revive(self) -> None:
        for at, process in enumerate(self.workers):
            if process.process.poll() is not None:
                assert process.process.returncode in {0, 70, 75, -9}
                self.workers[at] = self._start(process.instance, static=process.instance == "worker-0")

    async def owns_everything(self) -> bool:
        """Whether every partition has an owner that is ready."""
        self.revive()
        owned: list[int] = []
        for process in self.workers:
            if not await process.is_ready():
                return False
            owned += (await process.status())["partitions"]
        return sorted(owned) == list(range(self._settings.topics.partitions))

    async def rebalance(self) -> None:
        """The second worker joins, or leaves."""
        if len(self.workers) == 1:
            self._joined += 1
            self.workers.append(self._start(f"joined-{self._joined % 2}", static=False))
        else:
            await self.workers.pop().terminate()

    def kill(self, moment: random.Random) -> None:
        moment.choice(self.workers).kill()
        self.revive()

    async def sleep_past_the_session(self) -> None:
        """The first worker sleeps until another owns everything, and wakes beside it."""
        if len(self.workers) == 1:
            await self.rebalance()
        sleeper, successor = self.workers
        sleeper.pause()

        async def succeeded() -> bool:
            assert successor.process.poll() is None
            owned = (await successor.status() or {}).get("partitions") if await successor.is_ready() else None
            return owned == list(range(self._settings.topics.partitions))

        await eventually(succeeded, 60)
        sleeper.wake()


async def held(fleet: Fleet, table: str) -> dict[bytes, Row]:
    rows: dict[bytes, Row] = {}
    for process in fleet.workers:
        rows |= await process.rows(table)
    return rows


async def highest_and_last(settings: Settings, table: str) -> tuple[dict[bytes, Row], dict[bytes, Row]]:
    """The highest row of each key in the changelog, and the last."""
    highest: dict[bytes, bytes] = {}
    last: dict[bytes, bytes] = {}
    for key, row in await records_of(settings, changelog_name(settings, table)):
        last[key] = row
        if key not in highest or row_order(row) >= row_order(highest[key]):
            highest[key] = row
    return ({key: decode_row(row) for key, row in rows.items()} for rows in (highest, last))  # type: ignore[return-value]


async def test_whatever_happens_to_two_workers_every_row_is_what_the_engine_makes_of_the_chain(
    kafka: str, tmp_path: Path
) -> None:
    settings = settings_of_a_test(
        kafka,
        tmp_path,
        deployments=forked_deployment(),
        worker=WorkerSettings(slice_records=SLICE_RECORDS, store="rocksdb"),
    )
    await create_topics(settings.bootstrap, registry(settings))
    chain, moment = forked_chain(), random.Random(4)
    actions = ["kill"] * KILLS + ["rebalance"] * REBALANCES + ["sleep"] * SLEEPS
    moment.shuffle(actions)
    share = -(-len(chain) // len(actions))
    fleet = Fleet(settings)
    try:
        for at, action in enumerate(actions):
            await write_chain(settings, FORKS, chain[at * share : (at + 1) * share])
            await write_ticks(settings, ticks(FORKS_SYMBOL, 5, start=at * 5))
            if moment.random() < 0.5:
                await eventually(fleet.owns_everything, 60)
            # Not waiting for anything: the random moment of what happens is what is tested.
            await asyncio.sleep(moment.uniform(0, 0.6))
            match action:
                case "kill":
                    fleet.kill(moment)
                case "rebalance":
                    await fleet.rebalance()
                case _:
                    await eventually(fleet.owns_everything, 60)
                    await fleet.sleep_past_the_session()
        await eventually(fleet.owns_everything, 60)
        await all_committed(settings, 120)
        oracle, partitions = Oracle(settings.deployments, chain), settings.topics.partitions

        for table in CHAIN_TABLES:
            highest, last = await highest_and_last(settings, table)
            assert [] == oracle.differences(table, partitions, highest)
            assert [] == oracle.differences(table, partitions, last)
            assert [] == oracle.differences(table, partitions, await feed_rows(settings, table))
            assert [] == oracle.differences(table, partitions, await held(fleet, table))

        async def valued() -> bool:
            return [] == await valuation_differences(settings, await feed_rows(settings, VALUATIONS))

        await eventually(valued, 15)
        assert await feed_rows(settings, VALUATIONS) == await held(fleet, VALUATIONS)
        assert [] == await versions_that_went_back(settings)
        await expect_verified(settings)
        assert oracle.refused == await refused_reasons(settings)
    finally:
        for process in fleet.workers:
            if process.process.poll() is None:
                process.kill()
