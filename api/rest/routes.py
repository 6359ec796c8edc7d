"""Where the twins of the websocket's channels stand."""

from __future__ import annotations

from aiohttp import web

from api.rest.accounts import account, account_positions, accounts
from api.rest.markets import mark, markets, marks
from api.rest.positions import positions
from api.rest.status import status
from api.rest.totals import totals


def routes() -> list[web.AbstractRouteDef]:
    """Every path of ``/v1`` but for the websocket and the documents; each answers HEAD as well."""
    return [
        web.get("/v1/accounts", accounts),
        web.get("/v1/accounts/{account}", account),
        web.get("/v1/accounts/{account}/positions", account_positions),
        web.get("/v1/positions", positions),
        web.get("/v1/marks", marks),
        web.get("/v1/marks/{market}", mark),
        web.get("/v1/markets", markets),
        web.get("/v1/totals", totals),
        web.get("/v1/status", status),
    ]
