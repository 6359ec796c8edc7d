"""What all answers have in common, wherever in the server they are made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.api import serving, serving_admin
from tests.support.feed import FakeTables

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def head_of(client: TestClient[web.Request, web.Application], sent: bytes) -> str:
    """Send bytes, and return the head of what is answered, in lower case."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(20):
            return (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /dashboard HTTP/1.1\r\nHost: a\r\n\r\n", 308),
        (b"OPTIONS /upnl-a HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        (b"GET /v1/ws HTTP/1.1\r\nHost: a\r\n" + HANDSHAKE + b"\r\n", 101),
        (b"GET /upnl-ws HTTP/1.1\r\nHost: a\r\n" + HANDSHAKE + b"\r\n", 101),
        (b"no request at all\r\n\r\n", 400),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
async def test_no_answer_tells_a_version_of_the_server(sent: bytes, status: int) -> None:
    async with serving(FakeTables("main")) as client:
        head = await head_of(client, sent)

    assert str(status) == head.split()[1]
    assert "\r\nserver: tidemark\r\n" in head
    assert "aiohttp" not in head
    assert "python" not in head


async def test_nor_does_the_admin_port() -> None:
    async with serving(FakeTables("main")) as client, serving_admin(client.app) as admin:
        for path in ("/healthz", "/metrics", "/nothing"):
            async with admin.get(path) as response:
                assert "Tidemark" == response.headers["Server"]
