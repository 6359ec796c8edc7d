"""A consumer without a group, whose partitions and offsets are set by its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer

from streams.kafka.batches_of_others import read_batches_of_others
from streams.kafka.connection import consumer_arguments
from streams.kafka.fetch_rounds import fetch_in_rounds
from streams.kafka.fetch_sessions import fetch_in_sessions
from streams.kafka.first_connection import close_first_connection
from streams.kafka.record import hand_out_plain_records
from streams.kafka.requests import count_requests
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.process.cadence import Pacing
    from streams.settings.kafka_client import Bootstrap


async def start_consumer(
    bootstrap: Bootstrap,
    *topics: str,
    wait_ms: int,
    min_bytes: int = 1,
    most_records: int,
    committed_only: bool = False,
    begins_anywhere: bool = True,
    pacing: Pacing | None = None,
    own_id: int | None = None,
) -> AIOKafkaConsumer:
    """Start a consumer of all partitions of the topics, or of those that it is assigned afterwards; it commits nothing.

    It begins at the oldest record of a partition, unless it is sought elsewhere; and there it goes on when what it was
    to read is deleted.

    Args:
        bootstrap: How the cluster is reached.
        *topics: Full names of topics that exist; none where partitions are assigned afterwards.
        wait_ms: How long the broker may wait before it answers a fetch for which it has fewer than ``min_bytes``.
        min_bytes: With how many bytes the broker answers a fetch at once.
        most_records: How many records the consumer hands out at a time at most.
        committed_only: Whether it passes over records of transactions that were aborted, or are still open.
        begins_anywhere: False where what is read has to be sought, and what is deleted before that is an error.
        pacing: Says how far apart fetches are that bring little; without it, one follows the other at once.
        own_id: The id of a producer whose batches it passes over, None to hand out all.

    Raises:
        KafkaError: The broker cannot be reached; nothing is left open.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **consumer_arguments(bootstrap),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if begins_anywhere else "none",
        fetch_max_wait_ms=wait_ms,
        fetch_min_bytes=min_bytes,
        max_poll_records=most_records,
        isolation_level="read_committed" if committed_only else "read_uncommitted",
    )
    close_first_connection(consumer)
    is_started = False
    try:
        await consumer.start()
        hand_out_plain_records(consumer)
        fetch_in_sessions(consumer)
        count_requests(consumer)
        if own_id is not None:
            read_batches_of_others(consumer, own_id)
        if pacing is not None:
            fetch_in_rounds(consumer, pacing, own_id)
        is_started = True
    finally:
        if not is_started:
            await waited_out(consumer.stop())
    return consumer


async def know_topics(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> None:
    """Have a started consumer, to which nothing is assigned, learn at once which brokers have these topics.

    Asked where partitions begin and end, aiokafka looks for the first topic that it does not know, waits for 0.1 s and
    begins anew: of 36 topics it told so after four seconds.

    Args:
        consumer: It learns.
        topics: Full names; it forgets all others.
    """
    await consumer._client.set_topics({*topics})
