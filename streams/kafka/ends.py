"""Where partitions end, with what transactions have written that are still open."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer

from streams.kafka.connection import consumer_arguments
from streams.kafka.consumer import know_topics
from streams.kafka.first_connection import close_first_connection
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiokafka import TopicPartition

    from streams.settings.kafka_client import Bootstrap


async def true_ends(bootstrap: Bootstrap, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Find the offset behind the last record of each partition.

    A consumer that reads what is committed is told another end: where the oldest open transaction of the partition
    begins. Records behind that may be committed all the same, by another writer, and it reads them when the transaction
    has ended. So who has to know all that it wrote itself reads up to these ends, and not up to those.

    Args:
        bootstrap: How the cluster is reached.
        partitions: Of topics that exist.

    Raises:
        KafkaError: The broker cannot be reached.
    """
    asked = list(partitions)
    if not asked:
        # A consumer that is stopped in the same turn of the loop in which it was started raises CancelledError.
        return {}
    async with _opened(bootstrap, asked) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(asked)
    return ends


async def true_spans(bootstrap: Bootstrap, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, range]:
    """Find from which offset to which each partition has records, by the same ends.

    Args:
        bootstrap: How the cluster is reached.
        partitions: Of topics that exist; one at least.

    Raises:
        KafkaError: The broker cannot be reached.
    """
    asked = list(partitions)
    async with _opened(bootstrap, asked) as consumer:
        begins = await consumer.beginning_offsets(asked)
        ends = await consumer.end_offsets(asked)
    return {tp: range(begins[tp], ends[tp]) for tp in asked}


@asynccontextmanager
async def _opened(bootstrap: Bootstrap, partitions: Iterable[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**consumer_arguments(bootstrap), group_id=None, enable_auto_commit=False)
    close_first_connection(consumer)
    try:
        await consumer.start()
        await know_topics(consumer, (tp.topic for tp in partitions))
        yield consumer
    finally:
        await waited_out(consumer.stop())
