"""A replica that ends shows what is new for as long as anybody is there to see it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from api import server
from api.server import FeedEnded
from streams.process.clock import SystemClock
from streams.settings import ApiSettings, Settings, SymmioSettings
from tests.support.eventually import eventually
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.dialects.mounting import Resource


def own_settings() -> Settings:
    return Settings(
        kafka=f"127.0.0.1:{free_port()}",
        deployments={"main": SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)},
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=1),
    )


async def sockets_of(client: aiohttp.ClientSession, count: int) -> Sequence[aiohttp.ClientWebSocketResponse]:
    """Connect as soon as the replica listens. They are closed one after the other over the window."""

    async def is_listening() -> bool:
        with suppress(aiohttp.ClientConnectorError):
            async with client.get("/healthz") as answer:
                return answer.status == 200
        return False

    await eventually(is_listening)
    return [await client.ws_connect("/upnl-ws") for _ in range(count)]


async def test_tables_are_followed_until_the_last_socket_of_a_replica_that_ends_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = own_settings()
    followed: set[str] = set()

    async def follow(feed: Resource) -> None:
        followed.add(feed.topic)
        try:
            await asyncio.Event().wait()
        finally:
            followed.remove(feed.topic)

    monkeypatch.setattr(server, "_follow", follow)
    running = asyncio.create_task(server.run(own, SystemClock()))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{own.api.port}") as client:
        sockets = await sockets_of(client, 4)
        everything = set(followed)
        running.cancel()
        for socket in sockets:
            async for _ in socket:
                pass
            assert everything == followed
        with suppress(asyncio.CancelledError):
            await running

    assert everything
    assert not followed


async def test_every_socket_is_closed_in_good_order_though_a_feed_fails_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, fails = own_settings(), asyncio.Event()

    async def follow(feed: Resource) -> None:
        await fails.wait()
        msg = f"feed of {feed.topic} ended"
        raise FeedEnded(msg)

    monkeypatch.setattr(server, "_follow", follow)
    running = asyncio.create_task(server.run(own, SystemClock()))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{own.api.port}") as client:
        sockets = await sockets_of(client, 4)

        async def read_to_the_end(socket: aiohttp.ClientWebSocketResponse) -> int | None:
            async for _ in socket:
                pass
            fails.set()
            return socket.close_code

        running.cancel()
        codes = await asyncio.gather(*map(read_to_the_end, sockets))
        with pytest.raises(FeedEnded):
            await running

    assert [aiohttp.WSCloseCode.SERVICE_RESTART] * 4 == codes
