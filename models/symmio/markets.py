"""A deployment's market as its chain tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.chain_records import SymbolView


class Market(msgspec.Struct, frozen=True):
    """A market, or what one event says of it: None is not said.

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
        """The market with everything this says, and what ``older`` says where this says nothing."""
        said = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(older, **said)


_MONEY = ("min_acceptable_quote_value", "min_acceptable_portion_lf", "trading_fee", "max_leverage")


def market_of_view(view: SymbolView) -> Market:
    """The market as ``getSymbols`` answered."""
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


def encode_market(market: Market) -> dict[str, Any]:
    """Body of a row of the ``markets`` table; a name not known yet is empty, so that no price is looked for."""
    body = msgspec.structs.asdict(market)
    del body["symbol_id"]
    for name in _MONEY:
        body[name] = None if body[name] is None else str(body[name])
    body["name"] = market.name or ""
    return body


def decode_market(symbol_id: int, body: Mapping[str, Any]) -> Market:
    """Read the body of a row of the ``markets`` table.

    Raises:
        BadRow: It is none.
    """
    fields = dict(body)
    try:
        for name in _MONEY:
            fields[name] = None if fields[name] is None else int(fields[name])
        fields["name"] = fields["name"] or None
        return Market(symbol_id, **fields)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"expected the body of a markets row, found {dict(body)!r:.200} ({error!r})"
        raise BadRow(msg) from error
