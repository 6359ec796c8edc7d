from __future__ import annotations

import asyncio
import socket as os_socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, WSServerHandshakeError

from api.app import create_app
from api.dialects.symmio.app_keys import ANSWERS
from api.dialects.symmio.upnl_ws import INTERVAL_S, next_due_s
from api.http.keys import CONNECTIONS
from streams.process.clock import SystemClock
from tests.support.api import (
    ADDRESS,
    OTHER_ADDRESS,
    TICK_S,
    FakeInterest,
    api_settings,
    metric,
    serving,
    serving_admin,
    symmio_that_hears,
)
from tests.support.eventually import eventually
from tests.support.feed import (
    FakeTables,
    e18,
    empty_account_body,
    last_complete,
    unpriced_body,
    unsupported_body,
    valuation_body,
)
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

KEY = f"main:{ADDRESS.lower()}"
OTHER_KEY = f"main:{OTHER_ADDRESS.lower()}"
LONG_S = 30.0
# How far the clock jumps at the least, while what was sent is on its way.
_STEP_S = 0.0001


def tables(**bodies: dict[str, Any]) -> FakeTables:
    """Warm tables of deployment "main"; ``account`` and ``other`` are valuations of the two addresses."""
    made = FakeTables("main")
    for name, key in (("account", KEY), ("other", OTHER_KEY)):
        if name in bodies:
            made.valuations.put(key, 1, bodies[name])
    return made


async def frame(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - whatever JSON came
    message = await socket.receive(timeout=20)
    assert WSMsgType.TEXT == message.type
    return message.json()


async def is_silent_for(socket: ClientWebSocketResponse, timeout_s: float) -> bool:
    try:
        await socket.receive(timeout=timeout_s)
    except TimeoutError:
        return True
    return False


def stop_reading(socket: ClientWebSocketResponse) -> asyncio.Transport:
    assert socket._conn is not None
    transport = socket._conn.transport
    assert isinstance(transport, asyncio.Transport)
    # The kernel reads on for the client, by default some megabytes.
    transport.get_extra_info("socket").setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, 4_096)
    transport.pause_reading()
    return transport


def test_the_interval_is_what_legacy_clients_know() -> None:
    assert 2.0 == INTERVAL_S


@pytest.mark.parametrize(("now_s", "expected_s"), [(10.0, 12.0), (11.9, 12.0), (12.0, 14.0), (17.0, 18.0)])
def test_the_schedule_does_not_drift_and_does_not_catch_up(now_s: float, expected_s: float) -> None:
    assert expected_s == next_due_s(10.0, now_s, 2.0)


@pytest.mark.parametrize(
    "path",
    ["/upnl-ws", "/ws/upnl-ws", "/api/ws/upnl-ws", "/upnl-ws/", "/ws/upnl-ws/", "/main/upnl-ws", "/main/ws/upnl-ws"],
)
async def test_every_alias_answers_an_address_with_the_full_object(path: str) -> None:
    async with serving(tables(account=valuation_body())) as client, client.ws_connect(path) as socket:
        await socket.send_str(ADDRESS)
        got = await frame(socket)

    assert {
        "upnl": "-12.5",
        "notional": "1000",
        "timestamp": 1_745_970_777,
        "available_balance": "98.5",
        "allocated_balance": "120",
        "cva": "6",
        "lf": "3",
        "party_a_mm": "91",
        "party_b_mm": "0.25",
        "pending_cva": "1",
        "pending_lf": "2",
        "pending_party_a_mm": "4",
        "pending_party_b_mm": "8",
    } == got


def test_the_first_frame_comes_at_once_and_then_one_every_interval() -> None:
    async def arrivals_s() -> list[float]:
        clock_s = asyncio.get_running_loop().time
        made = tables(account=valuation_body())
        async with serving(made, upnl_interval_s=0.5) as client, client.ws_connect("/upnl-ws") as socket:
            asked_s = clock_s()
            await socket.send_str(ADDRESS)
            came_s = []
            for _ in range(4):
                await frame(socket)
                came_s.append(clock_s() - asked_s)
        return came_s

    assert [0.0, 0.5, 1.0, 1.5] == [round(came_s, 1) for came_s in run_in_no_time(arrivals_s(), _STEP_S)]


