"""Time after time a second worker joins, stands by, and takes over from the first that is killed: no row is lost."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from streams.kafka.topics import create_topics, registry
from streams.settings import WorkerSettings
from tests.support.broker import settings_of_a_test
from tests.support.eventually import eventually
from tests.support.golden import CHAIN_TABLES, FORKS, FORKS_SYMBOL, Oracle, forked_chain, forked_deployment, ticks
from tests.support.pipeline import WorkerProcess, all_committed, feed_rows, write_chain, write_ticks
from tests.support.whole import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

# With each store.
RUNS = 10 if WHOLE else 4
SLICE_RECORDS = 12

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_a_standby_that_takes_over_has_every_row(kafka: str, tmp_path: Path, store: str) -> None:
    settings = settings_of_a_test(
        kafka,
        tmp_path,
        deployments=forked_deployment(),
        worker=WorkerSettings.model_validate({"slice_records": SLICE_RECORDS, "store": store}),
    )
    everything = list(range(settings.topics.partitions))
    await create_topics(settings.bootstrap, registry(settings))
    chain, moment = forked_chain(), random.Random(store)
    share = -(-len(chain) // RUNS)
    owner = WorkerProcess(settings, instance="worker-0", fault="slow", static=False)
    standby: WorkerProcess | None = None
    try:
        await owner.ready()
        for run in range(RUNS):
            standby = WorkerProcess(settings, instance=f"worker-{run + 1}", fault="slow", static=False)
            if moment.random() < 0.5:
                await standby.ready(60)
            await write_chain(settings, FORKS, chain[run * share : (run + 1) * share])
            await write_ticks(settings, ticks(FORKS_SYMBOL, 5, start=run * 5))
            # Not waiting for anything: the random moment of the kill is what is tested.
            await asyncio.sleep(moment.uniform(0, 1))
            owner.kill()

            async def took_over(process: WorkerProcess = standby) -> bool:
                assert process.process.poll() is None
                return await process.is_ready() and everything == (await process.status())["partitions"]

            await eventually(took_over, 60)
            await all_committed(settings)
            oracle, partitions = Oracle(settings.deployments, chain[: (run + 1) * share]), settings.topics.partitions

            for table in CHAIN_TABLES:
                assert [] == oracle.differences(table, partitions, await standby.rows(table))
                assert [] == oracle.differences(table, partitions, await feed_rows(settings, table))
            owner, standby = standby, None
    finally:
        for process in (owner, standby):
            if process is not None and process.process.poll() is None:
                process.kill()
