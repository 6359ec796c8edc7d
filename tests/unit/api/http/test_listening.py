"""Connections as strangers make them: half-sent, idle, too many, and what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
import resource
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from api.http.descriptors import KEPT_DESCRIPTORS, affordable_connections
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.api import api_settings, metric, serving, serving_admin
from tests.support.eventually import eventually
from tests.support.feed import FakeTables
from tests.support.plain_socket import handshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

    Client = TestClient[web.Request, web.Application]

ASK = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_SENT = {
    "head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "first line": b"GET /hea",
    "nothing": b"",
}


def bounded(**limits: float) -> Settings:
    return api_settings("main", api=ApiSettings(drain_s=0.05, limits=ApiLimitSettings.model_validate(limits)))


class Line:
    """A connection of a client that says just what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, sent: bytes) -> None:
        self._writer.write(sent)

    async def status(self) -> int:
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        return int(head.split()[1])

    async def ends(self) -> bytes:
        """What comes until the server ends the connection."""
        try:
            return await asyncio.wait_for(self._reader.read(), 5)
        except ConnectionError:
            return b""


@asynccontextmanager
async def line(client: Client) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def cut(client: Client, reason: str, port: str = "public") -> float:
    async with serving_admin(client.app) as admin:
        return await metric(admin, f'tidemark_api_cut_connections_total{{port="{port}",reason="{reason}"}}')


async def refused(client: Client, reason: str, port: str = "public") -> float:
    async with serving_admin(client.app) as admin:
        return await metric(admin, f'tidemark_api_refused_connections_total{{port="{port}",reason="{reason}"}}')


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
async def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    async with serving(FakeTables("main"), bounded(head_s=0.2)) as client, line(client) as stranger:
        stranger.say(sent)
        assert b"" == await stranger.ends()
        assert 1 == await cut(client, "head")


async def test_a_second_head_that_comes_drop_by_drop_ends_the_connection_too() -> None:
    async with serving(FakeTables("main"), bounded(head_s=0.3)) as client, line(client) as stranger:
        stranger.say(ASK)
        assert 200 == await stranger.status()
        dripping = asyncio.create_task(_drip(stranger))
        await stranger.ends()
        dripping.cancel()
        assert 1 == await cut(client, "head")


async def _drip(stranger: Line) -> None:
    for byte in ASK * 100:
        stranger.say(bytes((byte,)))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["/notifications/0/50", "/healthz", "/none", "/v1/accounts"])
