"""The journal of a deployment: it writes records to ``chain-blocks`` in order, and waits until they are committed.

They are transactions, so that two ingests that follow nodes of different forks never interleave (ADR 39).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from models.chain_records import Watermark, encode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import MAX_BATCH_BYTES, MAX_REQUEST_BYTES, not_acknowledged
from streams.kafka.access import fence_name
from streams.kafka.fenced_writer import FencedWriter, Written, opened_fenced_writer
from streams.kafka.topics import topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from models.chain_records import ChainRecord
    from streams.ingest.symmio.tail import Tail
    from streams.settings import Settings

_RECORDS = Counter("tidemark_chain_records_total", "Records written to chain-blocks.", ("deployment", "kind"))
_HEAD = Gauge("tidemark_chain_head_block", "Highest block every log of which is in chain-blocks.", ("deployment",))
_FINAL = Gauge("tidemark_chain_final_block", "Highest block that will not be rolled back.", ("deployment",))


# A transaction takes some ms, whatever is in it. It must end within its timeout also where a broker takes 1 MB/s.
_TRANSACTION_BYTES = 4 * 1024 * 1024


class Writer(Protocol):
    """Writes records, all of a call or none; ``FencedWriter`` does."""

    async def write(self, records: Iterable[Written]) -> None:
        """Write records; return when they are on record."""


class Journal:
    """Writes a deployment's records, and applies them to its ``tail`` once the broker has acknowledged them.

    Args:
        settings: Name the topic.
        deployment: The deployment's name, which is the records' key.
        writer: The way to Kafka; nobody else writes the deployment's records but repairs.
        tail: What the topic already holds.
    """

    def __init__(self, settings: Settings, deployment: str, writer: Writer, tail: Tail) -> None:
        self.deployment = deployment
        self.tail = tail
        self._writer = writer
        self._topic = topic_name(settings, CHAIN_BLOCKS)
        self._key = deployment.encode()

    async def write(self, records: Sequence[ChainRecord]) -> None:
        """Write records and wait for the broker.

        Raises:
            NotAcknowledged: The broker did not take one; the process has to end and start again from the topic.
            Fenced: Another process writes the deployment's records now.
        """
        encoded = [Written(self._topic, self._key, encode_chain_record(record)) for record in records]
        try:
            for some in _in_transactions(encoded):
                await self._writer.write(some)
        except KafkaError as error:
            raise not_acknowledged(error) from error
        for record in records:
            self.tail.apply(record)
            _RECORDS.labels(self.deployment, type(record).__name__.lower()).inc()
            if isinstance(record, Watermark):
                _HEAD.labels(self.deployment).set(record.head)
                _FINAL.labels(self.deployment).set(record.final)


@asynccontextmanager
async def opened_writer(settings: Settings, deployment: str) -> AsyncIterator[FencedWriter]:
    """The only writer of a deployment's records for as long as the block lasts.

    Args:
        settings: Name Kafka and the prefix.
        deployment: The deployment's name.

    Raises:
        KafkaError: The broker cannot be reached, or does not let us write.
    """
    async with opened_fenced_writer(
        settings.bootstrap,
        fence_name(settings, "ingest", deployment),
        compression="lz4",
        batch_bytes=MAX_BATCH_BYTES,
        request_bytes=MAX_REQUEST_BYTES,
    ) as writer:
        yield writer


def _in_transactions(records: Iterable[Written]) -> Iterator[list[Written]]:
    some: list[Written] = []
    size = 0
    for record in records:
        if some and size + len(record.value) > _TRANSACTION_BYTES:
            yield some
            some, size = [], 0
        some.append(record)
        size += len(record.value)
    if some:
        yield some
