"""Ingest of prices from Pyth Lazer and Hermes: what is said on their websockets, and the followers of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.ingest.prices.frame_sink import PriceSink
from streams.ingest.prices.price_tasks import RECONNECT_S, together
from streams.ingest.prices.pyth.pyth_frames import HermesReader, LazerReader, feed_key
from streams.ingest.prices.venue_socket import VenueSocket
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from models.errors import TidemarkError
    from streams.ingest.prices.price_frames import Frame
    from streams.ingest.prices.price_site import PriceSite
    from streams.settings.prices.pyth_source import PythHermesSource, PythLazerSource

_LAZER_PROPERTIES = ("price", "exponent", "confidence", "emaPrice", "marketSession", "feedUpdateTimestamp")
_OF_PRICES = (b'"streamUpdated"', b'"price_update"')


class _Session:
    """One connection: it subscribes, and hands on what comes."""

    def __init__(self, sink: PriceSink, subscribe: Mapping[str, Any], read: Callable[[bytes, str, int], Frame]) -> None:
        self._sink = sink
        self._subscribe = subscribe
        self._read = read

    async def opened(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Subscribe."""
        await socket.send_json(self._subscribe)

    async def take_frame(self, frame: bytes) -> int:
        """Take a frame, and return whether it is one of prices, be they new or not."""
        await self._sink.take(frame, self._read)
        # Another connection may have said the same before; this one lives all the same.
        return int(any(kind in frame for kind in _OF_PRICES))

    async def refuse_large(self, error: TidemarkError) -> None:
        """Hear of a frame that was too large."""
        await self._sink.refuse_large(error)


class _Follower:
    def __init__(
        self,
        site: PriceSite,
        urls: Sequence[str],
        subscribe: Mapping[str, Any],
        read: Callable[[bytes, str, int], Frame],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # Prices carry the time at which Pyth made them, which is the network's and not one server's.
        self._sink = PriceSink(site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: 0)
        self._sockets = [
            VenueSocket(
                site.session,
                url,
                source=site.name,
                protocol=_Session(self._sink, subscribe, read),
                silent_after_s=site.source.silent_after_ms / 1_000,
                backoff=Backoff(*RECONNECT_S),
                headers=headers,
            )
            for url in urls
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
        await together(*(socket.run() for socket in self._sockets))


class LazerFollower(_Follower):
    """Hands the prices of Pyth Lazer to ``price-ticks``.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: PriceSite) -> None:
        source: PythLazerSource = site.source
        subscribe = {
            "type": "subscribe",
            "subscriptionId": 1,
            "priceFeedIds": sorted(source.feeds.values()),
            "properties": _LAZER_PROPERTIES,
            "formats": [],
            "channel": source.channel,
            "deliveryFormat": "json",
            "parsed": True,
        }
        headers = {"Authorization": f"Bearer {source.token.get_secret_value()}"}
        super().__init__(site, source.websockets, subscribe, LazerReader(source.feeds).read, headers)


class HermesFollower(_Follower):
    """Hands the prices of a Hermes service to ``price-ticks``.

    Args:
        site: Where it stands.
    """

    def __init__(self, site: PriceSite) -> None:
        source: PythHermesSource = site.source
        subscribe = {"type": "subscribe", "ids": sorted(map(feed_key, source.feeds.values())), "verbose": False}
        super().__init__(site, [source.websocket], subscribe, HermesReader(source.feeds).read)
