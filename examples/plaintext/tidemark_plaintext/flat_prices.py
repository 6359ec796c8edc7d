"""A source of prices of a package: each symbol has the price that the configuration says, for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from tidemark.prices import Frame, MarkTick, PricePackage, PriceSink, SourceSettings

if TYPE_CHECKING:
    from tidemark.prices import PriceSite


class FlatSource(SourceSettings):
    """``prices`` are the prices by symbol, written every ``every_s``."""

    kind: Literal["flat"] = "flat"
    prices: dict[str, str]
    every_s: float = 1.0


class FlatFollower:
    """Says them again and again."""

    def __init__(self, site: PriceSite) -> None:
        self._source: FlatSource = site.source
        self._sink = PriceSink(site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: 0)

    @property
    def heard_ms(self) -> int:
        """When the newest was said."""
        return self._sink.heard_ms

    async def run(self) -> None:
        """Say them until cancelled."""
        while True:
            await self._sink.take(b"", self._said)
            await asyncio.sleep(self._source.every_s)

    def _said(self, _body: bytes, source: str, received_ms: int) -> Frame:
        prices = self._source.prices.items()
        ticks = (
            MarkTick(source, symbol, received_ms, received_ms, price, None, None, None) for symbol, price in prices
        )
        return Frame(list(ticks), [], 0)


PRICES = PricePackage("flat", FlatSource, "tidemark_plaintext.flat_prices:FlatFollower")
