"""Settings of a source of the kind ``bitfinex``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from streams.settings.prices.price_source import PricePackage, SourceSettings

Symbol = Annotated[str, Field(pattern=r"^t[A-Z0-9:]{3,60}$")]


class BitfinexSource(SourceSettings):
    """Bitfinex's public websocket, version 2.

    ``tickers`` are pairs such as ``tBTCUSD``, whose mark is the price of their last trade. ``derivatives`` are such as
    ``tBTCF0:USTF0``, whose mark is the venue's own, with its index and funding. A channel of which nothing is new says
    so every 15 s, so it is silent only after more than that.
    """

    kind: Literal["bitfinex"] = "bitfinex"
    websocket: str = "wss://api-pub.bitfinex.com/ws/2"
    tickers: tuple[Symbol, ...] = ()
    derivatives: tuple[Symbol, ...] = ()
    silent_after_ms: PositiveInt = 20_000

    @model_validator(mode="after")
    def _some_symbol(self) -> Self:
        if not self.tickers and not self.derivatives:
            msg = "expected some of tickers or derivatives, found neither; name the symbols to follow"
            raise ValueError(msg)
        return self


BITFINEX = PricePackage("bitfinex", BitfinexSource, "streams.ingest.prices.bitfinex.bitfinex_follower:BitfinexFollower")
"""The kind, as it is built in."""
