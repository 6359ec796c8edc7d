"""The one way to a producer: what must hold for every record, and what may differ from one writer to another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiokafka import AIOKafkaProducer

from streams.kafka.connection import client_arguments
from streams.kafka.first_connection import close_first_connection
from streams.kafka.requests import count_requests
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from aiokafka.structs import RecordMetadata

    from streams.settings.kafka_client import Bootstrap

# aiokafka's own; no writer of single records needs more.
BATCH_BYTES = 16 * 1024
REQUEST_BYTES = 1024 * 1024


class Fence(NamedTuple):
    """Writes are transactions under one name, and whoever starts under it fences all who did before.

    ``name`` is unique in the cluster for what is written. ``timeout_ms`` bounds how long a transaction that its writer
    left open holds up readers.
    """

    name: str
    timeout_ms: int


async def start_producer(
    bootstrap: Bootstrap,
    *,
    compression: Literal["lz4", "snappy"] | None = None,
    batch_bytes: int = BATCH_BYTES,
    request_bytes: int = REQUEST_BYTES,
    fence: Fence | None = None,
    given_up_after_ms: int | None = None,
) -> AIOKafkaProducer:
    """A started producer, which sends at once.

    A record is taken when all replicas of its partition have it, once and in order, however often it was sent again.

    Args:
        bootstrap: How the cluster is reached.
        compression: Of whole batches.
        batch_bytes: What a batch of one partition may hold, before it is compressed.
        request_bytes: What a record may take, before it is compressed.
        fence: Makes writes transactions, and fences others.
        given_up_after_ms: For records that are said again soon in any case. They need the partition's leader alone;
            one that it does not take in so many ms has failed, and may come twice or out of order.

    Raises:
        KafkaError: The broker cannot be reached, and nothing is left open.
    """
    assurance: Mapping[str, object] = {"acks": "all", "enable_idempotence": True}
    if given_up_after_ms is not None:
        # An idempotent producer gives nothing up.
        assurance = {"acks": 1, "request_timeout_ms": given_up_after_ms}
    if fence is not None:
        assurance = {**assurance, "transactional_id": fence.name, "transaction_timeout_ms": fence.timeout_ms}
    producer = AIOKafkaProducer(
        **client_arguments(bootstrap),
        linger_ms=0,
        compression_type=compression,
        max_batch_size=batch_bytes,
        max_request_size=request_bytes,
        **assurance,
    )
    count_requests(producer)
    close_first_connection(producer)
    is_started = False
    try:
        await producer.start()
        is_started = True
    finally:
        if not is_started:
            await waited_out(producer.stop())
    return producer


async def send_all(sends: Iterable[Coroutine[Any, Any, asyncio.Future[RecordMetadata]]]) -> list[RecordMetadata]:
    """Send records in order, and return where each of them stands once all are acknowledged.

    ``sends`` makes a call of ``AIOKafkaProducer.send`` for each record, when the one before has been made.

    Raises:
        KafkaError: The broker did not take a record; what became of the others is unknown.
    """
    sent = []
    for send in sends:
        future = await send
        # Where a later record cannot be sent, nobody waits for this one, and asyncio would tell of its error after the
        # last word of the process, which names the cause.
        future.add_done_callback(_look_at)
        sent.append(future)
    return list(await asyncio.gather(*sent))


def _look_at(sent: asyncio.Future[RecordMetadata]) -> None:
    if not sent.cancelled():
        sent.exception()
