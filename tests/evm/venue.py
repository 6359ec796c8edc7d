"""A stand-in for exchanges: they say marks and rates in the chain's time, which tests set forward."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from models.ids import mark_key
from models.money import format_e18
from models.prices import MarkTick, encode_tick
from streams.kafka.topics import PRICE_TICKS, topic_name
from tests.support.pipeline import producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings
    from tests.evm.anvil import Anvil

SOURCE = "binance-futures"
INTERVAL_S = 28_800
# When the chain's time is set forward, the seconds before it have their ticks too: however busy the machine is, what is
# said of a second that a test goes to is said.
_SAID_BEFORE_S = 60
_EVERY_S = 0.2
# A mark moves by up to two per cent.
_PARTS, _MOVES = 10**9, 2 * 10**7


class Venue:
    """Says a tick of each symbol for every second of the chain, but for those in ``silent``; it is at ``said_s``.

    ``hushed`` has the seconds in which one source says nothing of one symbol, by (source, symbol). With a ``seed``, no
    two ticks have the same mark or rate.

    Args:
        settings: Name the topic.
        chain: Tells the time.
        marks: The mark and the rate of each symbol, 1e18-scaled; they may be changed at any time.
        sources: Who says them.
    """

    def __init__(
        self,
        settings: Settings,
        chain: Anvil,
        marks: Mapping[str, tuple[int, int]],
        sources: Sequence[str] = (SOURCE,),
    ) -> None:
        self._settings = settings
        self._chain = chain
        self.sources = sources
        self.marks = dict(marks)
        self.silent = range(0)
        self.hushed: dict[tuple[str, str], range] = {}
        self.seed: int | None = None
        self.said_s = 0

    async def say_all(self, sender: AIOKafkaProducer) -> None:
        """Say what happened since the last time."""
        block = await self._chain.ask("eth_getBlockByNumber", "pending", False)  # noqa: FBT003 - JSON-RPC
        now_s = int(block["timestamp"], 16)
        for event_s in range(max(self.said_s + 1, now_s - _SAID_BEFORE_S), now_s + 1):
            if event_s not in self.silent:
                for source in self.sources:
                    await self._say(sender, source, event_s)
        self.said_s = max(self.said_s, now_s)

    async def _say(self, sender: AIOKafkaProducer, source: str, event_s: int) -> None:
        ends_ms = (event_s // INTERVAL_S + 1) * INTERVAL_S * 1_000
        for symbol, (mark_e18, rate_e18) in self.marks.items():
            if event_s in self.hushed.get((source, symbol), ()):
                continue
            at_ms = event_s * 1_000
            mark = format_e18(self._moved(mark_e18, source, symbol, event_s))
            rate = format_e18(self._moved(rate_e18, source, symbol, event_s))
            tick = MarkTick(source, symbol, at_ms, at_ms, mark, None, rate, ends_ms)
            await sender.send(topic_name(self._settings, PRICE_TICKS), encode_tick(tick), key=mark_key(source, symbol))

    def _moved(self, value_e18: int, source: str, symbol: str, event_s: int) -> int:
        if self.seed is None:
            return value_e18
        draw = random.Random(f"{self.seed} {source} {symbol} {event_s} {value_e18}")
        return value_e18 * draw.randint(_PARTS - _MOVES, _PARTS + _MOVES) // _PARTS


@asynccontextmanager
async def running_venue(venue: Venue, settings: Settings) -> AsyncIterator[None]:
    """Let it speak for as long as the block lasts; it has spoken once when that begins."""
    async with producer(settings) as sender:
        await venue.say_all(sender)
        speaking = asyncio.create_task(_speak(venue, sender))
        try:
            yield
            # An error of its own is one of the test's.
            if speaking.done():
                speaking.result()
        finally:
            speaking.cancel()
            with suppress(asyncio.CancelledError):
                await speaking


async def _speak(venue: Venue, sender: AIOKafkaProducer) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        await venue.say_all(sender)
