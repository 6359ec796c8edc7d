"""What ``/v1`` answers, checked against openapi.yaml, and tables with something of everything in them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.subtotals import Subtotals
from tests.support.contract import validate_problem, validate_rest
from tests.support.feed import FakeTables, e18, last_complete, no_account_body, unpriced_body, valuation_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from aiohttp.test_utils import TestClient

NOW_MS = 1_745_970_800_000
MARK = "binance-futures:BTCUSDT"


class Answer(NamedTuple):
    """A checked answer; ``body`` is None where it had none."""

    status: int
    body: Any
    headers: Mapping[str, str]


async def get(
    client: TestClient[web.Request, web.Application], path: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """Get a path of openapi.yaml; the answer conforms to it."""
    async with client.get(path, headers=headers) as response:
        text = await response.text()
        body: Any = orjson.loads(text) if text else None
        validate_rest(path, response.status, body, response.content_type if text else "")
        if response.status >= HTTPStatus.BAD_REQUEST:
            validate_problem(body)
            assert response.status == body["status"]
        return Answer(response.status, body, response.headers)


def account_key(number: int, deployment: str = "main") -> str:
    return f"{deployment}:0x{number:040x}"


TABLE_PATHS = (
    "/v1/accounts",
    f"/v1/accounts/{account_key(0)}",
    f"/v1/accounts/{account_key(0)}/positions",
    f"/v1/accounts/{account_key(0)}/alerts",
    f"/v1/accounts/{account_key(0)}/position-states",
    "/v1/positions",
    "/v1/alerts",
    "/v1/position-states",
    "/v1/marks",
    f"/v1/marks/{MARK}",
    "/v1/markets",
    "/v1/funding",
    "/v1/totals",
)
"""Every path of ``/v1`` that is answered from tables."""


def mark_body(**changes: object) -> dict[str, Any]:
    """A mark of 1 s ago."""
    return {
        "mark": e18("100.5"),
        "index": e18("100.25"),
        "funding_rate": e18("-0.0001"),
        "next_funding_ms": NOW_MS + 3_600_000,
        "event_ms": NOW_MS - 1_050,
        "received_ms": NOW_MS - 1_000,
        "offset": 5,
        **changes,
    }


def market_body(**changes: object) -> dict[str, Any]:
    """A market all of which is known."""
    return {
        "name": "BTCUSDT",
        "is_valid": True,
        "min_acceptable_quote_value": e18("5"),
        "min_acceptable_portion_lf": e18("0.003"),
        "trading_fee": e18("0.0008"),
        "max_leverage": e18("60"),
        "funding_rate_epoch_duration_s": 28_800,
        "funding_rate_window_s": 600,
        **changes,
    }


def position_body(**changes: object) -> dict[str, Any]:
    """An open position as a row of ``valuations`` holds it."""
    (position,) = valuation_body()["positions"]
    return {**position, **changes}


def filled_tables() -> FakeTables:
    """Accounts of every status, marks, markets and sums."""
    tables = FakeTables("main")
    bodies = [
        valuation_body(),
        valuation_body(positions=[position_body(quote=7, symbol=2, side="short"), position_body(quote=9)]),
        unpriced_body(last_complete=last_complete()),
        valuation_body(status="suspect", upnl=None, notional=None, liquidatable=None, distance_bps=None),
        no_account_body(),
    ]
    sums = Subtotals()
    for number, body in enumerate(bodies):
        tables.valuations.put(account_key(number), 1, body)
        if body["status"] == "valued":
            sums.put("main", None, body)
    for key, body in sums.take_changed(0, set()):
        tables.subtotals.put(key.decode(), 1, body)
    tables.marks.put(MARK, 1, mark_body())
    tables.marks.put("binance-futures:ETHUSDT", 1, mark_body(index=None, funding_rate=None, next_funding_ms=None))
    tables.markets.put("main:1", 1, market_body())
    tables.markets.put("main:2", 1, market_body(name="", is_valid=None, trading_fee=None))
    return tables
