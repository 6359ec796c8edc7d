"""The published client over sockets: silence, goodbyes, gaps, and servers that are not there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.api import serving
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.virtual_loop import run_in_no_time
from tests.unit.tidemark_client.messages import HELLO, KEY, ack, delta, snapshot
from tidemark_client import Changed, Client, Gap, Heard, Status, SyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tidemark_client import Event

    Serve = Callable[[web.WebSocketResponse, int], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """A server that gives each of its sockets, with its number, to ``serve``; the url."""
    count = 0

    async def handle(request: web.Request) -> web.WebSocketResponse:
        nonlocal count
        count += 1
        socket = web.WebSocketResponse(protocols=("tidemark.v1.json",), timeout=0.1)
        await socket.prepare(request)
        await serve(socket, count)
        return socket

    async with answering(handle) as url:
        yield url


@asynccontextmanager
async def answering(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/v1/ws", handle)])
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/ws"))


async def until(url: str, is_last: Callable[[Event], bool]) -> list[Event]:
    """What a client that follows ``KEY`` is told, up to the last that is wanted."""
    events: list[Event] = []
    async with Client(url) as client, asyncio.timeout(60):
        client.subscribe("account", [KEY])
        async for event in client.events():
            events.append(event)
            if is_last(event):
                break
    return events


def statuses(events: list[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, Status)]


def is_hello(event: Event) -> bool:
    return isinstance(event, Heard) and event.message["type"] == "hello"


def holding(version: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Changed) and event.held.seq == [1, version]


async def test_a_server_that_falls_silent_is_left_and_what_was_held_is_resumed() -> None:
    asked: list[dict[str, Any]] = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        await socket.send_json([{**HELLO, "heartbeat_ms": 50}])
        asked.append(await socket.receive_json())
        await socket.send_json([ack(asked[-1]["id"]), snapshot(number, upnl="1")])
        await socket.receive()

    async with served(serve) as url:
        events = await until(url, holding(2))

    assert ["connecting", "live", "waiting", "connecting", "live"] == statuses(events)
    assert [{}, {KEY: {"epoch": 1, "seq": [1, 1]}}] == [request["resume"] for request in asked]


def test_it_comes_back_after_a_goodbye_when_it_was_told_to() -> None:
    came_s: list[float] = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        came_s.append(asyncio.get_running_loop().time())
        await socket.send_json([HELLO])
        if number == 1:
            await socket.send_json([{"type": "goodbye", "reason": "restart", "reconnect_in_ms": 500}])
            await socket.close(code=1012)

    async def scene() -> list[Event]:
        async with served(serve) as url:
            return await until(url, lambda event: is_hello(event) and len(came_s) == 2)

    events = run_in_no_time(scene(), 0.0001)

    (waiting,) = [event for event in events if isinstance(event, Status) and event.name == "waiting"]
    assert (1012, "closed with 1012") == (waiting.code, waiting.reason)
    assert 0.5 == round(came_s[1] - came_s[0], 1)


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    async with served(lambda *_: asyncio.sleep(0)) as url:
        gone = url
    events = await until(gone, lambda event: isinstance(event, Status) and event.retry_in_s > 0.4)

    assert ["connecting", "waiting"] * (len(events) // 2) == statuses(events)


async def test_a_busy_server_is_tried_again_when_it_said() -> None:
    refused = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal refused
        refused += 1
        return web.Response(status=503, headers={"Retry-After": "1"})

    async with answering(busy) as url:
        events = await until(url, lambda event: isinstance(event, Status) and refused == 2 and event.retry_in_s > 0)

    waiting = [event for event in events if isinstance(event, Status) and event.name == "waiting"]
    assert ["the server answered 503"] * 2 == [event.reason for event in waiting]
    assert all(event.retry_in_s >= 1 for event in waiting)


async def test_a_gap_on_the_wire_is_answered_with_a_request_for_all_of_it() -> None:
    asked: list[dict[str, Any]] = []

    async def serve(socket: web.WebSocketResponse, _: int) -> None:
        await socket.send_json([HELLO])
        request = await socket.receive_json()
        await socket.send_json([ack(request["id"]), snapshot(1, upnl="1"), delta(2, 3, upnl="3")])
        asked.append(await socket.receive_json())
        await socket.send_json([snapshot(3, upnl="3")])

    async with served(serve) as url:
        events = await until(url, holding(3))

    assert [("resync", 7)] == [(request["op"], request["sub"]) for request in asked]
    assert [Gap("account", KEY)] == [event for event in events if isinstance(event, Gap)]


async def test_a_token_that_is_wanted_and_not_given_ends_it() -> None:
    async def serve(socket: web.WebSocketResponse, _: int) -> None:
        await socket.send_json([{**HELLO, "auth": "required"}])
        await socket.receive()

    async with served(serve) as url, Client(url) as client:
        events = [event async for event in client.events()]

    assert Status("ended", "the server wants a token", 4401) == events[-1]


async def test_what_is_subscribed_while_it_follows_comes_and_goes() -> None:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    shown: list[str] = []
    async with serving(tables) as api, Client(str(api.make_url("/v1/ws"))) as client:

        async def follow() -> None:
            async for event in client.events():
                match event:
                    case Changed(held=held):
                        shown.append(held.data["upnl"])
                    case _:
                        pass

        following = asyncio.create_task(follow())
        client.subscribe("account", [KEY], interval_ms=0)
        await eventually(lambda: shown == ["-12.5"])
        tables.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        await eventually(lambda: shown == ["-12.5", "5"])
        client.unsubscribe("account", [KEY])
        await eventually(lambda: client.held("account", KEY) is None)
        await client.close()
        await asyncio.wait_for(following, 10)


@pytest.mark.parametrize("is_early", [True, False])
async def test_closing_ends_the_events(is_early: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with serving(FakeTables("main")) as api:
        client = Client(str(api.make_url("/v1/ws")))
        if is_early:
            await client.close()
        events = client.events()
        async for event in events:
            if is_hello(event):
                await client.close()


async def test_a_program_without_a_loop_follows_as_well() -> None:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    loop = asyncio.get_running_loop()

    def follow(url: str) -> list[str]:
        shown = []
        with SyncClient(url) as client:
            client.subscribe("account", [KEY], interval_ms=0)
            for event in client.events():
                if isinstance(event, Changed):
                    shown.append(event.held.data["upnl"])
                    body = valuation_body(upnl=e18("5"))
                    loop.call_soon_threadsafe(tables.valuations.put, KEY, 2, body)
                if len(shown) == 2:
                    assert client.held("account", KEY.upper()) is not None
                    client.unsubscribe("account", [KEY])
                    break
        return shown

    async with serving(tables) as api:
        shown = await asyncio.to_thread(follow, str(api.make_url("/v1/ws")))

    assert ["-12.5", "5"] == shown
