"""Single records for topics that are no table: what clients and operators say, kept before it is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from streams.kafka.producer import start_producer
from streams.kafka.topics import BadTopic, require_topic, topic_name
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings

# A client waits for the answer: longer than this it would have asked again.
_ANSWER_WITHIN_S = 5.0


class NotWritten(TidemarkError):
    """The broker has not acknowledged a record; it may have it all the same. Say it again, under the same identity."""


class RecordSink(Protocol):
    """Takes records; ``Records`` does."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Write a record, and wait until the broker has it.

        Args:
            topic: Name of a topic of the registry, without the prefix.
            key: Decides the partition.
            value: The record; None takes the current one off a compacted topic.

        Raises:
            NotWritten: The broker has not acknowledged it in time.
        """


class Records:
    """Writes to the cluster; connects when the first record comes.

    Args:
        settings: Name the broker and the topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connecting = asyncio.Lock()
        self._checked: set[str] = set()
        self._producer: AIOKafkaProducer | None = None

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Write a record, and wait until the broker has it.

        Args:
            topic: Name of a topic of the registry, without the prefix.
            key: Decides the partition.
            value: The record; None takes what stands under the key off a compacted topic.

        Raises:
            NotWritten: The broker cannot be reached, has no such topic, or does not answer in time.
        """
        name = topic_name(self._settings, topic)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                producer = await self._connected(topic)
                await producer.send_and_wait(name, value, key=key)
        except (KafkaError, BadTopic, TimeoutError) as error:
            msg = f"expected the broker to take a record of {name}, found: {error!r}"
            raise NotWritten(msg) from error

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await waited_out(self._producer.stop())

    async def _connected(self, topic: str) -> AIOKafkaProducer:
        async with self._connecting:
            if topic not in self._checked:
                await require_topic(self._settings, topic)
                self._checked.add(topic)
            if self._producer is None:
                self._producer = await start_producer(self._settings.bootstrap)
            return self._producer
