"""``/v1/totals``: sums over all accounts of a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.gate import principal_of
from api.dialects.native.channels import CHANNELS
from api.dialects.native.protocol import Channel
from api.http.keys import FEEDS, FRESHNESS, SETTINGS, TOTALS
from api.rest.gzip_bodies import json_answer
from api.rest.known import expect_read
from api.rest.pages import page_of_rows
from api.rest.query import Query, choice
from api.tables.ranking import UNREADABLE
from models.engine.tables import SUBTOTALS
from models.errors import BadRow

if TYPE_CHECKING:
    from aiohttp import web

    from models.views import View


async def totals(request: web.Request) -> web.Response:
    """Answer the sums of one deployment or of each, as far as the client may read all of its accounts."""
    principal = principal_of(request)
    names = [name for name in request.app[SETTINGS].deployments if CHANNELS[Channel.TOTALS].may_read(principal, name)]
    deployment = choice("deployment", names)
    wanted = Query(request, deployment).get(deployment)
    expect_read(request.app[FEEDS].subtotals, SUBTOTALS)
    views = [_view(request.app, name) for name in names if wanted in {None, name}]
    unreadable = sum(view.get("status") == UNREADABLE for view in views)
    return await json_answer(request, await page_of_rows(views, None, beside=unreadable))


def _view(app: web.Application, deployment: str) -> View:
    try:
        return app[FRESHNESS].sums(app[TOTALS].of(deployment))
    except BadRow:
        return {"deployment": deployment, "status": UNREADABLE}
