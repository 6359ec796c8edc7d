"""How markets of other venues are called here: ``BTCUSDT`` is ``tBTCF0:USTF0``, as the venue calls its perpetuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TETHER = "USDT"


class VenueSymbols:
    """Names of markets, both ways.

    Args:
        named: Symbols by the name of the market, for those that the rule does not suit.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = named
        self._markets = {symbol: name for name, symbol in named.items()}

    def symbol_of(self, market: str) -> str:
        """The symbol of a market."""
        if market in self._named:
            return self._named[market]
        base = market.removesuffix(_TETHER)
        return f"t{market}" if base in (market, "") else f"t{base}F0:USTF0"

    def market_of(self, symbol: str) -> str | None:
        """The name of the market of a symbol; None where it is no symbol of any market."""
        if symbol in self._markets:
            return self._markets[symbol]
        base = symbol.removeprefix("t").removesuffix("F0:USTF0")
        for market in (f"{base}{_TETHER}", symbol.removeprefix("t")):
            if self.symbol_of(market) == symbol:
                return market
        return None
