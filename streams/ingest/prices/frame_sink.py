"""The way of a venue's frames to Kafka: ticks go to ``price-ticks``, values that cannot be read to ``dead-letters``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from prometheus_client import Counter, Gauge

from models.prices import BookTick, encode_tick, happened_ms
from streams.ingest.prices.conflation import BookConflation
from streams.ingest.prices.price_frames import BadFrame, tick_key
from streams.ingest.prices.refusals import Refusals
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from models.errors import TidemarkError
    from models.prices import PriceTick
    from streams.ingest.outlet import Outlet
    from streams.ingest.prices.price_frames import Frame
    from streams.process.clock import Clock
    from streams.settings import Settings

_FRAMES = Counter("tidemark_price_frames_total", "Frames and polls of a venue.", ("source",))
_TICKS = Counter("tidemark_price_ticks_total", "Ticks written to price-ticks.", ("source",))
_IGNORED = Counter("tidemark_price_ignored_events_total", "Events of kinds nobody asked for.", ("source",))
_LATE = Gauge(
    "tidemark_price_late_seconds", "How long before its receipt the newest tick's event happened.", ("source",)
)
_LAST_TICK = Gauge("tidemark_price_last_tick_ms", "When the newest tick was received, Unix ms.", ("source",))


class PriceSink:
    """Takes a source's frames as they were sent; whoever knows their form reads them.

    ``heard_ms`` is when what its newest tick says happened (``models.prices.happened_ms``); 0 before the first.

    Args:
        settings: Name the topics, and say how late the source's ticks may be.
        source: The source's name.
        outlet: The way to Kafka.
        clock: Tells when a frame was received.
        ahead_ms: Tells by how much the venue's clock is ahead of ours, in ms.
        is_conflated: Whether to conflate book tickers; those of a recording are not, so that it is played whole.
    """

    def __init__(
        self,
        settings: Settings,
        source: str,
        outlet: Outlet,
        clock: Clock,
        *,
        ahead_ms: Callable[[], int],
        is_conflated: bool = True,
    ) -> None:
        self.source = source
        self.heard_ms = 0
        self._clock = clock
        self._ahead_ms = ahead_ms
        self._max_late_ms = settings.sources.get(source, SourceSettings()).max_late_ms
        self._outlet = outlet
        self._ticks_topic = topic_name(settings, PRICE_TICKS)
        self._refusals = Refusals(settings, source, outlet, clock)
        self._books = BookConflation() if is_conflated else None

    async def flush_books(self) -> None:
        """Write the book tickers that were held back and may go now."""
        if self._books is not None:
            await self._write(self._books.due(self._clock.now_ms()))

    def ignore(self) -> None:
        """Count an event of a kind that nobody asked for."""
        _IGNORED.labels(self.source).inc()

    async def refuse(self, what: str, value: bytes, error: TidemarkError) -> None:
        """Put on ``dead-letters`` what cannot be read; the arguments are as for ``Refusals.refuse``.

        Args:
            what: What cannot be read.
            value: What was sent.
            error: Why it cannot be read.
        """
        await self._refusals.refuse(what, value, error)

    async def refuse_large(self, error: TidemarkError) -> None:
        """Put a frame on ``dead-letters`` that was too large to be received."""
        await self._refusals.refuse("large frame", b"", error)

    async def take(self, body: bytes, read: Callable[[bytes, str, int], Frame]) -> int:
        """Write the ticks of a frame or an answer, and return how many it held.

        Args:
            body: What was sent.
            read: Reads it, given the source's name and when it was received, in Unix ms. It raises ``BadFrame`` where
                nothing of it can be read.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
        received_ms = self._clock.now_ms()
        _FRAMES.labels(self.source).inc()
        try:
            frame = read(body, self.source, received_ms)
        except BadFrame as error:
            await self._refusals.refuse("frame", body, error)
            return 0
        _IGNORED.labels(self.source).inc(frame.ignored)
        for refused in frame.refused:
            await self._refusals.refuse_element("frame", refused)
        ahead_ms, max_late_ms = self._ahead_ms(), self._max_late_ms
        ticks = (replace(tick, clock_ahead_ms=ahead_ms, max_late_ms=max_late_ms) for tick in frame.ticks)
        await self._write(tick for tick in ticks if self._may_go(tick, received_ms))
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
            _LATE.labels(tick.source).set((tick.received_ms - tick.event_ms + (tick.clock_ahead_ms or 0)) / 1_000)
            self.heard_ms = max(self.heard_ms, happened_ms(tick))
