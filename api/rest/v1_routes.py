"""The paths of ``/v1`` but for the websocket's and the documents', each with what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.access.gate import Door, Filtered, Markets, OneAccount
from api.rest.known import account_key_of_path
from api.rest.v1_accounts import account, account_positions, accounts
from api.rest.v1_alerts import AlertEndpoints
from api.rest.v1_bookings import account_bookings, account_closed_positions
from api.rest.v1_explanations import explanation
from api.rest.v1_funding import funding
from api.rest.v1_funding_charges import funding_charges, funding_epochs
from api.rest.v1_history import account_history, account_history_file, totals_history, totals_history_file
from api.rest.v1_markets import mark, markets, marks
from api.rest.v1_position_states import PositionStateEndpoints
from api.rest.v1_positions import positions
from api.rest.v1_statements import statement
from api.rest.v1_status import status
from api.rest.v1_totals import totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.settings import DeploymentSettings


def doors(deployments: Mapping[str, DeploymentSettings]) -> list[Door]:
    """The doors of these paths; each answers HEAD as well as GET.

    Args:
        deployments: Those that are served.
    """
    alerts, states = AlertEndpoints(), PositionStateEndpoints()
    one_account = OneAccount(lambda request: account_key_of_path(request, deployments))
    return [
        Door(web.get("/v1/accounts", accounts), Filtered()),
        Door(web.get("/v1/accounts/{account}", account), one_account),
        Door(web.get("/v1/accounts/{account}/positions", account_positions), one_account),
        Door(web.get("/v1/accounts/{account}/alerts", alerts.of_account), one_account),
        Door(web.get("/v1/accounts/{account}/position-states", states.of_account), one_account),
        Door(web.get("/v1/accounts/{account}/statement", statement), one_account),
        Door(web.get("/v1/accounts/{account}/history", account_history), one_account),
        Door(web.get("/v1/accounts/{account}/history.csv", account_history_file), one_account),
        Door(web.get("/v1/accounts/{account}/history.parquet", account_history_file), one_account),
        Door(web.get("/v1/accounts/{account}/bookings", account_bookings), one_account),
        Door(web.get("/v1/accounts/{account}/closed-positions", account_closed_positions), one_account),
        Door(web.get("/v1/accounts/{account}/explanation", explanation), one_account),
        Door(web.get("/v1/positions", positions), Filtered()),
        Door(web.get("/v1/alerts", alerts.every), Filtered()),
        Door(web.get("/v1/position-states", states.every), Filtered()),
        Door(web.get("/v1/marks", marks), Markets()),
        Door(web.get("/v1/marks/{market}", mark), Markets()),
        Door(web.get("/v1/markets", markets), Markets()),
        Door(web.get("/v1/funding", funding), Markets()),
        Door(web.get("/v1/funding/epochs", funding_epochs), Markets()),
        Door(web.get("/v1/funding/charges", funding_charges), Filtered()),
        Door(web.get("/v1/totals", totals), Filtered()),
        Door(web.get("/v1/totals/history", totals_history), Filtered()),
        Door(web.get("/v1/totals/history.csv", totals_history_file), Filtered()),
        Door(web.get("/v1/totals/history.parquet", totals_history_file), Filtered()),
        Door(web.get("/v1/status", status), Markets()),
    ]
