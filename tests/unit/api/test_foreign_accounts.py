"""Accounts of an installed package's venue on every surface of the api, and SYMMIO's beside them."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tidemark_paper import PACKAGE

from models.codec import decode_row
from models.engine.tables import ALERTS, SUBTOTALS, VALUATIONS
from models.symmio.markets import Market, encode_market
from streams.settings.effective import UnavailableDeployment
from streams.settings.venues import package_of
from tests.support.api import ADDRESS, api_settings, serving
from tests.support.contract import validate_server_message
from tests.support.feed import FakeTables, valuation_body
from tests.support.paper import ANN, played
from tests.support.venues import announce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import ClientWebSocketResponse
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

NOW_MS = 1_700_000_000_000


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(announce(tmp_path / "site", "paper", "tidemark_paper:PACKAGE")))
    importlib.invalidate_caches()
    package_of.cache_clear()
    yield
    package_of.cache_clear()


def settings() -> Settings:
    own = api_settings("main")
    game = PACKAGE.settings(kind="paper", default_sources=("venue",))
    return own.model_copy(update={"deployments": {**own.deployments, "game": game}})


def tables() -> FakeTables:
    """What a worker's engine makes of Ann's records, and an account of SYMMIO."""
    engine = played(NOW_MS)
    made = FakeTables("main")
    made.valuations.put(f"main:{ADDRESS.lower()}", 1, valuation_body())
    feeds = {VALUATIONS: made.valuations, SUBTOTALS: made.subtotals, ALERTS: made.alerts}
    for table, feed in feeds.items():
        for key, row in engine.tables.items(table):
            feed.put(key.decode(), 1, decode_row(row).body)
    return made


async def get(client: TestClient[Any, Any], path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        return answer.status, await answer.json()


async def test_an_account_of_a_package_is_shown_as_all_are() -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client:
        status, account = await get(client, f"/v1/accounts/{ANN}")
        _, listed = await get(client, "/v1/accounts")
        _, held = await get(client, "/v1/positions?symbol_id=BTCUSDT")
        _, alerts = await get(client, f"/v1/accounts/{ANN}/alerts")
        _, totals = await get(client, "/v1/totals?deployment=game")

    assert (200, "valued", "1500", "28500", "2500") == (
        status, account["status"], account["upnl"], account["notional"], account["equity"],
    )  # fmt: skip
    assert ("1000", False, "short") == (
        account["available_balance"], account["liquidatable"], account["positions"]["BTCUSDT"]["side"],
    )  # fmt: skip
    assert {ANN, f"main:{ADDRESS.lower()}"} == {one["account"] for one in listed["items"]}
    assert [(ANN, "BTCUSDT", "BTCUSDT", "0.5")] == [
        (one["account"], one["quote_id"], one["symbol_id"], one["quantity"]) for one in held["items"]
    ]
    assert {} == alerts["alarms"]
    (game,) = [one for one in totals["items"] if one["deployment"] == "game"]
    assert ("1500", "28500", {}, ["BTCUSDT"]) == (
        game["upnl"],
        game["notional"],
        game["hedgers"],
        list(game["symbols"]),
    )


@pytest.mark.parametrize("market", ["1000PEPEUSDT", "7", "BTC/USD:USD", "$WIF"])
async def test_positions_are_found_by_whatever_a_venue_calls_their_market(market: str) -> None:
    made = tables()
    body = decode_row(made.valuations.rows[ANN.encode()]).body
    position = {**body["positions"][0], "quote": market, "symbol": market}
    made.valuations.put(ANN, 2, {**body, "positions": [position]})
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        _, found = await get(client, f"/v1/positions?symbol_id={quote(market)}")

    assert [(ANN, market)] == [(one["account"], one["quote_id"]) for one in found["items"]]


@pytest.mark.parametrize("other", ["game:ann-7", "game:ANN-7", "game:Bob"])
async def test_case_counts_and_who_no_record_names_does_not_exist(other: str) -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client:
        assert 404 == (await get(client, f"/v1/accounts/{other}"))[0]


async def told(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of a kind; all are what the contract says."""
    while True:
        for message in json.loads((await socket.receive(5)).data):
            validate_server_message(message)
            if message["type"] == kind:
                found: dict[str, Any] = message
                return found


async def test_its_deployment_is_followed_and_one_whose_venue_is_not_installed_is_not_known() -> None:
    own = settings()
    missing = UnavailableDeployment(kind="not-installed")
    with_missing = own.model_copy(update={"deployments": {**own.deployments, "missing": missing}})
    async with serving(tables(), with_missing, clock_ms=lambda: NOW_MS) as client:
        _, status = await get(client, "/v1/status")
        assert ("followed", "unknown") == tuple(status["deployments"][name]["status"] for name in ("game", "missing"))
        assert 503 == (await get(client, "/v1/accounts/missing:Ann"))[0]


async def test_a_market_of_it_is_listed_by_its_name() -> None:
    made = tables()
    made.markets.put("game:BTCUSDT", 1, encode_market(Market(0, "BTCUSDT", is_valid=True)))
    made.markets.put("main:7", 1, encode_market(Market(7, "ETHUSDT", is_valid=True)))
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        _, listed = await get(client, "/v1/markets")
    assert [("game", "BTCUSDT"), ("main", 7)] == [(one["deployment"], one["symbol_id"]) for one in listed["items"]]


async def test_a_websocket_follows_it() -> None:
    made = tables()
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client, client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"op": "subscribe", "id": 1, "channel": "account", "keys": [ANN]})
        assert "1500" == (await told(socket, "snapshot"))["data"]["upnl"]
        body = decode_row(made.valuations.rows[ANN.encode()]).body
        made.valuations.put(ANN, 2, {**body, "upnl": "0"})
        assert {"upnl": "0"} == (await told(socket, "delta"))["data"]


async def test_a_corrupt_row_of_it_leaves_symmio_untouched() -> None:
    made = tables()
    made.valuations.put(ANN, 2, {"nonsense": True})
    made.valuations.put("game:Bob", 1, {"positions": "none"})
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        assert 200 == (await get(client, f"/v1/accounts/main:{ADDRESS}"))[0]
        assert (503, 503) == (
            (await get(client, f"/v1/accounts/{ANN}"))[0],
            (await get(client, "/v1/accounts/game:Bob"))[0],
        )
        statuses = {one["account"]: one["status"] for one in (await get(client, "/v1/accounts"))[1]["items"]}
        assert ("unreadable", "valued") == (statuses[ANN], statuses[f"main:{ADDRESS.lower()}"])
        for path in ("/main/open-interest", f"/main/upnl-a?address={ADDRESS}", "/main/contract-symbols"):
            assert 200 == (await get(client, path))[0]
        async with client.get("/game/open-interest") as answer:
            assert 404 == answer.status


async def test_a_corrupt_row_of_one_deployment_leaves_the_books_of_the_others() -> None:
    made = FakeTables("main", "other")
    made.valuations.put(f"main:{ADDRESS.lower()}", 1, {"nonsense": True})
    async with serving(made, api_settings("main", "other"), clock_ms=lambda: NOW_MS) as client:
        for _ in range(2):
            assert (503, 200) == (
                (await get(client, "/main/open-interest"))[0],
                (await get(client, "/other/open-interest"))[0],
            )
        made.valuations.put(f"main:{ADDRESS.lower()}", 2, valuation_body())
        assert 200 == (await get(client, "/main/open-interest"))[0]
