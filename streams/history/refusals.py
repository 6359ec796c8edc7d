"""The way to ``dead-letters`` of records that history cannot read."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from streams.kafka.deadletter import DeadLetters, encode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, topic_name

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from models.errors import TidemarkError
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# Letters of some kB; what has no room is counted and logged all the same, and stands on its topic.
_WAITING_MAX = 2_000


class Refusals:
    """Takes records that cannot be read, and writes their letters; one of a key's fault stands for an hour of it.

    Args:
        settings: Name the topic.
        clock: Tells when something was refused.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._topic = topic_name(settings, DEAD_LETTERS)
        self._letters = DeadLetters(clock)
        self._waiting: asyncio.Queue[tuple[bytes | None, bytes]] = asyncio.Queue(_WAITING_MAX)

    def refuse(self, topic: str, partition: int, record: Record[Any], error: TidemarkError) -> None:
        """Refuse a record.

        Args:
            topic: Full name of the topic that it stands in.
            partition: The partition that it stands in.
            record: The record.
            error: Why it cannot be read.
        """
        place = partition, record.offset
        # A reason quotes what it found, which differs from row to row.
        letter = self._letters.refuse(
            topic, record.value or b"", error, key=record.key, position=place, fault=type(error).__name__
        )
        if letter is None:
            return
        try:
            self._waiting.put_nowait((record.key, encode_dead_letter(letter)))
        except asyncio.QueueFull:
            _log.warning("no room for the letter of topic=%s partition=%d offset=%d", topic, *place)

    async def write(self, producer: AIOKafkaProducer) -> None:
        """Write the letters, until cancelled.

        Args:
            producer: Started.

        Raises:
            KafkaError: The broker did not take one.
        """
        while True:
            key, letter = await self._waiting.get()
            await producer.send_and_wait(self._topic, letter, key=key)
