"""The reference client: what it does about gaps, silence, goodbyes and servers that are not there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.dialects.native.client import Model, follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

    Serve = Callable[[web.WebSocketResponse, int], Awaitable[None]]

KEY = "main:0x" + "ab" * 20
WATCHED = "account", KEY
HELLO = {"type": "hello", "epoch": 1}
ACK = {"type": "ack", "op": "subscribe", "id": 1, "subs": [{"sub": 7, "channel": "account", "key": KEY}]}


def snapshot(version: int, **data: object) -> dict[str, Any]:
    return {"type": "snapshot", "sub": 7, "epoch": 1, "seq": [1, version], "data": data}


def delta(prev: int, version: int, **data: object) -> dict[str, Any]:
    return {"type": "delta", "sub": 7, "prev": [1, prev], "seq": [1, version], "data": data}


def model(*messages: dict[str, Any]) -> Model:
    made = Model()
    for message in (ACK, *messages):
        made.take(message)
    return made


def test_deltas_that_follow_what_is_held_are_applied() -> None:
    made = model(snapshot(1, upnl="1", owner="x"), delta(1, 4, upnl="2"), delta(4, 5, owner=None, status="valued"))

    assert (1, [1, 5], {"upnl": "2", "status": "valued"}) == made.held[WATCHED]
    assert 0 == made.gaps


def test_a_gap_is_counted_and_asked_for_once_and_ends_with_the_snapshot() -> None:
    made = model(snapshot(1, upnl="1"))
    asked = made.take(delta(2, 3, upnl="3"))
    again = made.take(delta(3, 4, upnl="4"))
    assert [1, 1] == made.held[WATCHED].seq
    made.take(snapshot(4, upnl="4"))
    made.take(delta(4, 5, upnl="5"))

    assert ({"op": "resync", "id": 1, "sub": 7}, None) == (asked, again)
    assert (1, [1, 5], {"upnl": "5"}) == made.held[WATCHED]
    assert 1 == made.gaps


def test_what_is_held_is_offered_when_it_comes_back() -> None:
    made = model(snapshot(3, upnl="1"))
    made.disconnected()

    assert {KEY: {"epoch": 1, "seq": [1, 3]}} == made.subscribe("account", [KEY, "main:0x0"])["resume"]
    assert {} == made.subscribe("valuations", [KEY])["resume"]


def test_what_is_not_known_is_passed_over() -> None:
    made = model({"type": "news", "sub": 99}, {"type": "heartbeat"}, {"type": "ack", "op": "ping", "id": 3})

    assert {} == made.held


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

    app = web.Application()
    app.add_routes([web.get("/v1/ws", handle)])
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/ws"))


async def first(url: str, count: int, made: Model | None = None) -> list[dict[str, Any]]:
    """The first messages that following yields."""
    messages: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, asyncio.timeout(40):
        async for message in follow(session, url, made or Model(), {"account": [KEY]}):
            messages.append(message)
            if len(messages) == count:
                break
    return messages


async def test_a_server_that_falls_silent_is_left_and_what_was_held_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.dialects.native.client._SILENCE_MAX_S", 0.1)
    asked: list[dict[str, Any]] = []

    async def serve(socket: web.WebSocketResponse, number: int) -> None:
        asked.append(await socket.receive_json())
        await socket.send_json([HELLO, ACK, snapshot(number, upnl="1")])
        await socket.receive()

    async with served(serve) as url:
        messages = await first(url, 5)

    assert ["hello", "ack", "snapshot", "disconnected", "hello"] == [message["type"] for message in messages]
    assert "nothing came for" in messages[3]["reason"]
    assert [{}, {KEY: {"epoch": 1, "seq": [1, 1]}}] == [request["resume"] for request in asked]


async def test_it_comes_back_after_a_goodbye_when_it_was_told_to() -> None:
    clock_s = asyncio.get_running_loop().time
    came_s: list[float] = []

    async def serve(socket: web.WebSocketResponse, _: int) -> None:
        came_s.append(clock_s())
        await socket.send_json([{"type": "goodbye", "reason": "restart", "reconnect_in_ms": 500}])
        await socket.close(code=1012)

    async with served(serve) as url:
        messages = await first(url, 3)

    assert ["goodbye", "disconnected", "goodbye"] == [message["type"] for message in messages]
    assert 1012 == messages[1]["code"]
    assert 0.49 < came_s[1] - came_s[0] < 1.5


async def test_a_server_that_is_not_there_is_tried_again_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_s: list[float] = []

    async def note(delay_s: float) -> None:
        waited_s.append(delay_s)

    async with served(lambda *_: asyncio.sleep(0)) as url:
        gone = url
    monkeypatch.setattr("api.dialects.native.client.asyncio.sleep", note)
    messages = await first(gone, 25)

    assert {"disconnected"} == {message["type"] for message in messages}
    assert 0.2 == waited_s[0]
    assert all(later > sooner * 0.9 for sooner, later in pairwise(waited_s) if later < 5)
    assert 1 < max(waited_s) <= 10


async def test_a_busy_server_is_tried_again() -> None:
    refused = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal refused
        refused += 1
        return web.Response(status=503)

    app = web.Application()
    app.add_routes([web.get("/v1/ws", busy)])
    async with TestServer(app) as server:
        messages = await first(str(server.make_url("/v1/ws")), 2)

    assert 2 == refused
    assert all("503" in message["reason"] for message in messages)


async def test_a_gap_on_the_wire_is_answered_with_a_request_for_all_of_it() -> None:
    asked: list[dict[str, Any]] = []

    async def serve(socket: web.WebSocketResponse, _: int) -> None:
        await socket.receive_json()
        await socket.send_json([HELLO, ACK, snapshot(1, upnl="1"), delta(2, 3, upnl="3")])
        asked.append(await socket.receive_json())
        await socket.send_json([snapshot(3, upnl="3")])

    made = Model()
    async with served(serve) as url:
        await first(url, 5, made)

    assert [("resync", 7)] == [(request["op"], request["sub"]) for request in asked]
    assert {"upnl": "3"} == made.held[WATCHED].data
