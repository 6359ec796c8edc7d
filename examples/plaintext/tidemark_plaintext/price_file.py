"""A source of prices of a package: a file that is written by hand, such as ``{"BTCUSDT": "60000"}``.

The prices in it are said again every second, so a mark moves when the file is changed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tidemark.prices import BadFrame, Frame, MarkTick, PricePackage, PriceSink, SourceSettings

if TYPE_CHECKING:
    from tidemark.prices import PriceSite

_decode = msgspec.json.Decoder(dict[str, str]).decode


class PriceFileSource(SourceSettings):
    """``file`` has the prices by symbol, and is read every ``every_s``; while it is not there, nothing is said."""

    kind: Literal["price-file"] = "price-file"
    file: Path
    every_s: float = 1.0


class PriceFileFollower:
    """Says what the file says, again and again."""

    def __init__(self, site: PriceSite) -> None:
        self._source: PriceFileSource = site.source
        # The file has the clock of this machine, so its prices are never ahead of it.
        self._sink = PriceSink(site.settings, site.name, site.outlet, site.clock, ahead_ms=lambda: 0)

    @property
    def heard_ms(self) -> int:
        """When the newest was said."""
        return self._sink.heard_ms

    async def run(self) -> None:
        """Say the prices until cancelled."""
        while True:
            body = await asyncio.to_thread(_content, self._source.file)
            await self._sink.take(body, _read)
            await asyncio.sleep(self._source.every_s)


def _content(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b"{}"


def _read(body: bytes, source: str, received_ms: int) -> Frame:
    try:
        prices = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected prices as texts by symbol, found {body[:80]!r}: {error}"
        raise BadFrame(msg) from error
    ticks = [
        MarkTick(source, symbol, received_ms, received_ms, price, None, None, None) for symbol, price in prices.items()
    ]
    return Frame(ticks=[*ticks], refused=[], ignored=0)


PRICES = PricePackage("price-file", PriceFileSource, "tidemark_plaintext.price_file:PriceFileFollower")
