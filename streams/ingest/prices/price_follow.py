"""Ingest of a futures venue's prices, from its websocket, or from its REST interface while the websocket is silent.

They go to ``price-ticks``, and other facts of its symbols to ``instrument-facts``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client import Counter

from models.heartbeats import PricesBeat, prices_key
from streams.ingest.outlet import opened_outlet
from streams.ingest.prices.conflation import INTERVAL_MS
from streams.ingest.prices.fact_poll import InstrumentPolls
from streams.ingest.prices.frame_sink import PriceSink
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.ingest.prices.venue_clock import VenueClock
from streams.ingest.prices.venue_socket import VenueSocket
from streams.kafka.topics import INSTRUMENT_FACTS, LEASES, PRICE_TICKS, require_topic
from streams.process.backoff import Backoff
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.turns import turn
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from models.heartbeats import Beat
    from streams.ingest.outlet import Outlet
    from streams.process.clock import Clock
    from streams.settings import Settings, SourceSettings

_log = logging.getLogger(__name__)

_POLLS = Counter("tidemark_price_polls_total", "REST polls made while a socket was silent.", ("source", "outcome"))

_RECONNECT_S = (0.5, 30.0)
_LONGEST_POLL_WAIT_S = 60.0
# A quiet market's best prices may not change for a minute, so this many times the silence of marks is normal for them.
_BOOK_SILENCE = 12


async def run(settings: Settings, name: str, clock: Clock) -> None:
    """Write the prices of one source to Kafka until cancelled.

    Args:
        settings: The configuration.
        name: The source's name.
        clock: Tells when a frame or an answer was received.

    Raises:
        BadSettings: The source or Kafka is not configured.
        BadTopic: A topic is missing: run ``tidemark topics create``.
        NotAcknowledged: The broker did not take a record.
        Superseded: Another ingest of the source took over.
    """
    if name not in settings.sources:
        msg = f"expected a price source {name!r} in the configuration, found {sorted(settings.sources) or 'none'}"
        raise BadSettings(msg)
    async with aiohttp.ClientSession() as session, opened_outlet(settings.bootstrap) as outlet:
        await require_topic(settings, PRICE_TICKS, INSTRUMENT_FACTS, LEASES)
        follower = PriceFollower(settings, name, session, outlet, clock)

        def said(process: str, at_ms: int) -> dict[str, Beat]:
            return {prices_key(name): PricesBeat(process, at_ms, follower.sink.heard_ms)}

        # Ticks are not fenced: the newest event of a market wins, whoever wrote it, so a late tick changes nothing.
        async with turn(settings, "prices", name, clock):
            await _together(HeartbeatWriter(settings, clock, said).run(), follower.run())


class PriceFollower:
    """Hands the prices of one source to an outlet, and knows of Kafka nothing else.

    Args:
        settings: The configuration, with the source.
        name: The source's name.
        session: HTTP client.
        outlet: The way to Kafka.
        clock: Tells when a frame or an answer was received.

    Attributes:
        sink: Takes the source's frames.
    """

    def __init__(
        self, settings: Settings, name: str, session: aiohttp.ClientSession, outlet: Outlet, clock: Clock
    ) -> None:
        source = self._source = settings.sources[name]
        self._session = session
        self._venue_clock = VenueClock(name, source.rest, session, clock)
        self.sink = PriceSink(settings, name, outlet, clock, ahead_ms=lambda: self._venue_clock.ahead_ms)
        self._instruments = InstrumentPolls(settings, name, source.rest, session, outlet, clock=clock)

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
        await _together(*self._tasks())

    def _tasks(self) -> list[Coroutine[None, None, None]]:
        source, session, sink = self._source, self._session, self.sink
        silent_after_s = source.silent_after_ms / 1_000
        marks = VenueSocket(session, marks_url(source), sink, silent_after_s, Backoff(*_RECONNECT_S))
        tasks = [
            self._venue_clock.run(),
            marks.run(),
            _poll_while_silent(session, source, sink, marks),
            *self._instruments.polls(),
        ]
        if source.book_symbols:
            silent_after_s *= _BOOK_SILENCE
            books = VenueSocket(session, books_url(source), sink, silent_after_s, Backoff(*_RECONNECT_S))
            tasks += [books.run(), _flush_books(sink)]
        return tasks


async def _together(*tasks: Coroutine[None, None, None]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def marks_url(source: SourceSettings) -> str:
    """Make the URL of the stream of all marks; of the venue's streams, the raw one was seen to send them."""
    return f"{source.websocket}/ws/!markPrice@arr@1s"


def books_url(source: SourceSettings) -> str:
    """Make the URL of the stream of best bids and asks; the venue serves it under /public, and marks under /market."""
    streams = "/".join(f"{symbol.lower()}@bookTicker" for symbol in source.book_symbols)
    base = source.websocket.removesuffix("/market")
    return f"{base}{'' if base == source.websocket else '/public'}/stream?streams={streams}"


async def _poll_while_silent(
    session: aiohttp.ClientSession, source: SourceSettings, sink: PriceSink, socket: VenueSocket
) -> None:
    silent_after_s = source.silent_after_ms / 1_000
    backoff = Backoff(silent_after_s, _LONGEST_POLL_WAIT_S)
    while True:
        if (left_s := silent_after_s - socket.silent_s) > 0:
            await asyncio.sleep(left_s)
        elif await _poll(session, source, sink):
            backoff.reset()
            await asyncio.sleep(silent_after_s)
        else:
            await asyncio.sleep(backoff.next_s())


async def _poll(session: aiohttp.ClientSession, source: SourceSettings, sink: PriceSink) -> bool:
    url = f"{source.rest}/fapi/v1/premiumIndex"
    try:
        body = await fetch(session, url)
    except FAILURES as error:
        _POLLS.labels(sink.source, type(error).__name__).inc()
        _log.warning("price poll failed source=%s cause=%s", sink.source, type(error).__name__)
        return False
    ticks = await sink.take_premium_index(body)
    _POLLS.labels(sink.source, "answered").inc()
    _log.info("price poll source=%s ticks=%d", sink.source, ticks)
    return ticks > 0


async def _flush_books(sink: PriceSink) -> None:
    while True:
        await asyncio.sleep(INTERVAL_MS / 1_000)
        await sink.flush_books()
