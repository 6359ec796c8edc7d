"""The journal of one deployment in the topic ``funding``: read once at the start, then written by a single executor.

It says since when its records are needed, with what makes that later. So whoever comes next reads as far back as
anything may still follow from, and no further, however long nobody was there.

The producer is transactional, and its transactional id names the deployment. An executor that starts it fences every
earlier one: a process that was paused, and wakes up after its successor has started, cannot write any more, and it
sends nothing that it has not written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.symmio.funding_records import Record, Settled, decode_record, encode_record, record_key
from models.symmio.open_funding import OpenFunding
from streams.kafka.access import fence_name
from streams.kafka.consumer import start_consumer
from streams.kafka.ends import true_ends
from streams.kafka.fenced_writer import Fenced, FencedWriter, Written, opened_fenced_writer
from streams.kafka.partitions import partition_of
from streams.kafka.topics import FUNDING, topic_name
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.process.clock import Clock
    from streams.settings import Settings

# What is read stands there already, so a broker has no reason to wait.
_FETCH_WAIT_MS = 50
_MOST_RECORDS = 5_000
# A transaction of Kafka takes some ms, whatever is in it; records that are written meanwhile go into the next one.
_BATCH_RECORDS = 2_000
# Records are stamped by the clocks of the hosts that wrote them.
_MARGIN_MS = 3_600_000
# So much later than the last time the oldest record that is needed stands, before that is put on record again.
_SETTLED_EVERY_MS = 3_600_000
# Where the newest record of what is settled is looked for: it is an epoch old, unless nobody was there for longer.
_SPANS_MS = (86_400_000, 10 * 86_400_000, None)


async def read_journal(settings: Settings, deployment: str, since_ms: int) -> AsyncIterator[Record]:
    """Read a deployment's records, oldest first within a key.

    Args:
        settings: Names the topic and the broker.
        deployment: Its name.
        since_ms: From when on they were written, Unix ms.

    Raises:
        BadRecord: A record cannot be read.
    """
    partitions = range(settings.topics.partitions)
    async for _, value, _ in _read(settings, deployment, partitions, since_ms):
        yield decode_record(value)


async def _read(
    settings: Settings, deployment: str, partitions: Iterable[int], since_ms: int
) -> AsyncIterator[tuple[bytes, bytes, int]]:
    """Read the keys and values of a deployment's records, each with when it was written, Unix ms."""
    consumer = await start_consumer(
        settings.bootstrap, wait_ms=_FETCH_WAIT_MS, most_records=_MOST_RECORDS, committed_only=True
    )
    try:
        topic, prefix = topic_name(settings, FUNDING), f"{deployment}:".encode()
        assigned = [TopicPartition(topic, number) for number in partitions]
        consumer.assign(assigned)
        # Of another deployment a transaction may be open there: what was written behind its beginning counts as well.
        ends = await true_ends(settings.bootstrap, assigned)
        left = await _seek(consumer, ends, max(0, since_ms))
        while left:
            fetched = await consumer.getmany(timeout_ms=200)
            for one in [one for some in fetched.values() for one in some if one.key.startswith(prefix)]:
                yield one.key, one.value, one.timestamp
            # The consumer's position counts: aborted records and transaction markers are offsets without a record.
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await waited_out(consumer.stop())


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


async def _settled_ms(settings: Settings, deployment: str, now_ms: int) -> int:
    """Find since when records are needed, Unix ms; 0 where that is not on record: all that the topic keeps are, then.

    However long nobody was there, the newest record of it says how it was when the last one left.
    """
    key = record_key(deployment, Settled(0))
    partition = partition_of(key, settings.topics.partitions)
    for span_ms in _SPANS_MS:
        since_ms, found = 0 if span_ms is None else now_ms - span_ms, None
        async for one, value, _ in _read(settings, deployment, [partition], since_ms):
            found = decode_record(value) if one == key else found
        if isinstance(found, Settled):
            return found.since_ms - _MARGIN_MS
    return 0


class Journal:
    """Writes records, each acknowledged before its writer goes on.

    Args:
        writer: The only one of the deployment.
        topic: The full name of ``funding``.
        deployment: Whose funding.
        clock: Tells when a record is written.
    """

    def __init__(self, writer: FencedWriter, topic: str, deployment: str, clock: Clock) -> None:
        self._writer = writer
        self._topic = topic
        self._deployment = deployment
        self._clock = clock
        self._open = OpenFunding()
        self._settled_ms = 0
        self._waiting: deque[tuple[list[Record], asyncio.Future[None]]] = deque()
        self._changed = asyncio.Event()

    async def read_back(self, settings: Settings) -> list[Record]:
        """Read the records that are still needed, oldest first within a key; others may be among them.

        Args:
            settings: Names the topic and the broker.

        Raises:
            BadRecord: A record cannot be read.
        """
        self._settled_ms = await _settled_ms(settings, self._deployment, self._clock.now_ms())
        found = []
        partitions = range(settings.topics.partitions)
        async for _, value, at_ms in _read(settings, self._deployment, partitions, self._settled_ms):
            record = decode_record(value)
            self._open.add(record, at_ms)
            found.append(record)
        return found

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

    def _settling(self, records: Sequence[Record], at_ms: int, every_ms: int = _SETTLED_EVERY_MS) -> Sequence[Record]:
        """Add to what is written now since when records are needed, where that is later than is on record."""
        for one in records:
            self._open.add(one, at_ms)
        since_ms = self._open.since_ms
        if since_ms is None or since_ms < self._settled_ms + every_ms:
            return records
        self._settled_ms = since_ms
        return [*records, Settled(since_ms)]

    async def _write_some(self) -> None:
        taken: list[tuple[list[Record], asyncio.Future[None]]] = []
        size = 0
        while self._waiting and size < _BATCH_RECORDS:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0])
        records = [one for some, _ in taken for one in some]
        written = self._settling(records, self._clock.now_ms())
        try:
            await self._writer.write(
                Written(self._topic, record_key(self._deployment, one), encode_record(one)) for one in written
            )
        except (Fenced, KafkaError) as error:
            _fail(taken, error)
            raise
        for _, acknowledged in taken:
            if not acknowledged.done():
                acknowledged.set_result(None)


@asynccontextmanager
async def opened_journal(settings: Settings, deployment: str, clock: Clock) -> AsyncIterator[Journal]:
    """A deployment's journal for as long as the block lasts; whoever wrote before is fenced when it begins.

    Args:
        settings: Names the topic and the broker.
        deployment: Its name.
        clock: Tells when a record is written.

    Raises:
        KafkaError: The broker cannot be reached.
    """
    async with opened_fenced_writer(settings.bootstrap, fence_name(settings, "funder", deployment)) as writer:
        yield Journal(writer, topic_name(settings, FUNDING), deployment, clock)


def _fail(taken: Iterable[tuple[object, asyncio.Future[None]]], error: Exception) -> None:
    for _, written in taken:
        if not written.done():
            written.set_exception(error)
