"""A market of a deployment, with its settings on chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.body_reader import amount_of, body_reader, no_row, text_of
from models.symmio.symmio_row_bodies import MarketBody

if TYPE_CHECKING:
    from models.chain_records import SymbolView


class Market(msgspec.Struct, frozen=True):
    """A market, or the settings of it that one event carries; the others are None then.

    Quote values, fees (fractions) and leverage are 1e18-scaled; funding epoch and window are in seconds.
    """

    symbol_id: int
    name: str | None = None
    is_valid: bool | None = None
    min_acceptable_quote_value: int | None = None
    min_acceptable_portion_lf: int | None = None
    trading_fee: int | None = None
    max_leverage: int | None = None
    funding_rate_epoch_duration_s: int | None = None
    funding_rate_window_s: int | None = None

    def over(self, older: Market) -> Market:
        """Merge the settings: those that are None here are taken from ``older``."""
        known = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(older, **known)


def market_of_view(view: SymbolView) -> Market:
    """Make a market of an answer of ``getSymbols``."""
    return Market(
        symbol_id=view.symbol_id,
        name=view.name,
        is_valid=view.is_valid,
        min_acceptable_quote_value=int(view.min_acceptable_quote_value),
        min_acceptable_portion_lf=int(view.min_acceptable_portion_lf),
        trading_fee=int(view.trading_fee),
        max_leverage=int(view.max_leverage),
        funding_rate_epoch_duration_s=view.funding_rate_epoch_duration_s,
        funding_rate_window_s=view.funding_rate_window_s,
    )


_read_body = body_reader("markets", MarketBody)


def encode_market(market: Market) -> MarketBody:
    """Body of a row of the ``markets`` table; a name that is not known is empty, so that it has no price."""
    return MarketBody(
        name=market.name or "",
        is_valid=market.is_valid,
        min_acceptable_quote_value=text_of(market.min_acceptable_quote_value),
        min_acceptable_portion_lf=text_of(market.min_acceptable_portion_lf),
        trading_fee=text_of(market.trading_fee),
        max_leverage=text_of(market.max_leverage),
        funding_rate_epoch_duration_s=market.funding_rate_epoch_duration_s,
        funding_rate_window_s=market.funding_rate_window_s,
    )


def decode_market(symbol_id: int, row: bytes) -> Market:
    """Read a row of the ``markets`` table.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    try:
        return Market(
            symbol_id=symbol_id,
            name=body.name or None,
            is_valid=body.is_valid,
            min_acceptable_quote_value=amount_of(body.min_acceptable_quote_value),
            min_acceptable_portion_lf=amount_of(body.min_acceptable_portion_lf),
            trading_fee=amount_of(body.trading_fee),
            max_leverage=amount_of(body.max_leverage),
            funding_rate_epoch_duration_s=body.funding_rate_epoch_duration_s,
            funding_rate_window_s=body.funding_rate_window_s,
        )
    except ValueError as error:
        raise no_row(row, "markets", error) from error
