"""A replica that has not read its tables yet tells nobody anything that is not so."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.api import ADDRESS, TICK_S, FakeRecords, serving
from tests.support.feed import FakeTables, valuation_body
from tests.support.legacy import PositionStates, frame, is_silent_for
from tests.support.rest import TABLE_PATHS, get
from tests.support.solver import MULTI_ACCOUNT, put_instrument, put_mark, put_market, solver_settings

KEY = f"main:{ADDRESS.lower()}"
LEGACY = (
    f"/upnl-a?address={ADDRESS}",
    f"/partyA_upnl/{ADDRESS}",
    "/contract-symbols",
    "/open-interest",
    "/notional_cap/1",
    "/price-range/BTCUSDT",
    "/get_locked_params/BTCUSDT?leverage=9",
    "/get_market_info",
    f"/get_market_info/{MULTI_ACCOUNT}",
    f"/get_balance_info/{ADDRESS}/{MULTI_ACCOUNT}",
    "/get_funding_info",
    f"/check_in-whitelist/{ADDRESS}/{MULTI_ACCOUNT}",
    f"/add-sub-address-in-whitelist/{ADDRESS}/{MULTI_ACCOUNT}",
)
POSTED = ("/position-state/0/10", "/position_state/0/10", "/notifications/0/10")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is not waited for long."""
    monkeypatch.setattr("api.dialects.symmio.whitelisting._MADE_WITHIN_S", TICK_S)


def half_read() -> FakeTables:
    """Much is there already, but not all."""
    tables = FakeTables("main", ready=False)
    put_market(tables, 1, "BTCUSDT")
    put_mark(tables, "BTCUSDT", "58123.4", rate="0.0001")
    put_instrument(tables, "BTCUSDT")
    return tables


@pytest.mark.parametrize("path", TABLE_PATHS)
async def test_rest_is_unavailable_and_says_when_to_come_again(path: str) -> None:
    async with serving(half_read(), solver_settings(main={})) as client:
        answer = await get(client, path)

    assert (503, "not-known") == (answer.status, answer.body["type"].rpartition("#")[2])
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("path", [*LEGACY, *POSTED])
async def test_legacy_endpoints_are_unavailable_and_say_when_to_come_again(path: str) -> None:
    method = "POST" if path in POSTED else "GET"
    settings = solver_settings(main={"whitelist": {"mode": "list"}})
    async with serving(half_read(), settings) as client, client.request(method, path) as response:
        assert (503, 503) == (response.status, (await response.json())["error_code"])
        assert int(response.headers["Retry-After"]) > 0


async def test_a_socket_for_figures_is_silent_and_gets_them_when_they_are_read_and_no_empty_object() -> None:
    cold = half_read()
    async with serving(cold, solver_settings(main={})) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert await is_silent_for(socket, 2 * TICK_S)
        cold.valuations.put(KEY, 1, valuation_body(owner=ADDRESS.lower(), multi_account=MULTI_ACCOUNT))
        cold.become_ready()

        assert "-12.5" == (await frame(socket))["upnl"]


LISTED = {"whitelist": {"mode": "list"}}


@pytest.mark.parametrize("path", ["check_in-whitelist", "add-sub-address-in-whitelist"])
async def test_who_is_on_a_list_that_is_still_being_read_is_not_told_otherwise(path: str) -> None:
    tables, records, is_read = FakeTables("main"), FakeRecords(), False
    tables.valuations.put(KEY, 1, valuation_body(owner=None))
    settings = solver_settings(main=LISTED)
    async with serving(tables, settings, records=records, is_whitelist_read=lambda: is_read) as client:
        async with client.get(f"/{path}/{ADDRESS}/{MULTI_ACCOUNT}") as response:
            assert 503 == response.status
        asking = asyncio.create_task(client.get(f"/{path}/{ADDRESS}/{MULTI_ACCOUNT}"))
        records.whitelisted.add(KEY.encode())
        is_read = True
        async with await asking as response:
            assert (200, True) == (response.status, (await response.text()).startswith(("true", '{"successful":true')))


async def test_position_states_of_an_account_on_a_list_that_is_still_being_read_come_later_and_are_not_lost() -> None:
    tables, records, is_read = FakeTables("main"), FakeRecords(), False
    states = PositionStates(tables)
    settings = solver_settings(main=LISTED)
    async with (
        serving(tables, settings, records=records, is_whitelist_read=lambda: is_read) as client,
        client.ws_connect("/position-state-ws3") as socket,
    ):
        await socket.send_json({"address": [ADDRESS]})
        assert await is_silent_for(socket, TICK_S)
        states.say(KEY, {"id": "first"})
        assert await is_silent_for(socket, TICK_S)
        async with client.post("/position-state/0/10", json={}) as response:
            assert 503 == response.status
        records.whitelisted.add(KEY.encode())
        is_read = True
        states.say(KEY, {"id": "second", "quote_id": 2})

        assert ["first", "second"] == [(await frame(socket))["id"] for _ in range(2)]
