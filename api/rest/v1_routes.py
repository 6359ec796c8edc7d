"""Where the twins of the websocket's channels stand."""

from __future__ import annotations

from aiohttp import web

from api.rest.v1_accounts import account, account_positions, accounts
from api.rest.v1_alerts import AlertEndpoints
from api.rest.v1_funding import funding
from api.rest.v1_markets import mark, markets, marks
from api.rest.v1_position_states import PositionStateEndpoints
from api.rest.v1_positions import positions
from api.rest.v1_status import status
from api.rest.v1_totals import totals


def routes() -> list[web.AbstractRouteDef]:
    """Every path of ``/v1`` but for the websocket and the documents; each answers HEAD as well."""
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
