"""What stands in a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from models.chain_records import Block, Rollback, decode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.kafka.topics import create_topics, registry, topic_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka import ConsumerRecord, TopicPartition

    from models.chain_records import ChainRecord
    from streams.settings import Settings


async def create_all(settings: Settings) -> None:
    assert settings.kafka is not None
    await create_topics(settings.bootstrap, registry(settings))


async def delete_topics_of(made: Sequence[Settings]) -> None:
    """Delete all topics with the prefixes of these settings, where the broker is still there."""
    prefixes = tuple(settings.topics.prefix for settings in made)
    if not prefixes:
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=made[0].kafka)
    try:
        await admin.start()
        names = [name for name in await admin.list_topics() if name.startswith(prefixes)]
        if names:
            await admin.delete_topics(names)
    except KafkaConnectionError:
        # The test has ended its broker.
        return
    finally:
        await admin.close()


async def read_topic(settings: Settings, topic: str) -> list[tuple[bytes, bytes]]:
    """Keys and values of every committed record that stands in the topic now, by partition."""
    return [(record.key, record.value) for record in await read_records(settings, topic)]


async def read_records(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Every committed record that stands in the topic now, by partition."""
    name = topic_name(settings, topic)
    consumer = AIOKafkaConsumer(
        name,
        bootstrap_servers=settings.kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord]] = {tp: [] for tp in partitions}
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                found[tp] += records
        return [record for tp in partitions for record in found[tp]]
    finally:
        await consumer.stop()


async def chain_records(settings: Settings, deployment: str) -> list[ChainRecord]:
    """The deployment's records in order."""
    records = await read_topic(settings, CHAIN_BLOCKS)
    return [decode_chain_record(value) for key, value in records if key == deployment.encode()]


def surviving_blocks(records: Sequence[ChainRecord]) -> dict[int, Block]:
    """The blocks that stand after every rollback; fails where a block is written twice or out of order."""
    blocks: dict[int, Block] = {}
    for record in records:
        match record:
            case Block():
                assert record.number > max(blocks, default=-1), f"block {record.number} after {max(blocks)}"
                blocks[record.number] = record
            case Rollback():
                blocks = {number: block for number, block in blocks.items() if number <= record.ancestor}
            case _:
                pass
    return blocks
