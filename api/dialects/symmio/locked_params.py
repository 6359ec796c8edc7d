"""``/get_locked_params/{symbol}?leverage=``: the shares, in percent, into which a margin is divided."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.dialects.symmio.replies import BadParameter, Refusal, plain, reply
from api.dialects.symmio.requested_market import named
from models.money import format_e18

if TYPE_CHECKING:
    from aiohttp import web

    from api.dialects.symmio.listing import Listed

_WHERE = ("query", "leverage")
_HUNDREDTH = Decimal("0.01")


async def get_locked_params(request: web.Request, deployment: str) -> web.Response:
    """Answer the shares at a leverage; ``cva``, ``partyAmm`` and ``lf`` add up to 100."""
    one = named(request, deployment, request.match_info["symbol"])
    return reply(locked_view(one, _leverage(request)))


def locked_view(one: Listed, leverage: Decimal) -> dict[str, str]:
    """Show the shares of a margin at a leverage.

    The contract refuses a quote whose liquidation fee is a smaller share of its margin than the market's minimum, so a
    smaller share in the configured table is raised to the minimum.

    Raises:
        Refusal: The leverage is not offered.
    """
    if not 1 <= leverage <= one.max_leverage:
        msg = f"expected a leverage of 1 to {plain(one.max_leverage)} for {one.name}, found {plain(leverage)}"
        raise Refusal(HTTPStatus.BAD_REQUEST, msg)
    row = one.locked_at(leverage)
    least_lf = Decimal(format_e18((one.market.min_acceptable_portion_lf or 0) * 100))
    lf = max(row.lf, least_lf.quantize(_HUNDREDTH, ROUND_CEILING))
    party_a_mm = 100 - row.cva - lf
    if party_a_mm < 0:
        msg = f"at a leverage of {plain(leverage)} nothing of a margin of {one.name} is left for party A"
        raise Refusal(HTTPStatus.BAD_REQUEST, msg)
    return {
        "cva": f"{row.cva:.2f}",
        "partyAmm": f"{party_a_mm:.2f}",
        "lf": f"{lf:.2f}",
        "leverage": plain(leverage) if leverage % 1 else f"{leverage:.1f}",
        "partyBmm": plain(row.party_b_mm),
    }


def _leverage(request: web.Request) -> Decimal:
    text = request.query.get("leverage")
    if text is None:
        msg = "expected a leverage, found none"
        raise BadParameter(_WHERE, msg, "value_error.missing")
    if not re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,18})?", text):
        msg = f"expected a leverage as a plain decimal number, found {text[:80]!r}"
        raise BadParameter(_WHERE, msg, "type_error.decimal")
    return Decimal(text)
