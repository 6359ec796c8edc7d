"""The topic ``funding`` of one deployment: read once at the start, then written by one executor at a time.

The producer is transactional under a name of its own for each deployment. Whoever starts it fences every other one: a
process that was paused, and wakes up behind its successor, cannot write any more, and what it cannot write it does not
send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from models.errors import TidemarkError
from models.ids import split_key
from streams.funder.funding_records import Record, decode_record, encode_record, record_key
from streams.kafka.topics import FUNDING, topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from streams.process.clock import Clock
    from streams.settings import Settings

# Epochs are hours long; what is older than days concerns no window that can still be open.
_LOOK_BACK_MS = 3 * 86_400_000
# One transaction of Kafka takes some ms, whatever is in it: what is written meanwhile goes into the next.
_BATCH_RECORDS = 2_000


class Fenced(TidemarkError):
    """Another executor of this deployment has started. This one must not send anything any more; nothing is to do."""


async def read_journal(settings: Settings, deployment: str, clock: Clock) -> AsyncIterator[Record]:
    """A deployment's records of the last days, oldest first within a key.

    Raises:
        BadRecord: One cannot be read.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        topic = topic_name(settings, FUNDING)
        partitions = [TopicPartition(topic, number) for number in range(settings.topics.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, clock.now_ms() - _LOOK_BACK_MS)))
        left = set()
        for tp in partitions:
            begin = begins[tp]
            if begin is not None and begin.offset < ends[tp]:
                consumer.seek(tp, begin.offset)
                left.add(tp)
            else:
                consumer.seek(tp, ends[tp])
        while left:
            fetched = await consumer.getmany(timeout_ms=200)
            for records in fetched.values():
                for record in records:
                    if split_key(record.key)[0] == deployment:
                        yield decode_record(record.value)
            # By position: what was aborted, and the marks of transactions, are offsets without a record.
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


class Journal:
    """Writes records, each acknowledged before its writer goes on.

    Args:
        settings: Name the topic and the broker.
        deployment: Whose funding.
    """

    def __init__(self, settings: Settings, deployment: str) -> None:
        self._deployment = deployment
        self._topic = topic_name(settings, FUNDING)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            transactional_id=f"{settings.topics.prefix}tidemark-funder-{deployment}",
            # A transaction that its executor left open holds up its successor's reading for so long at most.
            transaction_timeout_ms=10_000,
        )
        self._waiting: deque[tuple[list[Record], asyncio.Future[None]]] = deque()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Connect, and fence whoever wrote before."""
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def write(self, records: Iterable[Record]) -> None:
        """Write records, all of them or none; returns when they are on record.

        Raises:
            Fenced: Another executor has started.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(records), written))
        self._changed.set()
        await written

    async def run(self) -> None:
        """Write what is to be written, until cancelled.

        Raises:
            Fenced: Another executor has started.
            KafkaError: The broker did not take a record.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                await self._write_some()

    async def _write_some(self) -> None:
        taken: list[tuple[list[Record], asyncio.Future[None]]] = []
        size = 0
        while self._waiting and size < _BATCH_RECORDS:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0])
        try:
            async with self._producer.transaction():
                sent = [
                    await self._producer.send(self._topic, encode_record(one), key=record_key(self._deployment, one))
                    for records, _ in taken
                    for one in records
                ]
                # A commit is not told of every record that the broker refused.
                await asyncio.gather(*sent)
        except ProducerFenced as error:
            msg = f"expected to be the only executor of {self._deployment}, found that another one has started"
            fenced = Fenced(msg)
            _fail(taken, fenced)
            raise fenced from error
        except KafkaError as error:
            _fail(taken, error)
            raise
        for _, written in taken:
            if not written.done():
                written.set_result(None)


def _fail(taken: Iterable[tuple[object, asyncio.Future[None]]], error: Exception) -> None:
    for _, written in taken:
        if not written.done():
            written.set_exception(error)
