"""Settings of a source of the kind ``binance-futures``."""

from __future__ import annotations

from typing import Literal

from streams.settings.prices.price_source import PricePackage, SourceSettings


class BinanceSource(SourceSettings):
    """Binance's USD-margined futures. ``book_symbols`` are those whose best bid and ask are recorded too."""

    kind: Literal["binance-futures"] = "binance-futures"
    websocket: str = "wss://fstream.binance.com/market"
    rest: str = "https://fapi.binance.com"
    book_symbols: tuple[str, ...] = ()


BINANCE = PricePackage(
    "binance-futures", BinanceSource, "streams.ingest.prices.binance.binance_follower:BinanceFollower"
)
"""The kind, as it is built in."""
