"""The journal of one deployment in the topic ``funding``: read once at the start, then written by a single executor.

The producer is transactional, and its transactional id names the deployment. An executor that starts it fences every
earlier one: a process that was paused, and wakes up after its successor has started, cannot write any more, and it
sends nothing that it has not written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.ids import split_key
from models.symmio.funding_records import Record, decode_record, encode_record, record_key
from streams.kafka.access import fence_name
from streams.kafka.connection import consumer_arguments
from streams.kafka.ends import true_ends
from streams.kafka.fenced_writer import Fenced, FencedWriter, Written, opened_fenced_writer
from streams.kafka.topics import FUNDING, topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from streams.process.clock import Clock
    from streams.settings import Settings

# Epochs are hours long, so a record that is days old concerns no window that can still be open.
_LOOK_BACK_MS = 3 * 86_400_000
# A transaction of Kafka takes some ms, whatever is in it; records that are written meanwhile go into the next one.
_BATCH_RECORDS = 2_000


async def read_journal(settings: Settings, deployment: str, clock: Clock) -> AsyncIterator[Record]:
    """Read a deployment's records of the last days, oldest first within a key.

    Args:
        settings: Names the topic and the broker.
        deployment: Its name.
        clock: Tells how far back to read.

    Raises:
        BadRecord: A record cannot be read.
    """
    consumer = AIOKafkaConsumer(
        **consumer_arguments(settings.bootstrap),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        topic = topic_name(settings, FUNDING)
        partitions = [TopicPartition(topic, number) for number in range(settings.topics.partitions)]
        consumer.assign(partitions)
        # Of another deployment a transaction may be open there: what was written behind its beginning counts as well.
        ends = await true_ends(settings.bootstrap, partitions)
        left = await _seek(consumer, ends, max(0, clock.now_ms() - _LOOK_BACK_MS))
        while left:
            fetched = await consumer.getmany(timeout_ms=200)
            values = [one.value for some in fetched.values() for one in some if split_key(one.key)[0] == deployment]
            for value in values:
                yield decode_record(value)
            # The consumer's position counts: aborted records and transaction markers are offsets without a record.
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


async def _seek(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], since_ms: int) -> set[TopicPartition]:
    """Begin each partition at its first record since ``since_ms``; return the partitions that have one."""
    begins = await consumer.offsets_for_times(dict.fromkeys(ends, since_ms))
    found = set()
    for tp, end in ends.items():
        begin = begins[tp]
        if begin is not None and begin.offset < end:
            consumer.seek(tp, begin.offset)
            found.add(tp)
        else:
            consumer.seek(tp, end)
    return found


class Journal:
    """Writes records, each acknowledged before its writer goes on.

    Args:
        writer: The only one of the deployment.
        topic: The full name of ``funding``.
        deployment: Whose funding.
    """

    def __init__(self, writer: FencedWriter, topic: str, deployment: str) -> None:
        self._writer = writer
        self._topic = topic
        self._deployment = deployment
        self._waiting: deque[tuple[list[Record], asyncio.Future[None]]] = deque()
        self._changed = asyncio.Event()

    async def write(self, records: Iterable[Record]) -> None:
        """Write records, all of them or none; return when they are on record.

        Raises:
            Fenced: Another executor has started.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(records), written))
        self._changed.set()
        await written

    async def run(self) -> None:
        """Send the records that ``write`` was called with, until cancelled.

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
            await self._writer.write(
                Written(self._topic, record_key(self._deployment, one), encode_record(one))
                for records, _ in taken
                for one in records
            )
        except (Fenced, KafkaError) as error:
            _fail(taken, error)
            raise
        for _, written in taken:
            if not written.done():
                written.set_result(None)


@asynccontextmanager
async def opened_journal(settings: Settings, deployment: str) -> AsyncIterator[Journal]:
    """A deployment's journal for as long as the block lasts; whoever wrote before is fenced when it begins.

    Raises:
        KafkaError: The broker cannot be reached.
    """
    async with opened_fenced_writer(settings.bootstrap, fence_name(settings, "funder", deployment)) as writer:
        yield Journal(writer, topic_name(settings, FUNDING), deployment)


def _fail(taken: Iterable[tuple[object, asyncio.Future[None]]], error: Exception) -> None:
    for _, written in taken:
        if not written.done():
            written.set_exception(error)
