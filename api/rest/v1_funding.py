"""``/v1/funding``: the rates of the next funding epoch of each market."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.dialects.native.channels import CHANNELS
from api.dialects.native.protocol import Channel
from api.http.keys import FEEDS, FUNDING, SETTINGS
from api.rest.gzip_bodies import json_answer
from api.rest.known import expect_read
from api.rest.pages import CURSOR, LIMIT, keys_of_page, page_of_rows
from api.rest.query import Parameter, Query, choice
from api.tables.turns import next_turn

if TYPE_CHECKING:
    from aiohttp import web

    from models.views import View

_LIST = "funding"
_SYMBOL: Parameter[str] = Parameter("symbol", "the name of a market", lambda text: text or None)


async def funding(request: web.Request) -> web.Response:
    """Answer a page of markets' funding, by deployment and symbol."""
    app = request.app
    deployment = choice("deployment", app[SETTINGS].deployments)
    query = Query(request, deployment, _SYMBOL, LIMIT, CURSOR)
    of_deployment, symbol, feeds = query.get(deployment), query.get(_SYMBOL), app[FEEDS].by_table()
    for table in CHANNELS[Channel.FUNDING].tables:
        expect_read(feeds[table], table)
    views: dict[str, View] = {}
    unreadable = 0
    for name in app[SETTINGS].deployments:
        if of_deployment in {None, name}:
            markets = app[FUNDING].next_of(name)
            views |= {f"{name}:{market}": view for market, view in markets.items() if symbol in {None, market}}
            unreadable += app[FUNDING].unreadable(name)
            # The first request in a second takes some 20 µs a market.
            await next_turn()
    keys, next_cursor = keys_of_page(query, _LIST, views, str)
    return await json_answer(request, await page_of_rows([views[key] for key in keys], next_cursor, beside=unreadable))