async def test_a_frame_shows_the_newest_row() -> None:
    made = tables(account=valuation_body())
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        first = await frame(socket)
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        second = await frame(socket)

    assert ("-12.5", "5") == (first["upnl"], second["upnl"])


async def test_nothing_is_sent_before_an_address() -> None:
    async with serving(tables(account=valuation_body())) as client, client.ws_connect("/upnl-ws") as socket:
        assert await is_silent_for(socket, 2 * TICK_S)


@pytest.mark.parametrize("sent", [ADDRESS.lower(), ADDRESS.upper(), f'"{ADDRESS}"', f" {ADDRESS}\n"])
async def test_an_address_is_understood_in_any_case_with_quotes_and_space(sent: str) -> None:
    async with serving(tables(account=valuation_body())) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(sent)

        assert "-12.5" == (await frame(socket))["upnl"]


async def test_other_messages_are_counted_and_neither_answered_nor_disturbing() -> None:
    async with (
        serving(tables(account=valuation_body()), upnl_interval_s=LONG_S) as client,
        serving_admin(client.app) as admin,
        client.ws_connect("/upnl-ws") as socket,
    ):
        for text in ("ping", "{}", "", "[]", '{"address": "0x"}'):
            await socket.send_str(text)
        await socket.send_bytes(ADDRESS.encode())
        await socket.send_str(ADDRESS)
        got = await frame(socket)

        assert "-12.5" == got["upnl"]
        assert await is_silent_for(socket, TICK_S)
        name = "tidemark_api_ignored_messages_total"
        assert 5 == await metric(admin, f'{name}{{endpoint="upnl-ws",reason="not_an_address"}}')
        assert 1 == await metric(admin, f'{name}{{endpoint="upnl-ws",reason="not_text"}}')


async def test_a_message_beyond_the_limit_closes_the_socket_and_is_counted() -> None:
    async with (
        serving(tables(account=valuation_body())) as client,
        serving_admin(client.app) as admin,
        client.ws_connect("/upnl-ws") as other,
    ):
        await other.send_str(ADDRESS)
        async with client.ws_connect("/upnl-ws") as socket:
            await socket.send_str("0" * 100_000)
            message = await socket.receive(timeout=20)
        async with client.ws_connect("/upnl-ws") as socket:
            with suppress(ConnectionError):
                await socket.send_str("0" * 10_000_000)

        assert (WSMsgType.CLOSE, WSCloseCode.MESSAGE_TOO_BIG) == (message.type, message.data)
        ignored = 'tidemark_api_ignored_messages_total{endpoint="upnl-ws",reason="too_large"}'

        async def both_are_counted() -> bool:
            return await metric(admin, ignored) == 2

        await eventually(both_are_counted)
        assert "-12.5" == (await frame(other))["upnl"]


async def test_after_a_switch_no_frame_of_the_old_account_comes() -> None:
    made = tables(account=valuation_body(upnl=e18("1")), other=valuation_body(upnl=e18("2")))
    async with serving(made, upnl_interval_s=0.001) as client, client.ws_connect("/upnl-ws") as socket:
        asked = []
        for round_number in range(20):
            address, upnl = ((ADDRESS, "1"), (OTHER_ADDRESS, "2"))[round_number % 2]
            await socket.send_str(address)
            # What was on its way when the server read the new address may still come; then only the new account's.
            while (await frame(socket))["upnl"] != upnl:
                pass
            asked += [(upnl, (await frame(socket))["upnl"]) for _ in range(10)]

    assert all(expected == got for expected, got in asked)


async def test_of_several_addresses_at_once_only_the_last_is_answered() -> None:
    made = tables(account=valuation_body(upnl=e18("1")), other=valuation_body(upnl=e18("2")))
    made.valuations._ready.clear()
    async with serving(made, upnl_interval_s=LONG_S) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        await socket.send_str(OTHER_ADDRESS)
        await eventually(lambda: len(client.app[ANSWERS].watched_accounts) == 1)
        assert await is_silent_for(socket, TICK_S)
        made.become_ready()

        assert "2" == (await frame(socket))["upnl"]
        assert await is_silent_for(socket, TICK_S)


async def test_the_same_address_again_is_answered_at_once_again() -> None:
    made = tables(account=valuation_body())
    async with serving(made, upnl_interval_s=LONG_S) as client, client.ws_connect("/upnl-ws") as socket:
        for _ in range(3):
            await socket.send_str(ADDRESS)

            assert "-12.5" == (await frame(socket))["upnl"]


