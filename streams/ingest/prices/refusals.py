"""The way to ``dead-letters`` of what a venue sent and nobody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.deadletter import DeadLetters, encode_dead_letter, form_of
from streams.kafka.topics import DEAD_LETTERS, topic_name

if TYPE_CHECKING:
    from models.errors import TidemarkError
    from streams.ingest.outlet import Outlet
    from streams.ingest.prices.price_frames import Refused
    from streams.process.clock import Clock
    from streams.settings import Settings


class Refusals:
    """Writes the dead letters of one source; a fault that repeats itself is written once an hour.

    Args:
        settings: Name the topic.
        source: The source's name.
        outlet: The way to Kafka.
        clock: Tells when something was refused.
    """

    def __init__(self, settings: Settings, source: str, outlet: Outlet, clock: Clock) -> None:
        self._source = source
        self._outlet = outlet
        self._letters = DeadLetters(clock)
        self._topic = topic_name(settings, DEAD_LETTERS)

    async def refuse(self, what: str, value: bytes, error: TidemarkError) -> None:
        """Refuse a whole frame or answer.

        Args:
            what: What cannot be read, such as ``frame`` or an endpoint's name: any other of it is a repeat.
            value: What was sent.
            error: Why it cannot be read.
        """
        letter = self._letters.refuse(self._source, value, error, fault=what)
        if letter is not None:
            await self._outlet.put(self._topic, self._source.encode(), encode_dead_letter(letter))

    async def refuse_element(self, what: str, refused: Refused) -> None:
        """Refuse one element of a frame or an answer; another one that says the same amiss of its symbol is a repeat.

        Args:
            what: What the element is of.
            refused: The element.
        """
        await self.refuse(f"{what} {refused.symbol} {form_of(refused.error)}", refused.value, refused.error)
