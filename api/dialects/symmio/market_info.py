"""``/get_market_info[/{multi_account}]``: price, last 24 hours and cap of each market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.dialects.symmio.replies import number, plain, reply
from api.dialects.symmio.requested_market import listed
from models.money import format_e18

if TYPE_CHECKING:
    from aiohttp import web

    from api.tables.listing import Listed


async def get_market_info(request: web.Request, deployment: str) -> web.Response:
    """Answer the markets by name.

    Clients fail at a null, so a market is left out whose precision, or whose price of now, is not known.
    """
    markets = listed(request, deployment)
    return reply({one.name: _info(one, one.price.mark_e18) async for one in markets if one.price and one.rules})


def _info(one: Listed, mark_e18: int) -> dict[str, Any]:
    ticker = one.instrument.ticker
    return {
        "price": number(format_e18(mark_e18)),
        "price_change_percent": number("0" if ticker is None else format_e18(ticker.price_change_percent_e18)),
        "trade_volume": number("0" if ticker is None else format_e18(ticker.quote_volume_e18)),
        "notional_cap": number(plain(one.offer.cap)),
    }