async def test_a_cold_feed_is_silence_and_then_the_frame_at_once() -> None:
    cold = FakeTables("main", ready=False)
    cold.valuations.put(KEY, 1, valuation_body())
    async with serving(cold, upnl_interval_s=LONG_S) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert await is_silent_for(socket, 2 * TICK_S)
        cold.become_ready()

        assert "-12.5" == (await frame(socket))["upnl"]


async def test_a_known_account_without_positions_has_the_full_object() -> None:
    async with serving(tables(account=empty_account_body())) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        got = await frame(socket)

    assert ("0", "120", "120", 13) == (got["upnl"], got["allocated_balance"], got["available_balance"], len(got))


async def test_an_unknown_address_is_answered_with_an_empty_object_every_interval() -> None:
    async with serving(tables(account=valuation_body())) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(OTHER_ADDRESS)

        assert [{}, {}, {}] == [await frame(socket) for _ in range(3)]


async def test_an_address_that_becomes_known_gets_its_object() -> None:
    made = tables()
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert {} == await frame(socket)
        made.valuations.put(KEY, 1, valuation_body())

        assert "-12.5" == (await frame(socket))["upnl"]


async def test_a_position_without_a_price_shows_the_last_complete_object_with_its_old_timestamp() -> None:
    made = tables(account=unpriced_body(last_complete=last_complete()))
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        got = await frame(socket)

    assert ("3.000000000000000001", 1_745_970_000) == (got["upnl"], got["timestamp"])


async def test_a_stale_mark_shows_the_last_values_and_the_timestamp_does_not_advance() -> None:
    now_ms = [1_745_970_800_000]
    made = tables(account=valuation_body(stale=1))
    async with serving(made, clock_ms=lambda: now_ms[0]) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        first = await frame(socket)
        now_ms[0] += 60_000
        second = await frame(socket)

    assert first == second
    assert 1_745_970_777 == second["timestamp"]


async def test_a_liquidated_account_has_the_full_object() -> None:
    made = tables(account=valuation_body(liquidating=True, liquidatable=True))
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        got = await frame(socket)

    assert ("-12.5", 13) == (got["upnl"], len(got))


@pytest.mark.parametrize(
    "body",
    [
        unpriced_body(last_complete=None),
        valuation_body(status="suspect", upnl=None),
        valuation_body(status="unsupported", upnl=None),
        valuation_body(upnl=None),
    ],
)
async def test_unknown_figures_are_silence_and_not_zero(body: dict[str, Any]) -> None:
    made = tables(account=body)
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert await is_silent_for(socket, 2 * TICK_S)
        made.valuations.put(KEY, 2, valuation_body())

        assert "-12.5" == (await frame(socket))["upnl"]


async def test_an_unknown_address_of_an_unsupported_deployment_is_silence() -> None:
    made = tables()
    made.deployments.put("main", 2, unsupported_body())
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)

        assert await is_silent_for(socket, 2 * TICK_S)


async def test_a_prefix_speaks_for_each_of_several_deployments_and_the_root_for_none() -> None:
    made = FakeTables("first", "second")
    made.valuations.put(f"first:{ADDRESS.lower()}", 1, valuation_body(upnl=e18("1")))
    made.valuations.put(f"second:{ADDRESS.lower()}", 1, valuation_body(upnl=e18("2")))
    seen = {}
    async with serving(made, api_settings("first", "second")) as client:
        for path in ("/first/ws/upnl-ws", "/second/ws/upnl-ws"):
            async with client.ws_connect(path) as socket:
                await socket.send_str(ADDRESS)
                seen[path] = (await frame(socket))["upnl"]
        with pytest.raises(WSServerHandshakeError, match="404"):
            await client.ws_connect("/upnl-ws")

    assert {"/first/ws/upnl-ws": "1", "/second/ws/upnl-ws": "2"} == seen


async def test_an_account_is_encoded_once_for_all_its_watchers_and_forgotten_with_the_last() -> None:
    async with serving(tables(account=valuation_body()), upnl_interval_s=LONG_S) as client:
        answers = client.app[ANSWERS]
        sockets = [await client.ws_connect("/upnl-ws") for _ in range(3)]
        for socket in sockets:
            await socket.send_str(ADDRESS)
            await frame(socket)
        (watched,) = answers._watched
        assert answers.of(watched) is answers.of(watched)

        for socket in sockets:
            await socket.close()
        await eventually(lambda: len(answers.watched_accounts) == 0)


