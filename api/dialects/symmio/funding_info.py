"""``/get_funding_info[?symbols=A&symbols=B]``: when funding is charged next, and at which rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.dialects.symmio.funding_board import funding_views
from api.dialects.symmio.replies import reply
from api.dialects.symmio.requested_market import listed
from api.http.keys import CLOCK, SETTINGS
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from aiohttp import web


async def get_funding_info(request: web.Request, deployment: str) -> web.Response:
    """Answer the funding of all valid markets by name, or of those that are asked for."""
    asked = request.query.getall("symbols", None)
    funding = symmio_deployments(request.app[SETTINGS])[deployment].funding
    now_ms, views = request.app[CLOCK].now_ms(), dict[str, Any]()
    async for one in listed(request, deployment):
        views |= funding_views((one,), funding, now_ms=now_ms, asked=asked)
    return reply(views)
