"""Archived topics written into an empty cluster, every record at its offset, with its time and headers.

A broker numbers records itself, so an offset at which there was none has to be taken by something that nobody reads:
fillers. Those before the first record are deleted again. Those between records are written in a transaction that is
aborted, so that readers of what was committed, which all of Tidemark are, never see them.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from streams.kafka.admin import opened_admin
from streams.kafka.consumer import start_consumer
from streams.kafka.producer import Fence, start_producer
from streams.kafka.topic_filling import being_filled
from streams.kafka.topics import BadTopic, create_topics
from streams.process.supervision import waited_out
from streams.replay.bounded_log import BadArchive, BrokenOff, Place, ReplayError, Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from streams.archive.archived_log import ArchivedLog
    from streams.kafka.topics import Topic
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.settings.kafka_client import Bootstrap

_BATCH_BYTES = 256 * 1024
_REQUEST_BYTES = 4 * 2**20
_BATCHES_AT_ONCE = 8
# A transaction lasts no longer than the records of one reading take, some thousand.
_FENCE = Fence("tidemark-restore", timeout_ms=900_000)
_MARKER_WITHIN_S = 60.0
_MARKER_POLL_S = 0.005
_FILLER = b""


class NotEmpty(ReplayError):
    """A topic that is to be restored has records already. Delete it, and restore it again."""


class NotBegun(ReplayError):
    """A topic could not be made ready to be written, so nothing of it was. Restore it again when that is mended."""


class Target(NamedTuple):
    """The cluster, and the clients by which a topic is written."""

    bootstrap: Bootstrap
    admin: AIOKafkaAdminClient
    plain: AIOKafkaProducer
    fillers: AIOKafkaProducer
    reader: AIOKafkaConsumer


@asynccontextmanager
async def opened_target(bootstrap: Bootstrap) -> AsyncIterator[Target]:
    """Connect to the cluster that is restored, for as long as the block lasts.

    Raises:
        KafkaError: It cannot be reached, or does not let us write.
    """
    async with AsyncExitStack() as open_clients:
        admin = await open_clients.enter_async_context(opened_admin(bootstrap))
        sizes = {"compression": "lz4", "batch_bytes": _BATCH_BYTES, "request_bytes": _REQUEST_BYTES}
        plain = await start_producer(bootstrap, **sizes)  # type: ignore[arg-type]
        open_clients.push_async_callback(lambda: waited_out(plain.stop()))
        fillers = await start_producer(bootstrap, **sizes, fence=_FENCE)  # type: ignore[arg-type]
        open_clients.push_async_callback(lambda: waited_out(fillers.stop()))
        reader = await start_consumer(bootstrap, wait_ms=50, most_records=1, begins_anywhere=False)
        open_clients.push_async_callback(lambda: waited_out(reader.stop()))
        yield Target(bootstrap, admin, plain, fillers, reader)


async def is_restored(
    target: Target, log: ArchivedLog, topic: str, held: Mapping[Place, Held], cluster: str | None
) -> bool:
    """Whether a topic has all that is archived already; False where it has nothing, or there is no such topic.

    It is whole only where the archive says so, since that is noted last: of as many records as there should be, these
    may be others, or may have been written by a run that was ended before it had configured the topic.

    Args:
        target: The cluster.
        log: The archive.
        topic: Its full name.
        held: What is archived of it.
        cluster: The id of the cluster; None where it does not say.

    Raises:
        NotEmpty: It has a part, or other records.
    """
    if topic not in await target.admin.list_topics():
        return False
    tps = {place: TopicPartition(*place) for place in held}
    ends = await target.reader.end_offsets(list(tps.values()))
    found = {tp.partition: end for tp, end in ends.items() if end}
    if not found:
        return False
    shared = (await log.clusters(topic)).get(cluster or "unknown", {})
    if all(min(ends[tps[place]], shared.get(place.partition, 0)) >= one.end for place, one in held.items()):
        return True
    msg = (
        f"expected {topic} to be empty, or to have been restored to its end, found records up to {found} that were "
        "not: delete it, and restore it again"
    )
    raise NotEmpty(msg)


async def restore_topic(
    target: Target, log: ArchivedLog, topic: Topic, held: Mapping[Place, Held], cluster: str | None, *,
    on_record: Callable[[LogRecord], None],
) -> None:  # fmt: skip
    """Write a topic that is empty, or is not there yet, as it is archived, and note in the archive that it is whole.

    Args:
        target: The cluster.
        log: The archive.
        topic: As it is to be in the end.
        held: What is archived of it.
        cluster: The id of the cluster; None where it does not say.
        on_record: Is told each record that was written.

    Raises:
        NotBegun: The cluster does not make or configure the topic; nothing was written to it.
        BrokenOff: Another writes to the topic too, the cluster stopped answering or refused, or a segment was altered.
            The topic is not whole.
    """
    # It may have had the topic before, where that was deleted.
    await log.remove_cluster(topic.name, cluster)
    partitions = max(place.partition for place in held) + 1
    try:
        async with AsyncExitStack() as filling:
            try:
                await create_topics(target.bootstrap, (replace(topic, partitions=partitions),))
                await filling.enter_async_context(being_filled(target.admin, topic))
            except (BadTopic, KafkaError, TimeoutError) as error:
                msg = f"expected the cluster to make {topic.name}, so that it can be written, found: {error}"
                raise NotBegun(msg) from error
            for place, one in sorted(held.items()):
                await _restore_partition(target, log, place, one, on_record)
    except (BadArchive, BadTopic, KafkaError, TimeoutError) as error:
        msg = f"expected {topic.name} to be written, found: {error!r}; delete it, and restore it again"
        raise BrokenOff(msg) from error
    await log.add_cluster(topic.name, cluster)


async def _restore_partition(
    target: Target, log: Log, place: Place, held: Held, on_record: Callable[[LogRecord], None]
) -> None:
    writer = _PartitionWriter(target, place)
    await writer.skip(held.begin)
    async with log.reading({place: Span(held.begin, held.end)}) as reading:
        while held.begin < held.end and (records := (await reading.more([place])).get(place, ())):
            runs = _runs(records)
            for run in runs:
                if run[0].offset > writer.end:
                    await writer.fill(run[0].offset - writer.end, is_last=run is runs[-1])
                await writer.write(run)
            for record in records:
                on_record(record)
    await writer.finish(held.end)
    if held.begin:
        await target.admin.delete_records({TopicPartition(*place): RecordsToDelete(before_offset=held.begin)})


class _PartitionWriter:
    """Writes one partition, and checks that each record stands where it stood.

    Attributes:
        end: The next offset to be written.
    """

    def __init__(self, target: Target, place: Place) -> None:
        self._target = target
        self._tp = TopicPartition(*place)
        self._is_open = False
        self.end = 0

    async def write(self, run: Sequence[LogRecord]) -> None:
        """Write records whose offsets follow each other."""
        batch, count = self._target.plain.create_batch(), 0
        batches = []
        for record in run:
            cells = {"key": record.key, "value": record.value, "headers": list(record.headers)}
            if batch.append(timestamp=record.time_ms, **cells) is None:
                batches.append((batch, count))
                batch, count = self._target.plain.create_batch(), 0
                batch.append(timestamp=record.time_ms, **cells)
            count += 1
        batches.append((batch, count))
        await self._send(self._target.plain, batches)

    async def skip(self, count: int) -> None:
        """Take the offsets before the first record. Nobody reads them: they are deleted in the end."""
        await self._send_fillers(self._target.plain, count)

    async def fill(self, count: int, *, is_last: bool) -> None:
        """Take so many offsets at which there was no record.

        Args:
            count: At least one.
            is_last: Whether the transaction ends here: nobody knows when there is an offset for its end again.
        """
        if not self._is_open:
            await self._target.fillers.begin_transaction()
            self._is_open = True
            if is_last:
                # Its end is written also where nothing else of it is.
                self._target.fillers._txn_manager.maybe_add_partition_to_txn(self._tp)  # noqa: SLF001 - no public way
        # The end of a transaction takes an offset itself.
        await self._send_fillers(self._target.fillers, count - is_last)
        if is_last:
            await self._abort()

    async def finish(self, end: int) -> None:
        """Take the offsets up to the end."""
        if self.end < end:
            await self.fill(end - self.end, is_last=True)

    async def _abort(self) -> None:
        await self._target.fillers.abort_transaction()
        self._is_open = False
        self.end += 1
        # The coordinator answers before the partition has the marker.
        async with asyncio.timeout(_MARKER_WITHIN_S):
            while (await self._target.reader.end_offsets([self._tp]))[self._tp] < self.end:  # noqa: ASYNC110 - Kafka's
                await asyncio.sleep(_MARKER_POLL_S)

    async def _send_fillers(self, producer: AIOKafkaProducer, count: int) -> None:
        while count:
            batches: list[tuple[object, int]] = []
            while count and len(batches) < _BATCHES_AT_ONCE:
                batch, size = producer.create_batch(), 0
                # Of no time, so that no search for an instant finds it.
                while size < count and batch.append(timestamp=0, key=None, value=_FILLER) is not None:
                    size += 1
                batches.append((batch, size))
                count -= size
            await self._send(producer, batches)

    async def _send(self, producer: AIOKafkaProducer, batches: Sequence[tuple[object, int]]) -> None:
        topic, partition = self._tp
        sent = [await producer.send_batch(batch, topic, partition=partition) for batch, _ in batches]
        for one, (_, count) in zip(await asyncio.gather(*sent), batches, strict=True):
            if one.offset != self.end:
                msg = (
                    f"expected the next record of {topic}:{partition} at offset {self.end}, found it at {one.offset}: "
                    "another writes to it, so stop whoever does; then delete the topic, and restore it again"
                )
                raise BrokenOff(msg)
            self.end += count


def _runs(records: Sequence[LogRecord]) -> list[list[LogRecord]]:
    runs: list[list[LogRecord]] = []
    for record in records:
        if runs and runs[-1][-1].offset + 1 == record.offset:
            runs[-1].append(record)
        else:
            runs.append([record])
    return runs
