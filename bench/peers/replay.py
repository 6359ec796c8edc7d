"""Tidemark's replay: ticks merged in one order over all partitions, and decoded, as commands of replay read them."""

from __future__ import annotations

import uvloop

from bench.peers.job import Clock, Job
from models.prices import decode_tick
from streams.process.clock import SystemClock
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.settings import Bootstrap


async def run(job: Job) -> None:
    """Read the topic to its end."""
    clock, log = Clock(job), KafkaLog(Bootstrap(job.bootstrap), {}, SystemClock())
    vector = await resolve_times(log, [job.topic], None, None)
    async for record in read_merged(log, vector):
        clock.begin()
        decode_tick(record.value or b"")
        if clock.did():
            clock.end()


if __name__ == "__main__":
    uvloop.run(run(Job.from_arguments()))
