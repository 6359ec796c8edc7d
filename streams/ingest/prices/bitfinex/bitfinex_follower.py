"""Ingest of Bitfinex's prices from its public websocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.ingest.prices.bitfinex.bitfinex_session import BitfinexSession, Channel
from streams.ingest.prices.frame_sink import PriceSink
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.ingest.prices.venue_clock import VenueClock
from streams.ingest.prices.venue_socket import VenueSocket
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from streams.ingest.prices.price_site import PriceSite
    from streams.settings import BitfinexSource

# The venue gives a connection at most 25 channels.
_CHANNELS_MAX = 25


class BitfinexFollower:
    """Hands the prices of one source to ``price-ticks``.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: PriceSite) -> None:
        source: BitfinexSource = site.source
        self._site = site
        self._venue_clock = VenueClock(site.name)
        self._sink = PriceSink(
            site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: self._venue_clock.ahead_ms
        )
        self._channels = [
            *(Channel("ticker", symbol) for symbol in source.tickers),
            *(Channel("status", symbol) for symbol in source.derivatives),
        ]

    @property
    def heard_ms(self) -> int:
        """When what the newest tick says happened, in Unix ms by our clock; 0 before the first."""
        return self._sink.heard_ms

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            NotAcknowledged: The broker did not take a record.
        """
        await together(*self._tasks())

    def _tasks(self) -> Iterator[Coroutine[None, None, None]]:
        site = self._site
        for first in range(0, len(self._channels), _CHANNELS_MAX):
            channels = self._channels[first : first + _CHANNELS_MAX]
            protocol = BitfinexSession(self._sink, channels, self._venue_clock, site.clock)
            yield VenueSocket(
                site.session,
                site.source.websocket,
                source=site.name,
                protocol=protocol,
                silent_after_s=site.source.silent_after_ms / 1_000,
                backoff=Backoff(*RECONNECT_S),
            ).run()
            yield protocol.ask_time()
