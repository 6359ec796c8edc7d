"""``/v1/funding``: the rates of the next funding epoch of each market."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import FUNDING
from api.http.keys import FEEDS, SETTINGS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import expect_read
from api.rest.pages import CURSOR, LIMIT, keys_of_page, page
from api.rest.query import Parameter, Query, choice
from models.errors import BadRow
from models.symmio.funding import next_funding_view
from streams.kafka.topics import INSTRUMENTS, MARKETS, MARKS

if TYPE_CHECKING:
    from aiohttp import web

    from api.tables.funding_board import FundingBoard
    from models.views import View

_LIST = "funding"
_SYMBOL: Parameter[str] = Parameter("symbol", "the name of a market", lambda text: text or None)


async def funding(request: web.Request) -> web.Response:
    """Answer a page of markets' funding, by deployment and symbol; it is worked out once a second."""
    app = request.app
    deployment = choice("deployment", app[SETTINGS].deployments)
    query = Query(request, deployment, _SYMBOL, LIMIT, CURSOR)
    of_deployment, symbol, feeds = query.get(deployment), query.get(_SYMBOL), app[FEEDS].by_table()
    for table in (MARKETS, MARKS, INSTRUMENTS):
        expect_read(feeds[table], table)
    views: dict[str, View] = {}
    for name in app[SETTINGS].deployments:
        if of_deployment in {None, name}:
            views |= _views(app[FUNDING], name, symbol)
            # Some 20 µs a market, in the first request of a second.
            await asyncio.sleep(0)
    keys, next_cursor = keys_of_page(query, _LIST, views, str)
    return await json_answer(request, page([views[key] for key in keys], next_cursor))


def _views(board: FundingBoard, deployment: str, symbol: str | None) -> dict[str, View]:
    try:
        markets = board.of(deployment)
    except BadRow as error:
        raise Problem(NOT_KNOWN, f"a row of the markets of deployment {deployment} cannot be read") from error
    named = {f"{deployment}:{name}": view for name, view in markets.items() if symbol in {None, name}}
    return {key: next_funding_view(key, view) for key, view in named.items()}
