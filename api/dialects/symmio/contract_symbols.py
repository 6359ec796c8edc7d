"""``/contract-symbols``: every market of a deployment, and the terms on which it is traded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orjson import Fragment, dumps

from api.dialects.symmio.replies import number, plain, reply
from api.dialects.symmio.requested_market import listed
from models.money import E18, format_e18

if TYPE_CHECKING:
    from aiohttp import web

    from api.dialects.symmio.listing import Listed

# The ending of a market's name that is its quote asset, where the venue does not say its assets.
_QUOTE_ASSETS = ("USDT", "USDC", "BUSD", "USD")


async def contract_symbols(request: web.Request, deployment: str) -> web.Response:
    """Answer every symbol; those that cannot be traded now are there too, as not valid."""
    # Encoded one by one: all at once would take a ms in one piece.
    symbols = [Fragment(dumps(symbol_view(one))) async for one in listed(request, deployment)]
    return reply({"count": len(symbols), "symbols": symbols})


def symbol_view(one: Listed) -> dict[str, Any]:
    """Show a market as clients read it. Numbers are JSON numbers or decimal texts, as in the live service."""
    market, offer, rules = one.market, one.offer, one.rules
    base, quote = _assets(one.name) if rules is None else (rules.base_asset, rules.quote_asset)
    return {
        "price_precision": 0 if rules is None else rules.price_decimals,
        "quantity_precision": 0 if rules is None else rules.quantity_decimals,
        "name": one.name,
        "symbol": base,
        "asset": quote,
        "symbol_id": market.symbol_id,
        "is_valid": one.is_valid,
        "min_acceptable_quote_value": number(format_e18(market.min_acceptable_quote_value or 0)),
        "min_acceptable_portion_lf": _fraction(market.min_acceptable_portion_lf or 0),
        "trading_fee": _fraction(market.trading_fee or 0),
        "max_leverage": number(plain(one.max_leverage)),
        "max_notional_value": number(plain(offer.max_notional_value)),
        "rfq_allowed": offer.rfq_allowed,
        "hedger_fee_open": plain(offer.hedger_fee_open),
        "hedger_fee_close": plain(offer.hedger_fee_close),
        "max_funding_rate": plain(offer.max_funding_rate),
        "min_notional_value": _size(None if rules is None else rules.min_notional_e18),
        "max_quantity": _size(None if rules is None else rules.max_quantity_e18),
        "lot_size": _size(None if rules is None else rules.step_e18),
    }


def _assets(name: str) -> tuple[str, str]:
    asset = next((asset for asset in _QUOTE_ASSETS if name.endswith(asset)), "")
    return name.removesuffix(asset), asset


def _fraction(value_e18: int) -> str:
    return f"{value_e18 // E18}.{value_e18 % E18:018d}"


def _size(size_e18: int | None) -> str:
    return format_e18(size_e18 or 0)
