"""Single records for topics that are no table: what clients and operators say, kept before it is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from streams.kafka.topics import BadTopic, check_topics, registry, topic_name

if TYPE_CHECKING:
    from streams.settings import Settings

# A client waits for the answer: longer than this it would have asked again.
_ANSWER_WITHIN_S = 5.0


class NotWritten(TidemarkError):
    """The broker has not acknowledged a record; it may have it all the same. Say it again, under the same identity."""


class RecordSink(Protocol):
    """Takes records; ``Records`` does."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Write a record of a topic of the registry, and wait until the broker has it.

        Raises:
            NotWritten: It has not said so in time.
        """


class Records:
    """Writes to the cluster; connects when the first record comes.

    Args:
        settings: Name the broker and the topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connecting = asyncio.Lock()
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
                producer = await self._connected(name)
                await producer.send_and_wait(name, value, key=key)
        except (KafkaError, BadTopic, TimeoutError) as error:
            msg = f"expected the broker to take a record of {name}, found: {error!r}"
            raise NotWritten(msg) from error

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def _connected(self, name: str) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                # A producer makes a missing topic, of any number of partitions, where the cluster makes topics itself.
                wanted = tuple(topic for topic in registry(self._settings) if topic.name == name)
                await check_topics(self._settings.bootstrap, wanted)
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._settings.bootstrap, acks="all", enable_idempotence=True, linger_ms=0
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