async def test_an_account_is_of_interest_from_its_first_watcher_to_its_last() -> None:
    interest = FakeInterest()
    async with (
        serving(tables(), interest=interest, upnl_interval_s=LONG_S) as client,
        serving_admin(client.app) as admin,
    ):
        sockets = [await client.ws_connect("/upnl-ws") for _ in range(2)]
        for socket in sockets:
            await socket.send_str(ADDRESS)
            await frame(socket)

        assert {KEY.encode()} == interest.watched
        assert 1 == await metric(admin, "tidemark_api_watched_accounts")
        await sockets[0].send_str(OTHER_ADDRESS)
        await frame(sockets[0])
        assert {KEY.encode(), OTHER_KEY.encode()} == interest.watched
        assert 2 == await metric(admin, "tidemark_api_watched_accounts")
        await sockets[1].close()
        await eventually(lambda: interest.watched == {OTHER_KEY.encode()})
        await sockets[0].close()
        await eventually(lambda: interest.watched == set())

    assert [KEY.encode(), OTHER_KEY.encode()] == interest.ever_watched


async def test_a_client_that_does_not_read_gets_no_backlog() -> None:
    made = tables(account=valuation_body())
    async with (
        serving(made, upnl_interval_s=0.0005) as client,
        serving_admin(client.app) as admin,
        client.ws_connect("/upnl-ws") as socket,
    ):
        await socket.send_str(ADDRESS)
        await frame(socket)
        transport = stop_reading(socket)

        async def is_blocked() -> bool:
            return await metric(admin, "tidemark_api_blocked_connections") == 1

        await eventually(is_blocked)
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("77")))
        transport.resume_reading()
        while (await frame(socket))["upnl"] != "77":
            pass


async def test_the_frames_of_others_do_not_wait_for_a_client_that_does_not_read() -> None:
    async with serving(tables(account=valuation_body()), upnl_interval_s=0.0005) as client:
        slow, quick = await client.ws_connect("/upnl-ws"), await client.ws_connect("/upnl-ws")
        await slow.send_str(ADDRESS)
        transport = stop_reading(slow)
        await quick.send_str(ADDRESS)

        assert [13] * 100 == [len(await frame(quick)) for _ in range(100)]
        transport.resume_reading()


async def test_metrics_tell_connections_frames_and_the_time_to_the_first_frame() -> None:
    async with (
        serving(tables(account=valuation_body()), upnl_interval_s=LONG_S) as client,
        serving_admin(client.app) as admin,
    ):
        async with client.ws_connect("/upnl-ws") as socket:
            await socket.send_str(ADDRESS)
            await frame(socket)
            await socket.send_str("0x" + "1" * 40)
            await frame(socket)

            assert 1 == await metric(admin, 'tidemark_api_connections{endpoint="upnl-ws"}')
        assert 2 == await metric(admin, 'tidemark_api_first_frame_seconds_count{endpoint="upnl-ws"}')
        assert 1 == await metric(admin, 'tidemark_api_frames_total{endpoint="upnl-ws",kind="figures"}')
        assert 1 == await metric(admin, 'tidemark_api_frames_total{endpoint="upnl-ws",kind="no_such_account"}')

        async def is_gone() -> bool:
            return await metric(admin, 'tidemark_api_connections{endpoint="upnl-ws"}') == 0

        await eventually(is_gone)


async def test_clients_are_told_when_the_server_goes_away() -> None:
    app = create_app(
        api_settings("main"),
        tables(account=valuation_body()).feeds,
        FakeInterest(),
        clock=SystemClock(),
        find_dialect=symmio_that_hears(),
    )
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{host}:{port}/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        await frame(socket)
        stopping = asyncio.create_task(runner.cleanup())
        message = await socket.receive(timeout=20)
        await stopping

    assert (WSMsgType.CLOSE, WSCloseCode.SERVICE_RESTART) == (message.type, message.data)
    assert app[CONNECTIONS].draining


async def test_an_unknown_address_of_a_deployment_not_read_yet_is_silence() -> None:
    made = FakeTables()
    async with serving(made) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert await is_silent_for(socket, 2 * TICK_S)
        made.follow("main")

        assert {} == await frame(socket)
