"""The paths of ``/v1`` but for the websocket's and the documents'."""

from __future__ import annotations

from aiohttp import web

from api.rest.accounts import account, account_positions, accounts
from api.rest.alerts import AlertEndpoints
from api.rest.funding import funding
from api.rest.markets import mark, markets, marks
from api.rest.position_states import PositionStateEndpoints
from api.rest.positions import positions
from api.rest.status import status
from api.rest.totals import totals


def routes() -> list[web.AbstractRouteDef]:
    """The routes of these paths; each answers HEAD as well as GET."""
    alerts, states = AlertEndpoints(), PositionStateEndpoints()
    return [
        web.get("/v1/accounts", accounts),
        web.get("/v1/accounts/{account}", account),
        web.get("/v1/accounts/{account}/positions", account_positions),
        web.get("/v1/accounts/{account}/alerts", alerts.of_account),
        web.get("/v1/accounts/{account}/position-states", states.of_account),
        web.get("/v1/positions", positions),
        web.get("/v1/alerts", alerts.every),
        web.get("/v1/position-states", states.every),
        web.get("/v1/marks", marks),
        web.get("/v1/marks/{market}", mark),
        web.get("/v1/markets", markets),
        web.get("/v1/funding", funding),
        web.get("/v1/totals", totals),
        web.get("/v1/status", status),
    ]
