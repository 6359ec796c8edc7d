"""``/price-range/{symbol}``: between which prices limit orders are taken."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from api.dialects.symmio.replies import Refusal, plain, reply
from api.dialects.symmio.requested_market import named
from models.money import E18, parse_e18

if TYPE_CHECKING:
    from aiohttp import web


async def price_range(request: web.Request, deployment: str) -> web.Response:
    """Answer the lowest and the highest price, both on the tick and within the band of a price of now."""
    one = named(request, deployment, request.match_info["symbol"])
    if one.price is None or one.rules is None:
        msg = f"the price of {one.name} now, or how finely it is quoted, is not known"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, msg)
    lowest_e18, highest_e18 = band_e18(one.price.mark_e18, parse_e18(plain(one.offer.price_band)), one.tick_e18)
    decimals = one.rules.price_decimals
    return reply({"min_price": _price(lowest_e18, decimals), "max_price": _price(highest_e18, decimals)})


def band_e18(mark_e18: int, band_e18: int, tick_e18: int) -> tuple[int, int]:
    """Find the lowest and the highest price that are on a tick and within a band around the mark.

    Args:
        mark_e18: The mark price, 1e18-scaled, above 0.
        band_e18: The band's half width as a share of the mark, 1e18-scaled, 0 to 1e18.
        tick_e18: What prices are multiples of, 1e18-scaled, above 0.

    Returns:
        Both prices, 1e18-scaled. The lowest is rounded up to its tick and the highest down.
    """
    lowest_e36, highest_e36 = mark_e18 * (E18 - band_e18), mark_e18 * (E18 + band_e18)
    lowest_ticks = -(-lowest_e36 // (E18 * tick_e18))
    return lowest_ticks * tick_e18, highest_e36 // (E18 * tick_e18) * tick_e18


def _price(price_e18: int, decimals: int) -> str:
    whole, fraction = divmod(price_e18, E18)
    return f"{whole}.{f'{fraction:018d}'[:decimals]}" if decimals else str(whole)
