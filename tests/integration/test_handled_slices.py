"""What a worker holds of slices that it has handled: nothing, however long it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.topics import create_topics, registry
from streams.settings import WorkerSettings
from tests.support.golden import DEPLOYMENT, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, worker, write_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


async def test_faust_keeps_no_offset_of_a_slice_that_was_handled(settings: Callable[..., Settings]) -> None:
    mine = settings(deployments=golden_deployment(), worker=WorkerSettings(slice_records=1))
    await create_topics(mine.bootstrap, registry(mine))
    await write_chain(mine, DEPLOYMENT, golden_chain()[:150])
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)
        slices = await process.slices()

    assert slices["begun"] > 100
    assert 0 == slices["kept"]
