"""Reading, after a start, how far a deployment's topic already reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark, decode_chain_record
from models.errors import TidemarkError
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.symmio.tail import Tail
from streams.kafka.partitions import partition_of
from streams.kafka.topics import topic_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import ChainRecord
    from streams.settings import Settings

# Enough for a finality depth of blocks and for the records of other deployments between them.
_FIRST_WINDOW_RECORDS = 500


class TopicMissing(TidemarkError):
    """The topic does not exist. Create the topics with ``tidemark topics create``."""


async def read_tail(settings: Settings, bootstrap: str, deployment: str) -> Tail:
    """Read the deployment's partition of ``chain-blocks`` from its end, as far back as needed.

    Args:
        settings: Name the topic.
        bootstrap: Kafka's bootstrap servers.
        deployment: The deployment's name, which is the key of its records.

    Raises:
        TopicMissing: There is no such topic.
        BadRecord: A record under the deployment's key is not one of ``chain-blocks``.
    """
    topic = topic_name(settings, CHAIN_BLOCKS)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    try:
        await consumer.start()
        partitions = consumer.assignment()
        if not partitions:
            msg = f"expected topic {topic}, found no such topic; create it with: tidemark topics create"
            raise TopicMissing(msg)
        key = deployment.encode()
        partition = TopicPartition(topic, partition_of(key, len(partitions)))
        consumer.unsubscribe()
        consumer.assign([partition])
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        window = _FIRST_WINDOW_RECORDS
        while True:
            start = max(begin, end - window)
            records = await _read(consumer, partition, key, start, end)
            if start == begin or _is_enough(records):
                return _fold(records)
            window *= 4
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, key: bytes, start: int, end: int
) -> list[ChainRecord]:
    records: list[ChainRecord] = []
    consumer.seek(partition, start)
    while await consumer.position(partition) < end:
        for batch in (await consumer.getmany(timeout_ms=1_000)).values():
            records += [decode_chain_record(record.value) for record in batch if record.key == key]
    return records


def _is_enough(records: Sequence[ChainRecord]) -> bool:
    """Whether earlier records cannot matter, because these reach back to the last final block that they name."""
    final = max((record.final for record in records if isinstance(record, Watermark)), default=None)
    # A repair's checkpoint may be anywhere in the topic: it does not tell how far back the records reach.
    heights = [_height(record) for record in records if not isinstance(record, Checkpoint)]
    return final is not None and min(heights) <= final


def _height(record: ChainRecord) -> int:
    match record:
        case Block():
            return record.number
        case Watermark():
            return record.head
        case Rollback():
            return record.ancestor
        case Join() | Joined() | Checkpoint():
            return record.block
        case _:
            assert_never(record)


def _fold(records: Sequence[ChainRecord]) -> Tail:
    tail = Tail()
    for record in records:
        tail.apply(record)
    return tail