async def test_a_body_that_does_not_come_ends_the_connection(path: str) -> None:
    async with serving(FakeTables("main"), bounded(request_s=0.3)) as client, line(client) as stranger:
        stranger.say(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        await stranger.ends()
        await eventually(lambda: _is_empty(client))


async def _is_empty(client: Client) -> bool:
    async with serving_admin(client.app) as admin:
        return await metric(admin, 'tidemark_api_open_connections{port="public"}') == 0


async def test_a_client_that_does_not_take_its_answer_is_cut() -> None:
    async with serving(FakeTables("main"), bounded(request_s=0.3, idle_s=0.3)) as client, line(client) as stranger:
        stranger.say(b"GET /v1/openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        await eventually(lambda: _is_empty(client))


async def test_a_connection_that_rests_between_requests_is_closed_after_a_while() -> None:
    async with serving(FakeTables("main"), bounded(idle_s=0.3)) as client, line(client) as stranger:
        stranger.say(ASK)
        assert 200 == await stranger.status()
        assert (await stranger.ends()).endswith(b"}")


async def test_a_websocket_has_no_time_limit_of_requests() -> None:
    limits = bounded(head_s=0.1, request_s=0.1, idle_s=0.1)
    async with serving(FakeTables("main"), limits) as client, client.ws_connect("/upnl-ws") as socket:
        await asyncio.sleep(0.5)
        await socket.ping()
        assert not socket.closed
        assert 0 == await cut(client, "request") + await cut(client, "idle") + await cut(client, "head")


@pytest.mark.parametrize("path", ["/healthz", "/upnl-ws", "/v1/ws", "/funding-rate-ws", "/main/ws/position-state-ws3"])
async def test_an_address_has_no_more_connections_than_its_limit_on_any_path(path: str) -> None:
    async with serving(FakeTables("main"), bounded(connections_per_address=3)) as client, AsyncExitStack() as lines:
        for _ in range(3):
            stranger = await lines.enter_async_context(line(client))
            stranger.say(ASK if path == "/healthz" else handshake(path))
            assert await stranger.status() in {101, 200}
        fourth = await lines.enter_async_context(line(client))
        fourth.say(ASK)
        assert b"" == await fourth.ends()
        assert 1 == await refused(client, "address")


async def test_connections_that_ask_nothing_make_room_for_one_that_does() -> None:
    async with serving(FakeTables("main"), bounded(connections=4)) as client, AsyncExitStack() as lines:
        idle = [await lines.enter_async_context(line(client)) for _ in range(4)]
        for stranger in idle:
            stranger.say(HALF_SENT["head"])
        for _ in range(6):
            honest = await lines.enter_async_context(line(client))
            honest.say(ASK)
            assert 200 == await honest.status()
        assert b"" == await idle[0].ends()
        assert 6 == await cut(client, "made_room")


async def test_sockets_are_not_cut_to_make_room_and_leave_some_for_requests() -> None:
    async with serving(FakeTables("main"), bounded(connections=8)) as client, AsyncExitStack() as lines:
        statuses = []
        for _ in range(8):
            stranger = await lines.enter_async_context(line(client))
            stranger.say(handshake("/upnl-ws"))
            statuses.append(await stranger.status())
        honest = await lines.enter_async_context(line(client))
        honest.say(ASK)
        assert [101] * 7 + [503] == statuses
        assert 200 == await honest.status()


async def test_the_admin_port_answers_while_the_public_one_is_full() -> None:
    async with serving(FakeTables("main"), bounded(connections=1)) as client, client.ws_connect("/upnl-ws"):
        async with line(client) as stranger:
            assert b"" == await stranger.ends()
        async with serving_admin(client.app) as admin, admin.get("/healthz") as response:
            assert 200 == response.status
            assert 1 == await metric(admin, 'tidemark_api_refused_connections_total{port="public",reason="no_room"}')


async def test_proxies_that_are_trusted_bring_any_number_of_connections() -> None:
    limits = ApiLimitSettings(connections_per_address=1)
    settings = api_settings("main", api=ApiSettings(drain_s=0.05, limits=limits, trusted_proxies=("127.0.0.0/8",)))
    async with serving(FakeTables("main"), settings) as client, AsyncExitStack() as lines:
        for number in range(3):
            stranger = await lines.enter_async_context(line(client))
            stranger.say(handshake("/upnl-ws", **{"X-Forwarded-For": f"203.0.113.{number}"}))
            assert 101 == await stranger.status()
        again = await lines.enter_async_context(line(client))
        again.say(handshake("/upnl-ws", **{"X-Forwarded-For": "203.0.113.1"}))
        assert 429 == await again.status()


def test_descriptors_are_kept_for_what_is_not_a_clients() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    try:
        assert 300 - KEPT_DESCRIPTORS == affordable_connections(20_000)
        assert 50 == affordable_connections(50)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


NOT_HTTP = {
    "noise": b"\x00\x01\x02\x1b[31m\r\n\r\n",
    "a bad header": b"GET / HTTP/1.1\r\nHost: x\r\nA\x1b[31m b: c\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad length": b"POST /notifications/0/1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /notifications/0/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
    "bad chunks": b"POST /notifications/0/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_no_http_is_answered_in_json_and_is_one_plain_line(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeTables("main")) as client, line(client) as stranger:
        stranger.say(sent)
        head, _, body = (await stranger.ends()).partition(b"\r\n\r\n")

    assert b"400" == head.split()[1]
    assert 400 == orjson.loads(body)["error_code"]
    assert all(record.exc_info is None and record.levelno <= logging.INFO for record in caplog.records)
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert 1 >= len([record for record in caplog.records if record.name.startswith(("api", "aiohttp"))])
