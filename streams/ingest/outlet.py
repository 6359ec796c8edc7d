"""The way out: records to Kafka, every one acknowledged by all replicas or the process ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.errors import TidemarkError

if TYPE_CHECKING:
    from aiokafka.structs import RecordMetadata

# Enough to keep a batch of every partition under way; a crash repeats at most this many price ticks.
_MAX_IN_FLIGHT = 2_000
_MAX_BATCH_BYTES = 256 * 1024
# The broker's own limit holds for the compressed batch; a block's hex shrinks to less than a quarter.
_MAX_REQUEST_BYTES = 16 * 1024 * 1024


class NotAcknowledged(TidemarkError):
    """The broker did not take a record. Nothing after it was counted as written: start the process again."""


class BrokerUnreachable(TidemarkError):
    """Nothing answers as Kafka at the bootstrap servers. Start the broker, or correct ``kafka`` (TIDEMARK_KAFKA)."""


class Outlet:
    """A producer that never skips: records of a partition arrive in the order of ``put``, and a failure is final.

    Args:
        bootstrap: Kafka's bootstrap servers.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
        )
        self._room = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self._in_flight: set[asyncio.Future[RecordMetadata]] = set()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnreachable: No broker answers.
        """
        is_connected = False
        try:
            await self._producer.start()
            is_connected = True
        except KafkaError as error:
            msg = f"expected Kafka at {self._bootstrap}, found {type(error).__name__}: {error}"
            raise BrokerUnreachable(msg) from error
        finally:
            if not is_connected:
                await self._producer.stop()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send what was accepted and disconnect."""
        await self._producer.stop()

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        """Accept a record; waits while too many are under way.

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
            raise _not_acknowledged(error) from error
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
            raise _not_acknowledged(self._failure) from self._failure


def _not_acknowledged(error: BaseException) -> NotAcknowledged:
    return NotAcknowledged(f"expected the broker to acknowledge a record, found {type(error).__name__}: {error}")
