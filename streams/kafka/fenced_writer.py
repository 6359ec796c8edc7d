"""The one writer of records that nobody else may write at the same time: in transactions, under a name.

Whoever starts under the name fences every earlier one: a process that was paused, and wakes up after its successor has
started, cannot write any more, and of what it had begun to write nothing is ever read.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from models.errors import Superseded
from streams.kafka.producer import BATCH_BYTES, REQUEST_BYTES, Fence, send_all, start_producer
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiokafka import AIOKafkaProducer

    from streams.settings.kafka_client import Bootstrap

# A transaction that its writer left open holds up the readers of its partitions for so long at most. Its successor ends
# it at once.
TRANSACTION_TIMEOUT_MS = 10_000


class Fenced(Superseded):
    """Another writer has started under the same name, so this one writes nothing any more. Nothing needs to be done."""


class Written(NamedTuple):
    """A record to be written: the full name of its topic, its key and its value."""

    topic: str
    key: bytes
    value: bytes


class FencedWriter:
    """Writes records, all of a call or none.

    Args:
        producer: Started under ``name``; nobody else writes through it.
        name: The transactional id.
    """

    def __init__(self, producer: AIOKafkaProducer, name: str) -> None:
        self._producer = producer
        self._name = name

    async def write(self, records: Iterable[Written]) -> None:
        """Write records in one transaction; return when it is committed. One call at a time is under way.

        Raises:
            Fenced: Another writer has started.
            KafkaError: The broker did not take a record.
        """
        try:
            async with self._producer.transaction():
                # A commit does not fail for every record that the broker refused, so each is awaited.
                await send_all(self._producer.send(one.topic, one.value, key=one.key) for one in records)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            msg = (
                f"expected to be the only writer under {self._name}, found that another one has started, or that "
                f"writing took longer than {TRANSACTION_TIMEOUT_MS / 1_000:.0f} s"
            )
            raise Fenced(msg) from error


@asynccontextmanager
async def opened_fenced_writer(
    bootstrap: Bootstrap,
    name: str,
    *,
    compression: Literal["lz4"] | None = None,
    batch_bytes: int = BATCH_BYTES,
    request_bytes: int = REQUEST_BYTES,
) -> AsyncIterator[FencedWriter]:
    """A writer for as long as the block lasts; whoever wrote before under the name is fenced when it begins.

    Args:
        bootstrap: How the cluster is reached.
        name: The transactional id, unique in the cluster for what is written.
        compression: Of whole batches.
        batch_bytes: What a batch of one partition may hold, before it is compressed.
        request_bytes: What a record may take, before it is compressed.

    Raises:
        KafkaError: The broker cannot be reached, or does not let us write under the name.
    """
    producer = await start_producer(
        bootstrap,
        compression=compression,
        batch_bytes=batch_bytes,
        request_bytes=request_bytes,
        fence=Fence(name, TRANSACTION_TIMEOUT_MS),
    )
    try:
        yield FencedWriter(producer, name)
    finally:
        await waited_out(producer.stop())
