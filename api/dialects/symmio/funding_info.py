"""``/get_funding_info[?symbols=A&symbols=B]``: when funding is charged next, and at which rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import FUNDING_BOARD
from api.dialects.symmio.replies import reply
from api.dialects.symmio.requested_market import expect_markets

if TYPE_CHECKING:
    from aiohttp import web


async def get_funding_info(request: web.Request, deployment: str) -> web.Response:
    """Answer the funding of all valid markets by name, or of those that are asked for."""
    asked = request.query.getall("symbols", None)
    expect_markets(request)
    views = request.app[FUNDING_BOARD].of(deployment)
    return reply({name: view for name, view in views.items() if asked is None or name in asked})
