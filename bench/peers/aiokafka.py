"""The floor: a consumer, a dict and a producer, with nothing that makes it right after a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.peers.job import Clock, Job, Row, folder


class Loop:
    """getmany, orjson, and a changelog batch for each fetch with one record a key."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clock = Clock(job)
        self._fold = folder(job)
        self._rows: dict[bytes, Row] = {}
        self._sent: list[asyncio.Future[Any]] = []

    async def run(self) -> None:
        """Read the topic to its end."""
        job = self._job
        consumer = AIOKafkaConsumer(
            job.topic, bootstrap_servers=job.bootstrap, group_id=job.group, auto_offset_reset="earliest"
        )
        producer = AIOKafkaProducer(
            bootstrap_servers=job.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=256 * 1024,
        )
        await consumer.start()
        await producer.start()
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                self._clock.begin()
                if job.workload == "decode":
                    for record in records:
                        orjson.loads(record.value)
                else:
                    await self._write(producer, tp.partition, self._folded(records))
                if self._clock.did(len(records)):
                    await asyncio.gather(*self._sent)
                    self._clock.end(job.changelog)

    def _folded(self, records: list[Any]) -> set[bytes]:
        rows, fold = self._rows, self._fold
        for record in records:
            rows[record.key] = fold(rows.get(record.key), orjson.loads(record.value))
        return {record.key for record in records}

    async def _write(self, producer: AIOKafkaProducer, partition: int, keys: set[bytes]) -> None:
        left = list(keys)
        while left:
            batch = producer.create_batch()
            while left and batch.append(key=left[-1], value=orjson.dumps(self._rows[left[-1]]), timestamp=None):
                left.pop()
            batch.close()
            self._sent.append(await producer.send_batch(batch, self._job.changelog, partition=partition))


if __name__ == "__main__":
    uvloop.run(Loop(Job.from_arguments()).run())
