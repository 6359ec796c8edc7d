"""The way of a venue's frames to Kafka: ticks go to ``price-ticks``, values that cannot be read to ``dead-letters``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from models.prices import BookTick, encode_tick
from streams.ingest.prices.binance import BadFrame, read_frame, read_premium_index, tick_key
from streams.ingest.prices.conflation import BookConflation
from streams.kafka.deadletter import dead_letter, encode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, PRICE_TICKS, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from models.errors import TidemarkError
    from models.prices import PriceTick
    from streams.ingest.outlet import Outlet
    from streams.ingest.prices.binance import Frame
    from streams.process.clock import Clock
    from streams.settings import Settings

_FRAMES = Counter("tidemark_price_frames_total", "Frames and polls of a venue.", ("source",))
_TICKS = Counter("tidemark_price_ticks_total", "Ticks written to price-ticks.", ("source",))
_IGNORED = Counter("tidemark_price_ignored_events_total", "Events of kinds nobody asked for.", ("source",))
_LAST_TICK = Gauge("tidemark_price_last_tick_ms", "When the newest tick was received, Unix ms.", ("source",))


class PriceSink:
    """Takes a source's frames as they were sent.

    ``heard_ms`` is when its newest tick was received, in Unix ms; 0 before the first.

    Args:
        settings: Name the topics.
        source: The source's name.
        outlet: The way to Kafka.
        clock: Tells when a frame was received.
        is_conflated: Whether to conflate book tickers; those of a recording are not, so that it is played whole.
    """

    def __init__(
        self, settings: Settings, source: str, outlet: Outlet, clock: Clock, *, is_conflated: bool = True
    ) -> None:
        self.source = source
        self.heard_ms = 0
        self._clock = clock
        self._outlet = outlet
        self._ticks_topic = topic_name(settings, PRICE_TICKS)
        self._letters_topic = topic_name(settings, DEAD_LETTERS)
        self._books = BookConflation() if is_conflated else None

    async def take_frame(self, frame: bytes) -> int:
        """Write a websocket frame's ticks and return how many it held."""
        return await self._take(frame, read_frame)

    async def take_premium_index(self, body: bytes) -> int:
        """Write the ticks of a ``premiumIndex`` answer and return how many it held."""
        return await self._take(body, read_premium_index)

    async def flush_books(self) -> None:
        """Write the book tickers that were held back and may go now."""
        if self._books is not None:
            await self._write(self._books.due(self._clock.now_ms()))

    async def refuse(self, value: bytes, error: TidemarkError, value_bytes: int | None = None) -> None:
        """Put what cannot be read on ``dead-letters``.

        Args:
            value: What was sent, or its beginning.
            error: Why it cannot be read.
            value_bytes: The full length in bytes where ``value`` is only the beginning.
        """
        letter = dead_letter(self.source, value, error, at_ms=self._clock.now_ms(), value_bytes=value_bytes)
        await self._outlet.put(self._letters_topic, self.source.encode(), encode_dead_letter(letter))

    async def _take(self, body: bytes, read: Callable[[bytes, str, int], Frame]) -> int:
        received_ms = self._clock.now_ms()
        _FRAMES.labels(self.source).inc()
        try:
            frame = read(body, self.source, received_ms)
        except BadFrame as error:
            await self.refuse(body, error)
            return 0
        _IGNORED.labels(self.source).inc(frame.ignored)
        for refused in frame.refused:
            await self.refuse(refused.value, refused.error)
        await self._write(tick for tick in frame.ticks if self._may_go(tick, received_ms))
        return len(frame.ticks)

    def _may_go(self, tick: PriceTick, received_ms: int) -> bool:
        if self._books is None or not isinstance(tick, BookTick):
            return True
        return self._books.offer(tick, received_ms) is not None

    async def _write(self, ticks: Iterable[PriceTick]) -> None:
        for tick in ticks:
            await self._outlet.put(self._ticks_topic, tick_key(tick), encode_tick(tick))
            _TICKS.labels(tick.source).inc()
            _LAST_TICK.labels(tick.source).set(tick.received_ms)
            self.heard_ms = max(self.heard_ms, tick.received_ms)
