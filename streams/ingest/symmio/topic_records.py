"""A deployment's records in ``chain-blocks``, read from any offset to the end that the topic had at the start."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.chain_records import decode_chain_record
from models.errors import TidemarkError
from models.symmio.topics import CHAIN_BLOCKS
from streams.kafka.connection import consumer_arguments
from streams.kafka.ends import true_ends
from streams.kafka.first_connection import close_first_connection
from streams.kafka.partitions import partition_of
from streams.kafka.topics import topic_name
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from models.chain_records import ChainRecord
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap


class TopicMissing(TidemarkError):
    """The topic does not exist. Create the topics with ``tidemark topics create``."""


class TopicRecords:
    """Reads the partition that holds a deployment's records; ``begin`` and ``end`` are its first and next offset.

    Args:
        consumer: Started, and assigned ``partition``.
        partition: The deployment's.
        key: The key of its records.
        begin: The partition's first offset.
        end: The offset at which the next record will be.
    """

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, key: bytes, begin: int, end: int) -> None:
        self._consumer = consumer
        self._partition = partition
        self._key = key
        self.begin = begin
        self.end = end

    async def since(self, offset: int) -> AsyncIterator[ChainRecord]:
        """Yield the deployment's records from ``offset``, not below ``begin``, up to ``end``.

        Raises:
            BadRecord: A record under the deployment's key is not one of ``chain-blocks``.
        """
        self._consumer.seek(self._partition, offset)
        while await self._consumer.position(self._partition) < self.end:
            for batch in (await self._consumer.getmany(timeout_ms=1_000)).values():
                for record in batch:
                    if record.key == self._key:
                        yield decode_chain_record(record.value)


@asynccontextmanager
async def opened_records(settings: Settings, bootstrap: Bootstrap, deployment: str) -> AsyncIterator[TopicRecords]:
    """The records of a deployment, for as long as the block lasts.

    Args:
        settings: Name the topic.
        bootstrap: How the cluster is reached.
        deployment: The deployment's name, which is the key of its records.

    Raises:
        TopicMissing: There is no such topic.
    """
    topic = topic_name(settings, CHAIN_BLOCKS)
    consumer = AIOKafkaConsumer(
        topic,
        **consumer_arguments(bootstrap),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    close_first_connection(consumer)
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
        # Of another deployment a transaction may be open in this partition: what we wrote behind its beginning counts.
        end = (await true_ends(bootstrap, [partition]))[partition]
        yield TopicRecords(consumer, partition, key, begin, end)
    finally:
        await waited_out(consumer.stop())
