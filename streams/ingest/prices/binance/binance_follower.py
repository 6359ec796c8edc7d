"""Ingest of Binance's prices, from its websocket, or from its REST interface while the websocket is silent."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from streams.ingest.prices.binance.binance_clock import BinanceClock
from streams.ingest.prices.binance.binance_sink import BinanceSink
from streams.ingest.prices.binance.fact_poll import InstrumentPolls
from streams.ingest.prices.conflation import INTERVAL_MS
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.ingest.prices.venue_socket import VenueSocket
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import aiohttp

    from streams.ingest.prices.price_site import PriceSite
    from streams.settings import BinanceSource

_log = logging.getLogger(__name__)

_POLLS = Counter("tidemark_price_polls_total", "REST polls made while a socket was silent.", ("source", "outcome"))

_LONGEST_POLL_WAIT_S = 60.0
# A quiet market's best prices may not change for a minute, so this many times the silence of marks is normal for them.
_BOOK_SILENCE = 12


class BinanceFollower:
    """Hands the prices of one source to ``price-ticks``, and other facts of its symbols to ``instrument-facts``.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: PriceSite) -> None:
        source: BinanceSource = site.source
        self._source = source
        self._name = site.name
        self._session = site.session
        self._venue_clock = BinanceClock(site.name, source.rest, site.session, site.clock)
        self.sink = BinanceSink(
            site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: self._venue_clock.ahead_ms
        )
        self._instruments = InstrumentPolls(
            site.settings, site.name, source.rest, site.session, site.outlet, clock=site.clock
        )

    @property
    def heard_ms(self) -> int:
        """When what the newest tick says happened, in Unix ms by our clock; 0 before the first."""
        return self.sink.heard_ms

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
        await together(*self._tasks())

    def _tasks(self) -> list[Coroutine[None, None, None]]:
        source, session, sink = self._source, self._session, self.sink
        silent_after_s = source.silent_after_ms / 1_000
        marks = self._socket(marks_url(source), silent_after_s)
        tasks = [
            self._venue_clock.run(),
            marks.run(),
            _poll_while_silent(session, source, sink, marks),
            *self._instruments.polls(),
        ]
        if source.book_symbols:
            tasks += [self._socket(books_url(source), silent_after_s * _BOOK_SILENCE).run(), _flush_books(sink)]
        return tasks

    def _socket(self, url: str, silent_after_s: float) -> VenueSocket:
        return VenueSocket(
            self._session,
            url,
            source=self._name,
            protocol=self.sink,
            silent_after_s=silent_after_s,
            backoff=Backoff(*RECONNECT_S),
        )


def marks_url(source: BinanceSource) -> str:
    """Make the URL of the stream of all marks; of the venue's streams, the raw one was seen to send them."""
    return f"{source.websocket}/ws/!markPrice@arr@1s"


def books_url(source: BinanceSource) -> str:
    """Make the URL of the stream of best bids and asks; the venue serves it under /public, and marks under /market."""
    streams = "/".join(f"{symbol.lower()}@bookTicker" for symbol in source.book_symbols)
    base = source.websocket.removesuffix("/market")
    return f"{base}{'' if base == source.websocket else '/public'}/stream?streams={streams}"


async def _poll_while_silent(
    session: aiohttp.ClientSession, source: BinanceSource, sink: BinanceSink, socket: VenueSocket
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


async def _poll(session: aiohttp.ClientSession, source: BinanceSource, sink: BinanceSink) -> bool:
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


async def _flush_books(sink: BinanceSink) -> None:
    while True:
        await asyncio.sleep(INTERVAL_MS / 1_000)
        await sink.flush_books()
