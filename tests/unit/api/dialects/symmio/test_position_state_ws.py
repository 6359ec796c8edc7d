"""``position-state-ws3`` and ``position-state-ws``: which frames come, and that nothing else does."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from api.app import create_app
from api.dialects.symmio.position_state_ws import parse_addresses
from models.symmio.notification_views import checksummed
from models.symmio.position_states import STATES_MAX
from streams.process.clock import SystemClock
from tests.support.api import (
    ADDRESS,
    OTHER_ADDRESS,
    TICK_S,
    FakeInterest,
    FakeRecords,
    api_settings,
    metric,
    serving,
    serving_admin,
    symmio_that_hears,
)
from tests.support.feed import FakeTables, valuation_body
from tests.support.legacy import PositionStates, frame, is_silent_for, numbered, stop_reading
from tests.support.positions import chain_state
from tests.support.solver import MULTI_ACCOUNT, solver_settings

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

MOUNTS = ("", "/ws", "/api", "/api/ws", "/main", "/main/ws", "/main/api/ws")
ALIASES = [
    f"{mount}/{name}{slash}"
    for mount in MOUNTS
    for name in ("position-state-ws3", "position-state-ws")
    for slash in ("", "/")
]
KEY = f"main:{ADDRESS.lower()}"
OTHER_KEY = f"main:{OTHER_ADDRESS.lower()}"
BLOCKED = "tidemark_api_blocked_connections"
# 2 kB: a row of such states is more than the buffers on the way hold.
LONG = "\N{WATER WAVE}" * 500
IGNORED = 'tidemark_api_ignored_messages_total{endpoint="position-state-ws",reason="%s"}'


def made(*, ready: bool = True) -> tuple[FakeTables, PositionStates]:
    tables = FakeTables("main", ready=ready)
    return tables, PositionStates(tables)


async def ask(socket: ClientWebSocketResponse, *addresses: str) -> None:
    """Ask as the SDK does, and wait until that has been read: a ping is answered in its turn."""
    await socket.send_json({"address": list(addresses)})
    await read_by_server(socket)


async def read_by_server(socket: ClientWebSocketResponse) -> None:
    await socket.ping(b"read")
    message = await socket.receive(timeout=20)
    assert (WSMsgType.PONG, b"read") == (message.type, message.data)


def connected(client: TestClient[web.Request, web.Application], path: str = "/ws/position-state-ws3") -> Any:  # noqa: ANN401
    return client.ws_connect(path, autoping=False)


async def ids(socket: ClientWebSocketResponse, count: int) -> list[str]:
    return [(await frame(socket))["id"] for _ in range(count)]


async def test_every_alias_sends_what_an_engine_says_as_the_live_service_does() -> None:
    tables, states = made()
    async with serving(tables) as client, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connected(client, path)) for path in ALIASES]
        for socket in sockets:
            await ask(socket, checksummed(ADDRESS.lower()))
        states.say(
            KEY,
            {
                "id": "ecbaca8f-1",
                "create_time": 1_785_909_531,
                "modify_time": 1_785_909_531,
                "quote_id": 228_234,
                "temp_quote_id": -711,
                "state_type": "report",
                "filled_amount_open": 0,
                "filled_amount_close": "9.600000000000000000",
                "avg_price_open": None,
                "avg_price_close": "1.0696",
                "last_seen_action": "InstantRequestToClosePosition",
                "action_status": "success",
                "error_code": 0,
                "order_type": 1,
            },
        )
        frames = [await frame(socket) for socket in sockets]

    expected = {
        "id": "ecbaca8f-1",
        "create_time": 1_785_909_531,
        "modify_time": 1_785_909_531,
        "quote_id": 228_234,
        "temp_quote_id": -711,
        "counterparty_address": checksummed(ADDRESS.lower()),
        "state_type": "report",
        "filled_amount_open": 0,
        "filled_amount_close": "9.600000000000000000",
        "avg_price_open": 0,
        "avg_price_close": "1.0696",
        "last_seen_action": "InstantRequestToClosePosition",
        "action_status": "success",
        "failure_type": None,
        "error_code": 0,
        "order_type": 1,
    }
    assert [expected] * 28 == frames


async def test_a_quote_without_an_id_goes_by_its_temporary_one_until_it_has_one() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        states.say(KEY, {"quote_id": None, "temp_quote_id": -711})
        first = await frame(socket)
        states.say(KEY, {"quote_id": 5, "temp_quote_id": -711, "version": 1, "failure_message": "no"})
        second = await frame(socket)

    assert (-711, -711) == (first["quote_id"], first["temp_quote_id"])
    assert not {"version", "failure_message"} & first.keys()
    assert (5, -711, 1, "no") == tuple(
        second[name] for name in ("quote_id", "temp_quote_id", "version", "failure_message")
    )


@pytest.mark.parametrize(
    "sent",
    [
        json.dumps({"address": [ADDRESS.lower()]}),
        json.dumps({"address": [ADDRESS.upper()]}),
        json.dumps([ADDRESS]),
        json.dumps({"address": ADDRESS}),
        json.dumps({"address": [None, "0x12", 7, ADDRESS, OTHER_ADDRESS]}),
    ],
)
async def test_a_list_is_understood_as_an_object_and_bare_and_in_any_case(sent: str) -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await socket.send_str(sent)
        await read_by_server(socket)
        states.say(KEY, *numbered(1))

        assert ["1"] == await ids(socket, 1)


@pytest.mark.parametrize(
    "text",
    ["", "ping", ADDRESS, f'"{ADDRESS}"', "{}", "7", "null", '{"address": null}', '{"address": {}}', '{"a": ["]'],
)
def test_what_is_no_list_is_none(text: str) -> None:
    assert parse_addresses(text) is None


async def test_other_messages_are_counted_and_neither_answered_nor_disturbing() -> None:
    tables, states = made()
    async with serving(tables) as client, serving_admin(client.app) as admin, connected(client) as socket:
        await ask(socket, ADDRESS)
        for text in ("ping", "{}", "", '{"symbols": []}'):
            await socket.send_str(text)
        await socket.send_bytes(b'{"address": []}')
        await read_by_server(socket)

        assert await is_silent_for(socket, TICK_S)
        states.say(KEY, *numbered(1))
        assert ["1"] == await ids(socket, 1)
        assert 4 == await metric(admin, IGNORED % "not_addresses")
        assert 1 == await metric(admin, IGNORED % "not_text")


async def test_a_list_replaces_the_one_before_and_an_empty_one_ends_all() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        await ask(socket, OTHER_ADDRESS)
        states.say(KEY, *numbered(1))
        states.say(OTHER_KEY, *numbered(2))
        assert ["2"] == await ids(socket, 1)
        await ask(socket)
        states.say(OTHER_KEY, *numbered(3))

        assert await is_silent_for(socket, TICK_S)


async def test_a_list_that_is_sent_again_loses_nothing_and_repeats_nothing() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        got = []
        for number in range(20):
            await socket.send_json({"address": [ADDRESS, OTHER_ADDRESS][: 1 + number % 2]})
            states.say(KEY, *numbered(number))
            await socket.send_json([OTHER_ADDRESS, ADDRESS])
            if number % 4 == 3:
                got += await ids(socket, 4)

        assert [str(number) for number in range(20)] == got
        assert await is_silent_for(socket, TICK_S)


async def test_what_stood_before_is_no_news_and_after_an_account_was_left_neither_is_what_came() -> None:
    tables, states = made()
    states.say(KEY, *numbered(1))
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        assert await is_silent_for(socket, TICK_S)
        await ask(socket)
        states.say(KEY, *numbered(2))
        await ask(socket, ADDRESS)
        states.say(KEY, *numbered(3))

        assert ["3"] == await ids(socket, 1)


async def test_many_states_in_one_change_of_the_row_are_each_a_frame_in_the_order_they_were_said() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        states.say(KEY, *numbered(5, 1, 9, 3))
        states.say(KEY, {**numbered(5)[0], "version": 2}, *numbered(4))

        assert ["1", "9", "3", "5", "4"] == await ids(socket, 5)


async def test_what_is_not_to_be_sent_or_is_old_or_said_again_is_not() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        states.say(KEY, {"id": "kept", "should_send": False})
        states.say(KEY, {"id": "old"}, fresh=False)
        states.say(KEY, *numbered(1))
        states.say(KEY, *numbered(1))
        states.say(KEY, *numbered(2))

        assert ["1", "2"] == await ids(socket, 2)
        assert await is_silent_for(socket, TICK_S)


async def test_two_sockets_each_get_what_they_asked_for() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as one, connected(client) as two:
        await ask(one, ADDRESS)
        await ask(two, OTHER_ADDRESS, ADDRESS)
        states.say(KEY, *numbered(1, 2))
        states.say(OTHER_KEY, *numbered(3))

        assert ["1", "2"] == await ids(one, 2)
        assert {"1", "2", "3"} == set(await ids(two, 3))
        assert await is_silent_for(one, TICK_S)


async def test_the_other_deployments_states_are_never_sent() -> None:
    tables = FakeTables("first", "second")
    states = PositionStates(tables)
    address = ADDRESS.lower()
    async with (
        serving(tables, api_settings("first", "second")) as client,
        connected(client, "/second/ws/position-state-ws3") as socket,
    ):
        await ask(socket, ADDRESS)
        states.say(f"first:{address}", *numbered(1))
        states.say(f"second:{address}", *numbered(2))

        assert ["2"] == await ids(socket, 1)
        assert await is_silent_for(socket, TICK_S)


async def test_while_the_table_is_read_sockets_are_accepted_and_only_what_comes_later_is_news() -> None:
    tables, states = made(ready=False)
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        states.say(KEY, *numbered(1))
        states.say(KEY, *numbered(2))
        assert await is_silent_for(socket, TICK_S)
        tables.become_ready()
        # At once, before anything that waits for the table could have its turn.
        states.say(KEY, *numbered(3))

        assert ["3"] == await ids(socket, 1)
        assert await is_silent_for(socket, TICK_S)


async def test_an_account_that_is_not_whitelisted_gets_nothing_and_once_it_is_only_what_comes_then() -> None:
    tables, states = made()
    records = FakeRecords()
    settings = solver_settings(main={"whitelist": {"mode": "list"}})
    async with (
        serving(tables, settings, records=records) as client,
        serving_admin(client.app) as admin,
        connected(client) as socket,
    ):
        await ask(socket, ADDRESS)
        states.say(KEY, *numbered(1, 2))
        assert await is_silent_for(socket, TICK_S)
        records.whitelisted.add(KEY.encode())
        states.say(KEY, *numbered(3))
        skipped = 'tidemark_api_skipped_frames_total{endpoint="position-state-ws",reason="not_whitelisted"}'

        assert ["3"] == await ids(socket, 1)
        assert 2 == await metric(admin, skipped)


async def test_sub_accounts_of_a_multi_account_are_served_and_others_are_not() -> None:
    tables, states = made()
    tables.valuations.put(KEY, 1, valuation_body(multi_account=MULTI_ACCOUNT, owner="0x" + "1" * 40))
    tables.valuations.put(OTHER_KEY, 1, valuation_body(name='"multi_account":"', owner="0x" + "1" * 40))
    async with serving(tables, solver_settings(main={})) as client, connected(client) as socket:
        await ask(socket, ADDRESS, OTHER_ADDRESS)
        states.say(OTHER_KEY, *numbered(1))
        states.say(KEY, *numbered(2))

        assert ["2"] == await ids(socket, 1)
        assert await is_silent_for(socket, TICK_S)


async def test_a_slow_reader_gets_every_state_in_order_once_it_reads() -> None:
    tables, states = made()
    async with serving(tables) as client, serving_admin(client.app) as admin, connected(client) as socket:
        await ask(socket, ADDRESS)
        transport = stop_reading(socket)
        rounds = STATES_MAX // 8
        for begin in range(0, STATES_MAX, rounds):
            records = [{**one, "failure_message": LONG} for one in numbered(*range(begin, begin + rounds))]
            states.say(KEY, *records)
            await metric(admin, BLOCKED)
        assert 1 == await metric(admin, BLOCKED)
        transport.resume_reading()

        assert [str(number) for number in range(STATES_MAX)] == await ids(socket, STATES_MAX)
        assert await is_silent_for(socket, TICK_S)


async def test_one_that_does_not_read_at_all_gets_the_newest_of_the_row_and_is_never_closed_for_it() -> None:
    """It is held to no more memory than the row: what has left the row by then is left out, and the order stays."""
    tables, states = made()
    async with serving(tables) as client, serving_admin(client.app) as admin, connected(client) as socket:
        await ask(socket, ADDRESS)
        transport = stop_reading(socket)
        for number in range(600):
            states.say(KEY, {**numbered(number)[0], "failure_message": LONG})
            if number % 50 == 0:
                await metric(admin, BLOCKED)
        assert 1 == await metric(admin, BLOCKED)
        transport.resume_reading()
        got = [int((await frame(socket))["id"])]
        while got[-1] != 599:
            got.append(int((await frame(socket))["id"]))

    assert sorted(set(got)) == got
    assert list(range(600 - STATES_MAX, 600)) == got[-STATES_MAX:]


async def test_a_row_that_cannot_be_read_is_left_out_and_the_next_one_is_sent() -> None:
    tables, states = made()
    async with serving(tables) as client, serving_admin(client.app) as admin, connected(client) as socket:
        await ask(socket, ADDRESS)
        for on_rows in tables.position_states._listeners:
            tables.position_states.rows[KEY.encode()] = b"?"
            on_rows([KEY.encode()])
        assert await is_silent_for(socket, TICK_S)
        states.say(KEY, *numbered(1))

        assert ["1"] == await ids(socket, 1)
        skipped = 'tidemark_api_skipped_frames_total{endpoint="position-state-ws",reason="not_known"}'
        assert 1 == await metric(admin, skipped)


async def test_a_state_that_cannot_be_shown_holds_no_other_one_up() -> None:
    tables, states = made()
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        broken = {**chain_state(), "seq": 1, "push": True}
        del broken["state_type"]
        good = [{**chain_state((41, 0, number)), "seq": number, "push": True} for number in (2, 3)]
        states.put(KEY, {"applied": [41, 0, 3], "count": 3, "quotes": {}, "states": [*reversed(good), broken]})

        assert [one["id"] for one in good] == await ids(socket, 2)


async def test_one_asked_for_while_its_row_cannot_be_read_gets_what_comes_after_the_next_that_can() -> None:
    tables, states = made()
    tables.position_states.rows[KEY.encode()] = b"?"
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        states.say(KEY, *numbered(1))
        assert await is_silent_for(socket, TICK_S)
        states.say(KEY, *numbered(2))

        assert ["2"] == await ids(socket, 1)


async def test_a_row_that_went_begins_anew() -> None:
    tables, states = made()
    states.say(KEY, *numbered(1, 2, 3))
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, ADDRESS)
        tables.position_states.remove(KEY)
        assert await is_silent_for(socket, TICK_S)
        PositionStates(tables).say(KEY, *numbered(4))

        assert ["4"] == await ids(socket, 1)


async def test_a_thousand_addresses_are_heard() -> None:
    tables, states = made()
    many = [f"0x{number:040x}" for number in range(1_000)]
    async with serving(tables) as client, connected(client) as socket:
        await ask(socket, *many)
        states.say(f"main:{many[-1]}", *numbered(1))

        assert ["1"] == await ids(socket, 1)


async def test_when_the_server_goes_away_sockets_close_with_1012_and_nothing_is_said_before() -> None:
    tables, _ = made()
    app = create_app(
        api_settings("main"),
        tables.feeds,
        FakeInterest(),
        clock=SystemClock(),
        records=FakeRecords(),
        find_dialect=symmio_that_hears(),
    )
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    async with (
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
        session.ws_connect("/ws/position-state-ws3") as socket,
    ):
        await socket.send_json({"address": [ADDRESS]})
        stopping = asyncio.create_task(runner.cleanup())
        message = await socket.receive(timeout=20)
        await stopping

    assert (WSMsgType.CLOSE, WSCloseCode.SERVICE_RESTART) == (message.type, message.data)
