"""The way out: records to Kafka, every one acknowledged by all replicas or the process ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from streams.kafka.producer import start_producer
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from streams.settings.kafka_client import Bootstrap

# Enough to keep a batch of every partition under way; a crash repeats at most this many price ticks.
_MAX_IN_FLIGHT = 2_000
MAX_BATCH_BYTES = 256 * 1024
# The broker's own limit holds for the compressed batch; a block's hex shrinks to less than a quarter.
MAX_REQUEST_BYTES = 16 * 1024 * 1024


class NotAcknowledged(TidemarkError):
    """The broker did not take a record. Nothing after it was counted as written: start the process again."""


class BrokerUnreachable(TidemarkError):
    """Nothing answers as Kafka at the bootstrap servers. Start the broker, or correct ``kafka`` (TIDEMARK_KAFKA)."""


class Outlet:
    """A producer that never skips: records of a partition arrive in the order of ``put``, and a failure is final.

    Args:
        producer: Started, and stopped by who started it; nobody else writes through it.
    """

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._room = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self._in_flight: set[asyncio.Future[RecordMetadata]] = set()
        self._failure: BaseException | None = None

    async def put(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Accept a record; waits while too many are under way.

        Args:
            topic: Full name of a topic that exists.
            key: Decides the partition.
            value: The record; None takes what stands under the key off a compacted topic.

        Raises:
            NotAcknowledged: This or an earlier record was refused or not answered in time.
        """
        self._check()
        await self._room.acquire()
        try:
            future: asyncio.Future[RecordMetadata] = await self._producer.send(topic, value, key)
        except KafkaError as error:
            self._room.release()
            self._failure = error
            raise not_acknowledged(error) from error
        except asyncio.CancelledError:
            self._room.release()
            raise
        self._in_flight.add(future)
        future.add_done_callback(self._sent)

    async def flush(self) -> None:
        """Wait until every accepted record is acknowledged.

        Raises:
            NotAcknowledged: One was not.
        """
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        self._check()

    def _sent(self, future: asyncio.Future[RecordMetadata]) -> None:
        self._in_flight.discard(future)
        self._room.release()
        if future.cancelled():
            self._failure = self._failure or asyncio.CancelledError()
        elif error := future.exception():
            self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure is not None:
            raise not_acknowledged(self._failure) from self._failure


@asynccontextmanager
async def opened_outlet(bootstrap: Bootstrap) -> AsyncIterator[Outlet]:
    """An outlet for as long as the block lasts; what it accepted is sent before it is disconnected.

    Raises:
        BrokerUnreachable: No broker answers at ``bootstrap``.
    """
    try:
        producer = await start_producer(
            bootstrap, compression="lz4", batch_bytes=MAX_BATCH_BYTES, request_bytes=MAX_REQUEST_BYTES
        )
    except KafkaError as error:
        msg = f"expected Kafka at {bootstrap}, found {type(error).__name__}: {error}"
        raise BrokerUnreachable(msg) from error
    try:
        yield Outlet(producer)
    finally:
        await waited_out(producer.stop())


def not_acknowledged(error: BaseException) -> NotAcknowledged:
    """Say of an error of the client that a record was not taken."""
    return NotAcknowledged(f"expected the broker to acknowledge a record, found {type(error).__name__}: {error}")
