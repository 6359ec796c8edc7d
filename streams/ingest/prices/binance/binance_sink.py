"""The way of Binance's frames and answers to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.ingest.prices.binance.binance_frames import read_frame, read_premium_index
from streams.ingest.prices.frame_sink import PriceSink

if TYPE_CHECKING:
    import aiohttp


class BinanceSink(PriceSink):
    """Takes what the venue sends; the URL of its sockets says which streams, so nothing is asked for on them."""

    async def opened(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Begin a connection."""

    async def take_frame(self, frame: bytes) -> int:
        """Write a websocket frame's ticks and return how many it held."""
        return await self.take(frame, read_frame)

    async def take_premium_index(self, body: bytes) -> int:
        """Write the ticks of a ``premiumIndex`` answer and return how many it held."""
        return await self.take(body, read_premium_index)
