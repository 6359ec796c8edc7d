"""A consumer that reads what it is told to, without a group."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer

from streams.kafka.fetch_sessions import fetch_in_sessions
from streams.kafka.record import hand_out_plain_records


async def start_consumer(
    bootstrap: str, *topics: str, wait_ms: int, min_bytes: int = 1, most_records: int
) -> AIOKafkaConsumer:
    """A started consumer of all partitions of the topics, or of those it is assigned afterwards; it commits nothing.

    It begins at the oldest record where it is not told to seek.

    Args:
        bootstrap: Kafka's bootstrap servers.
        topics: Full names of topics that exist.
        wait_ms: How long the broker may keep a fetch for which there are fewer than ``min_bytes``.
        min_bytes: What a fetch is worth being answered for at once.
        most_records: How many records it hands out at a time.

    Raises:
        KafkaError: The broker cannot be reached; nothing is left open.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=wait_ms,
        fetch_min_bytes=min_bytes,
        max_poll_records=most_records,
    )
    is_started = False
    try:
        await consumer.start()
        hand_out_plain_records(consumer)
        fetch_in_sessions(consumer)
        is_started = True
    finally:
        if not is_started:
            await consumer.stop()
    return consumer
