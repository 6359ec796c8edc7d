"""Write rows to a table's changelog, as a worker would."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

from models.codec import encode_row
from streams.kafka.topics import changelog_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from msgspec import Struct

    from streams.settings import Settings


class Changelogs:
    """The changelogs of one configuration."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer

    async def put(self, table: str, key: str, version: int, body: Mapping[str, Any] | Struct, *, term: int = 1) -> None:
        """Write one row and wait for the broker to have it."""
        name = changelog_name(self._settings, table)
        await self._producer.send_and_wait(name, encode_row(term, version, body), key=key.encode())


@asynccontextmanager
async def changelogs(settings: Settings) -> AsyncIterator[Changelogs]:
    """A writer of rows, for as long as the block lasts."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        yield Changelogs(settings, producer)
    finally:
        await producer.stop()
