"""Stock Faust: an agent and a table the ordinary way, with a producer that lingers, as any busy app would set it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import faust
import orjson

from bench.peers.job import Clock, Job, folder, key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

_LINGER_S = 0.02


def create_app(job: Job) -> faust.App:
    """The app with one agent."""
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store=f"{job.store}://",
        datadir=job.directory,
        topic_partitions=job.partitions,
        consumer_auto_offset_reset="earliest",
        producer_linger=_LINGER_S,
        table_standby_replicas=0,
        web_enabled=False,
    )
    clock, fold = Clock(job), folder(job)
    topic = app.topic(job.topic, value_serializer="raw")

    async def decode(stream: AsyncIterable[bytes]) -> None:
        async for value in stream:
            clock.begin()
            orjson.loads(value)
            if clock.did():
                clock.end()

    async def write(stream: AsyncIterable[bytes]) -> None:
        async for value in stream:
            clock.begin()
            event = orjson.loads(value)
            key = key_of(job, event)
            table[key] = fold(table.get(key), event)
            if clock.did():
                app.loop.create_task(_end(app, clock, table))

    table: Any = None if job.workload == "decode" else app.Table("rows", partitions=job.partitions)
    app.agent(topic)(decode if table is None else write)
    if job.workload == "recovery":
        time_recovery(app, clock, job, table)
    return app


def time_recovery(app: faust.App, clock: Clock, job: Job, table: Any) -> None:  # noqa: ANN401 - a faust.Table
    """Let the clock run from the assignment, where recovery begins, to where the table says that it is recovered."""

    async def begin(*_: Any, **__: Any) -> None:  # noqa: ANN401
        clock.begin()

    async def end() -> None:
        clock.did(job.count)
        clock.end(table.changelog_topic.get_topic_name())

    app.on_partitions_assigned.connect(begin, weak=False)
    table.on_recover(end)


async def _end(app: faust.App, clock: Clock, table: Any) -> None:  # noqa: ANN401 - a faust.Table
    while app.producer.buffer.pending.qsize():  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.001)
    # What has left the buffer last may not have reached the producer yet.
    await asyncio.sleep(_LINGER_S)
    await app.producer.flush()
    clock.end(table.changelog_topic.get_topic_name())


if __name__ == "__main__":
    worker = faust.Worker(create_app(Job.from_arguments()), loglevel="WARNING", redirect_stdouts=False)
    worker.execute_from_commandline()
