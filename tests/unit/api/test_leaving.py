"""A replica that ends shows what is new for as long as anybody is there to see it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp

from api import server
from streams.process.clock import SystemClock
from streams.settings import ApiSettings, Settings, SymmioSettings
from tests.support.eventually import eventually
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    import pytest

    from api.dialects.mounting import Resource


async def test_tables_are_followed_until_the_last_socket_of_a_replica_that_ends_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Settings(
        kafka=f"127.0.0.1:{free_port()}",
        deployments={"main": SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)},
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=1),
    )
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

        async def is_listening() -> bool:
            with suppress(aiohttp.ClientConnectorError):
                async with client.get("/healthz") as answer:
                    return answer.status == 200
            return False

        await eventually(is_listening)
        # They are closed one after the other over the window.
        sockets = [await client.ws_connect("/upnl-ws") for _ in range(4)]
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
