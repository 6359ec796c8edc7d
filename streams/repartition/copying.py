"""Records of a topic written into another one, each where its key belongs there, once, and in their order.

What is written and how far that is stand in one transaction: the offsets of the topic before, and those of the new one,
are committed under the name of a group. So a copy that was ended goes on where it was, and may be made while the topic
before is still written to. Whoever starts a second copy fences the first.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from models.errors import TidemarkError
from streams.kafka.admin import opened_admin
from streams.kafka.committed import read_committed
from streams.kafka.ends import true_ends
from streams.kafka.fenced_writer import Fenced
from streams.kafka.partitions import partition_of
from streams.kafka.producer import Fence, send_all, start_producer
from streams.kafka.topic_filling import being_filled, configure_as_registered
from streams.kafka.topics import BadTopic
from streams.process.supervision import waited_out
from streams.replay.bounded_log import BrokenOff, Place, Span
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from aiokafka import AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient

    from streams.repartition.copied_topics import CopiedTopic
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap

_BATCH_BYTES = 256 * 1024
_REQUEST_BYTES = 4 * 2**20
# What a transaction holds, so that it takes a fraction of a second.
_MOST_RECORDS = 2_000
_MOST_BYTES = 4 * 2**20
_TRANSACTION_MS = 60_000
_BEGIN_ANEW = "unless the new deployment is at work already, delete its topics, create them, and run this again"


class WrittenByOthers(TidemarkError):
    """A topic that is to be copied into has records of which nobody knows that they were copied.

    The message says what to do.
    """


class Target(NamedTuple):
    """Where it is written to: ``group`` is under which name it is committed how far that is."""

    admin: AIOKafkaAdminClient
    producer: AIOKafkaProducer
    group: str


@asynccontextmanager
async def opened_target(settings: Settings) -> AsyncIterator[Target]:
    """Connect to the cluster for as long as the block lasts; a copy that is under way already ends.

    Args:
        settings: Of the deployment that goes on.

    Raises:
        KafkaError: It cannot be reached, or does not let us write.
    """
    name = f"{settings.topics.prefix}tidemark-repartition"
    async with opened_admin(settings.bootstrap) as admin:
        producer = await start_producer(
            settings.bootstrap,
            compression="lz4",
            batch_bytes=_BATCH_BYTES,
            request_bytes=_REQUEST_BYTES,
            fence=Fence(name, _TRANSACTION_MS),
        )
        try:
            yield Target(admin, producer, name)
        finally:
            await waited_out(producer.stop())


async def find_left(target: Target, log: Log, copied: CopiedTopic) -> dict[Place, Span]:
    """Find what has been written into a topic by now and was not copied yet.

    Args:
        target: Where it is to be copied to.
        log: What is committed in the same cluster.
        copied: Both topics; both exist.

    Raises:
        WrittenByOthers: Somebody else has written to the new topic, or how far it was copied has been forgotten.
        BrokenOff: The cluster stopped answering or refused.
    """
    try:
        held = await log.held([copied.former])
        read, written = await _reached(target, copied)
        await _expect_own(log, copied, written)
        if not written:
            # Nothing was copied yet, or the topic was deleted since and with it how far it was written.
            read = {}
        elif not held.keys() <= read.keys():
            msg = (
                f"expected to know how far every partition of {copied.former} was copied, found that it is forgotten "
                f"of some (offsets.retention.minutes): {_BEGIN_ANEW}"
            )
            raise WrittenByOthers(msg)
        return _behind(read, held)
    except KafkaError as error:
        raise _broken_off(copied, error) from error


async def copy_left(
    target: Target, log: Log, copied: CopiedTopic, left: Mapping[Place, Span], on_record: Callable[[LogRecord], None]
) -> None:
    """Copy what is left of a topic, and leave it with the settings that it is registered with.

    Records of several partitions that come into one come in the order of their times. How far it is is committed anew
    where nothing is left too, since the cluster forgets it after ``offsets.retention.minutes``.

    Args:
        target: Where to.
        log: What is committed in the same cluster.
        copied: Both topics.
        left: As ``find_left`` found it.
        on_record: Is told each record that was written.

    Raises:
        Fenced: Another copy has been started.
        BrokenOff: The cluster stopped answering or refused. What was copied stays, and is gone on from.
    """
    try:
        _, written = await _reached(target, copied)
        await _write(target, copied, [], written | {place: span.begin for place, span in left.items()})
        if all(span.begin == span.end for span in left.values()):
            # A run that ended right behind its last transaction has left it as it is filled.
            await configure_as_registered(target.admin, copied.topic)
            return
        async with being_filled(target.admin, copied.topic):
            await _copy(target, log, copied, left, on_record)
    except (ProducerFenced, InvalidProducerEpoch) as error:
        msg = f"expected to be the only copy into {copied.topic.name}, found that another one has been started"
        raise Fenced(msg) from error
    except (BadTopic, KafkaError) as error:
        raise _broken_off(copied, error) from error


async def _copy(
    target: Target, log: Log, copied: CopiedTopic, left: Mapping[Place, Span], on_record: Callable[[LogRecord], None]
) -> None:
    batch: list[LogRecord] = []
    size = 0
    async with aclosing(read_merged(log, left)) as records:
        async for record in records:
            batch.append(record)
            size += len(record.key or b"") + len(record.value or b"")
            if len(batch) == _MOST_RECORDS or size >= _MOST_BYTES:
                await _write(target, copied, batch, {one.place: one.offset + 1 for one in batch})
                for one in batch:
                    on_record(one)
                batch, size = [], 0
    # Behind the last record of a partition there may be the end of a transaction.
    await _write(target, copied, batch, {place: span.end for place, span in left.items()})
    for one in batch:
        on_record(one)


async def written_since(bootstrap: Bootstrap, read: Mapping[Place, Span]) -> list[str]:
    """Name the topics that have more by now than was read, or a transaction that is open and may come to more.

    Args:
        bootstrap: How the cluster is reached.
        read: What was read, up to the end that there was.

    Raises:
        KafkaError: The cluster does not answer.
    """
    ends = await true_ends(bootstrap, [TopicPartition(*place) for place in read])
    return sorted({place.topic for place, span in read.items() if ends[TopicPartition(*place)] > span.end})


async def _write(
    target: Target, copied: CopiedTopic, records: Sequence[LogRecord], reached: Mapping[Place, int]
) -> None:
    async with target.producer.transaction():
        taken = await send_all(
            _sent(target.producer, copied.topic.name, copied.topic.partitions, one) for one in records
        )
        positions = {TopicPartition(*place): offset for place, offset in reached.items()}
        positions |= {TopicPartition(one.topic, one.partition): one.offset + 1 for one in taken}
        await target.producer.send_offsets_to_transaction(positions, target.group)


def _sent(producer: AIOKafkaProducer, topic: str, partitions: int, record: LogRecord) -> Coroutine[Any, Any, Any]:
    sent: Coroutine[Any, Any, Any] = producer.send(
        topic,
        record.value,
        key=record.key,
        partition=partition_of(record.key or b"", partitions),
        timestamp_ms=record.time_ms,
        headers=list(record.headers),
    )
    return sent


async def _reached(target: Target, copied: CopiedTopic) -> tuple[dict[Place, int], dict[Place, int]]:
    """Up to which offsets the topic before was read, and the new one written, as far as the cluster remembers."""
    committed = await read_committed(target.admin, target.group)
    reached = {Place(tp.topic, tp.partition): one.offset for tp, one in committed.items()}
    read, written = (
        {place: offset for place, offset in reached.items() if place.topic == topic}
        for topic in (copied.former, copied.topic.name)
    )
    return read, written


async def _expect_own(log: Log, copied: CopiedTopic, written: Mapping[Place, int]) -> None:
    """Refuse to write behind records that others wrote: what is older would stand behind what is younger."""
    async with aclosing(read_merged(log, _behind(written, await log.held([copied.topic.name])))) as records:
        async for record in records:
            msg = (
                f"expected {record.topic} to have nothing but what was copied into it, found a record at offset "
                f"{record.offset} of partition {record.partition} that this did not copy, or whose copy it has "
                f"forgotten (offsets.retention.minutes): {_BEGIN_ANEW}"
            )
            raise WrittenByOthers(msg)


def _behind(reached: Mapping[Place, int], held: Mapping[Place, Held]) -> dict[Place, Span]:
    """What is held behind the offsets that were reached; what was deleted before it could be is nothing to wait for."""
    return {place: Span(min(max(one.begin, reached.get(place, 0)), one.end), one.end) for place, one in held.items()}


def _broken_off(copied: CopiedTopic, error: Exception) -> BrokenOff:
    return BrokenOff(
        f"expected {copied.former} to be copied into {copied.topic.name}, found: {error!r}; run this again"
    )
