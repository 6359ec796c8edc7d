"""``/get_funding_info[?symbols=A&symbols=B]``: when funding is charged next, and at which rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.dialects.symmio.markets import listed
from api.dialects.symmio.replies import plain, reply
from api.keys import CLOCK_MS, SETTINGS
from models.money import parse_e18
from models.symmio.funding import funding_rates, funding_view

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiohttp import web

    from api.dialects.symmio.listing import Listed
    from streams.settings import FundingSettings


async def get_funding_info(request: web.Request, deployment: str) -> web.Response:
    """Answer the valid markets by name, or those of them that are asked for."""
    asked = request.query.getall("symbols", None)
    funding = request.app[SETTINGS].deployments[deployment].funding
    markets = listed(request, deployment)
    return reply(funding_views(markets, funding, now_ms=request.app[CLOCK_MS](), asked=asked))


def funding_views(
    markets: Iterable[Listed], funding: FundingSettings, *, now_ms: int, asked: Collection[str] | None
) -> dict[str, Any]:
    """Funding of valid markets by name, where the chain charges any and the venue says a rate.

    Args:
        markets: All of a deployment's.
        funding: How rates come about.
        now_ms: Unix ms.
        asked: Names of those wanted, None for all.
    """
    views = {one.name: _view(one, funding, now_ms) for one in markets if asked is None or one.name in asked}
    return {name: view for name, view in views.items() if view is not None}


def _view(one: Listed, funding: FundingSettings, now_ms: int) -> dict[str, Any] | None:
    epoch_s = one.market.funding_rate_epoch_duration_s
    if not one.is_valid or not epoch_s or one.funding is None or one.funding.funding_rate_e18 is None:
        return None
    terms = one.instrument.funding
    if funding.scale and terms is None:
        # What is not scaled would be taken for the rate that will be charged.
        return None
    rates = funding_rates(
        one.funding.funding_rate_e18,
        epoch_s=epoch_s,
        interval_s=terms.interval_s if funding.scale and terms is not None else None,
        share_e18=parse_e18(plain(funding.share)),
        max_rate_e18=parse_e18(plain(funding.max_rate)),
    )
    return funding_view(rates, epoch_s=epoch_s, now_ms=now_ms)
