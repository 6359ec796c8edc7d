"""Sockets of legacy clients that send too much, too often, or nothing at all."""

from __future__ import annotations

import asyncio
import socket as os_socket
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import WSMsgType, web

from api.access.limits import TokenBucket
from api.dialects.symmio.listening import ASK_WITHIN_S, listen
from api.http.metrics import ApiMetrics
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.api import ADDRESS, OTHER_ADDRESS, api_settings, serving
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.native import Line
from tests.support.plain_socket import FIN, PING, TEXT, Frame, handshake
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import WSMessage
    from aiohttp.test_utils import TestClient

SOCKETS = ("/upnl-ws", "/position-state-ws3", "/funding-rate-ws", "/v1/ws")
SENT = {"messages": Frame(FIN | TEXT, ADDRESS.encode()), "pings": Frame(FIN | PING, b"")}


@contextmanager
def flooding(client: TestClient[web.Request, web.Application], path: str, frame: Frame) -> Iterator[threading.Event]:
    """Send frames as fast as the server takes them, from a thread; the event says that the server closed."""
    stop, closed = threading.Event(), threading.Event()
    host, port = client.host, client.port
    flood = frame.encode() * 1_000

    def run() -> None:
        with os_socket.create_connection((host, port)) as raw:
            raw.sendall(handshake(path))
            try:
                while not stop.is_set():
                    raw.sendall(flood)
            except OSError:
                closed.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield closed
    finally:
        stop.set()
        while thread.is_alive():
            thread.join(0.01)


class Turns:
    """In which turn of the loop each message of a client was taken."""

    def __init__(self) -> None:
        self.taken: Counter[int] = Counter()
        self._turn = 0

    @contextmanager
    def counted(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        receive = web.WebSocketResponse.receive

        async def taking(socket: web.WebSocketResponse) -> WSMessage:
            message = await receive(socket)
            self.taken[self._turn] += 1
            return message

        monkeypatch.setattr(web.WebSocketResponse, "receive", taking)
        turning = asyncio.create_task(self._count())
        try:
            yield
        finally:
            turning.cancel()

    async def _count(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("frame", SENT.values(), ids=SENT)
async def test_a_flood_is_closed_and_others_are_answered_meanwhile(
    path: str, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    async with serving(FakeTables("main")) as client:
        with turns.counted(monkeypatch), flooding(client, path, frame) as closed:
            async with asyncio.timeout(60):
                while not closed.is_set():
                    async with client.get("/healthz") as response:
                        assert 200 == response.status
                    await asyncio.sleep(0.01)

    assert {1} == set(turns.taken.values())


async def test_who_asks_faster_than_the_limit_waits_and_is_shown_what_was_asked_last() -> None:
    tables = FakeTables("main")
    tables.valuations.put(f"main:{ADDRESS.lower()}", 1, valuation_body(upnl=e18("1")))
    tables.valuations.put(f"main:{OTHER_ADDRESS.lower()}", 1, valuation_body(upnl=e18("2")))
    limits = ApiLimitSettings(messages_per_s=20, messages_burst=5)
    settings = api_settings("main", api=ApiSettings(drain_s=0.05, limits=limits))
    async with serving(tables, settings) as client, client.ws_connect("/upnl-ws") as socket:
        for _ in range(12):
            await socket.send_str(ADDRESS)
        await socket.send_str(OTHER_ADDRESS)
        await asyncio.sleep(0.8)
        shown: list[str] = []
        while not shown or shown[-1] != "2":
            frame = await socket.receive(timeout=5)
            assert WSMsgType.TEXT == frame.type
            shown.append(frame.json()["upnl"])
        frame = await socket.receive(timeout=5)
        assert "2" == frame.json()["upnl"]


@pytest.mark.parametrize("sends", ["messages", "pings"])
async def test_a_client_that_does_not_slow_down_is_told_so_by_the_close_code(sends: str) -> None:
    limits = ApiLimitSettings(messages_per_s=20, messages_burst=5)
    settings = api_settings("main", api=ApiSettings(drain_s=0.05, limits=limits))
    async with serving(FakeTables("main"), settings) as client, client.ws_connect("/upnl-ws") as socket:
        for _ in range(60):
            await (socket.send_str(ADDRESS) if sends == "messages" else socket.ping())
        while (await socket.receive(timeout=5)).type is not WSMsgType.CLOSE:
            pass

    assert 1008 == socket.close_code


def test_a_socket_that_asks_nothing_is_closed_after_a_while() -> None:
    async def run() -> None:
        loop, line = asyncio.get_running_loop(), Line()
        line.messages_limit = TokenBucket(1, 1)
        tables = FakeTables("main")
        metrics = ApiMetrics(api_settings("main"), tables.feeds, lambda: 0)
        began_s = loop.time()
        await listen(line, metrics, lambda _: None)
        assert 1008 == line.close_code
        assert loop.time() - began_s == pytest.approx(ASK_WITHIN_S)

    run_in_no_time(run())
