"""``funding-rate-ws``: the map of the symbols at once and every second, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from api.app import create_app
from api.dialects.symmio.funding_rate_ws import INTERVAL_S, parse_symbols
from streams.process.clock import SystemClock
from tests.support.api import TICK_S, FakeInterest, FakeRecords, metric, serving, serving_admin, symmio_that_hears
from tests.support.feed import FakeTables
from tests.support.legacy import frame, is_silent_for, stop_reading
from tests.support.solver import NOW_MS, put_instrument, put_mark, put_market, solver_settings
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

# How far the clock jumps at the least, while what was sent is on its way.
_STEP_S = 0.0001
IGNORED = 'tidemark_api_ignored_messages_total{endpoint="funding-rate-ws",reason="%s"}'
BTC = {
    "BTCUSDT": {
        "next_funding_time": 1_745_971_200_000,
        "next_funding_rate_short": "0.000040455",
        "next_funding_rate_long": "-0.000053940",
        "funding_rate_epoch_duration": 14_400,
    }
}


def markets(*, ready: bool = True, of: str = "main") -> FakeTables:
    """BTCUSDT and ETHUSDT can be traded, CLOSEDUSDT and HALTEDUSDT cannot."""
    tables = FakeTables(of, ready=ready)
    for symbol_id, name in enumerate(("BTCUSDT", "ETHUSDT", "CLOSEDUSDT", "HALTEDUSDT"), 1):
        put_market(tables, symbol_id, name, of=of, is_valid=name != "CLOSEDUSDT")
        put_mark(tables, name, "58123.4", rate="0.00010788")
        put_instrument(tables, name, status="SETTLING" if name == "HALTEDUSDT" else "TRADING")
    return tables


def serving_markets(tables: FakeTables | None = None) -> Any:  # noqa: ANN401
    """Serve at a clock that goes on with the loop's."""
    begun_s = asyncio.get_running_loop().time()

    def now_ms() -> int:
        return NOW_MS + round((asyncio.get_running_loop().time() - begun_s) * 1_000)

    return serving(tables or markets(), solver_settings(main={}), clock_ms=now_ms)


def connected(client: TestClient[web.Request, web.Application], path: str = "/ws/funding-rate-ws") -> Any:  # noqa: ANN401
    return client.ws_connect(path)


def test_the_interval_is_what_legacy_clients_know() -> None:
    assert 1.0 == INTERVAL_S


async def test_every_alias_answers_a_list_with_the_map_of_get_funding_info() -> None:
    async with serving_markets() as client:
        for mount in ("", "/ws", "/api", "/api/ws", "/main", "/main/ws", "/main/api/ws"):
            for slash in ("", "/"):
                async with connected(client, f"{mount}/funding-rate-ws{slash}") as socket:
                    await socket.send_json({"symbols": ["BTCUSDT"]})

                    assert BTC == await frame(socket)
        async with client.get("/get_funding_info?symbols=BTCUSDT") as response:
            assert BTC == await response.json()


def test_the_map_comes_at_once_and_then_every_second() -> None:
    async def arrivals_s() -> list[float]:
        clock_s = asyncio.get_running_loop().time
        async with serving_markets() as client, connected(client) as socket:
            asked_s = clock_s()
            await socket.send_json({"symbols": ["ETHUSDT"]})
            came_s = []
            for _ in range(3):
                await frame(socket)
                came_s.append(clock_s() - asked_s)
        return came_s

    assert [0.0, 1.0, 2.0] == [round(came_s, 1) for came_s in run_in_no_time(arrivals_s(), _STEP_S)]


async def test_a_frame_shows_the_newest_rate() -> None:
    tables = markets()
    async with serving_markets(tables) as client, connected(client) as socket:
        await socket.send_json(["BTCUSDT"])
        assert BTC == await frame(socket)
        put_mark(tables, "BTCUSDT", "58123.4", rate="-0.00010788")
        second = (await frame(socket))["BTCUSDT"]

    assert ("0.000040455", "-0.000053940") == (second["next_funding_rate_long"], second["next_funding_rate_short"])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"symbols": ["BTCUSDT", "ETHUSDT"]}, ["BTCUSDT", "ETHUSDT"]),
        ({"symbols": ["ETHUSDT", "BTCUSDT", "ETHUSDT"]}, ["ETHUSDT", "BTCUSDT"]),
        (["CLOSEDUSDT", "BTCUSDT", "HALTEDUSDT", "XUSDT", None, 1], ["BTCUSDT"]),
        ({"symbols": ["XUSDT"]}, []),
        ({"symbols": ["btcusdt"]}, []),
    ],
)
async def test_the_map_has_the_valid_ones_of_the_symbols_in_their_order_each_once(
    sent: object, expected: list[str]
) -> None:
    async with serving_markets() as client, connected(client) as socket:
        await socket.send_json(sent)

        assert expected == list(await frame(socket))


@pytest.mark.parametrize("empty", [{"symbols": []}, [], {"symbols": [None]}])
def test_an_empty_list_pauses_and_the_next_one_is_answered_at_once(empty: object) -> None:
    async def scene() -> float:
        clock_s = asyncio.get_running_loop().time
        async with serving_markets() as client, connected(client) as socket:
            await socket.send_json({"symbols": ["BTCUSDT"]})
            await frame(socket)
            await socket.send_json(empty)
            assert await is_silent_for(socket, 2.5 * INTERVAL_S)
            asked_s = clock_s()
            await socket.send_json({"symbols": ["BTCUSDT"]})

            assert BTC == await frame(socket)
            return clock_s() - asked_s

    assert 0.0 == round(run_in_no_time(scene(), _STEP_S), 1)


def test_a_list_replaces_the_one_before_and_sent_again_is_answered_at_once_again() -> None:
    async def scene() -> list[float]:
        clock_s = asyncio.get_running_loop().time
        async with serving_markets() as client, connected(client) as socket:
            asked_s = clock_s()
            came_s = []
            for name in ("BTCUSDT", "ETHUSDT", "ETHUSDT"):
                await socket.send_json({"symbols": [name]})

                assert [name] == list(await frame(socket))
                came_s.append(clock_s() - asked_s)
            # Nothing else comes before the next second.
            assert ["ETHUSDT"] == list(await frame(socket))
            came_s.append(clock_s() - asked_s)
        return came_s

    assert [0.0, 0.0, 0.0, 1.0] == [round(came_s, 1) for came_s in run_in_no_time(scene(), _STEP_S)]


@pytest.mark.parametrize(
    "text", ["", "ping", "{}", "7", "null", '{"symbols": "BTCUSDT"}', '{"symbols": null}', "BTCUSDT"]
)
def test_what_is_no_list_is_none(text: str) -> None:
    assert parse_symbols(text) is None


async def test_other_messages_are_counted_and_neither_answered_nor_disturbing() -> None:
    async with serving_markets() as client, serving_admin(client.app) as admin, connected(client) as socket:
        for text in ("ping", "{}", "", '{"address": []}'):
            await socket.send_str(text)
        await socket.send_bytes(b"[]")
        assert await is_silent_for(socket, TICK_S)
        await socket.send_str(json.dumps({"symbols": ["BTCUSDT"]}))

        assert BTC == await frame(socket)
        assert 4 == await metric(admin, IGNORED % "not_symbols")
        assert 1 == await metric(admin, IGNORED % "not_text")


@pytest.mark.parametrize("then_paused", [False, True])
async def test_while_tables_are_read_it_is_silent_and_then_answers_at_once_unless_paused(*, then_paused: bool) -> None:
    tables = markets(ready=False)
    async with serving_markets(tables) as client, connected(client) as socket:
        await socket.send_json({"symbols": ["BTCUSDT"]})
        if then_paused:
            await socket.send_json({"symbols": []})
        assert await is_silent_for(socket, TICK_S)
        tables.become_ready()

        if then_paused:
            assert await is_silent_for(socket, TICK_S)
        else:
            assert BTC == await frame(socket)


async def test_a_market_whose_row_cannot_be_read_is_left_out_and_all_others_are_told() -> None:
    tables = markets()
    tables.marks.rows[b"binance-futures:ETHUSDT"] = b"?"
    async with serving_markets(tables) as client, connected(client) as socket:
        await socket.send_json({"symbols": ["BTCUSDT", "ETHUSDT"]})

        assert BTC == await frame(socket)


async def test_the_other_deployments_rates_are_never_sent() -> None:
    tables = markets(of="first")
    tables.follow("second")
    put_market(tables, 1, "ETHUSDT", of="second", funding_rate_epoch_duration_s=28_800)
    settings = solver_settings(first={"hosts": ["a.example"]}, second={"hosts": ["b.example"]})
    async with (
        serving(tables, settings, clock_ms=lambda: NOW_MS) as client,
        client.ws_connect("/ws/funding-rate-ws", headers={"Host": "b.example"}) as socket,
    ):
        await socket.send_json({"symbols": ["BTCUSDT", "ETHUSDT"]})
        got = await frame(socket)

    assert [("ETHUSDT", 28_800)] == [(name, view["funding_rate_epoch_duration"]) for name, view in got.items()]


async def test_a_client_that_does_not_read_gets_no_backlog_and_others_do_not_wait_for_it() -> None:
    async with serving_markets() as client, connected(client) as slow, connected(client) as quick:
        await slow.send_json({"symbols": ["BTCUSDT"]})
        await frame(slow)
        transport = stop_reading(slow)
        for _ in range(2_000):
            await slow.send_json({"symbols": ["BTCUSDT", "ETHUSDT"]})
        for name in ("BTCUSDT", "ETHUSDT"):
            await quick.send_json({"symbols": [name]})
            assert [name] == list(await frame(quick))
        transport.resume_reading()

        assert 2 == len(await frame(slow))


async def test_when_the_server_goes_away_sockets_close_with_1012_and_nothing_is_said_before() -> None:
    app = create_app(
        solver_settings(main={}),
        markets().feeds,
        FakeInterest(),
        clock=SystemClock(),
        records=FakeRecords(),
        find_dialect=symmio_that_hears(),
    )
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with (
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
        session.ws_connect("/ws/funding-rate-ws") as socket,
    ):
        await socket.send_json({"symbols": []})
        stopping = asyncio.create_task(runner.cleanup())
        message = await socket.receive(timeout=20)
        await stopping

    assert (WSMsgType.CLOSE, WSCloseCode.SERVICE_RESTART) == (message.type, message.data)
