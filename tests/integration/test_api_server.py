from __future__ import annotations

import asyncio
import socket as os_socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from api.server import PortTaken, run
from models.engine.tables import DEPLOYMENTS, VALUATIONS
from streams.kafka.topics import create_topics, registry
from streams.process.clock import SystemClock
from streams.replicas.interest_reader import Interest
from streams.settings import ApiSettings, BadSettings, Settings, SymmioSettings
from tests.support.api import ADDRESS, api_settings
from tests.support.changelog import changelogs
from tests.support.eventually import eventually
from tests.support.feed import deployment_body, e18, valuation_body
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = f"main:{ADDRESS.lower()}"


def served_settings(settings: Callable[..., Settings]) -> Settings:
    return settings(
        deployments={"main": SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)},
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.5),
    )


class Served(NamedTuple):
    client: aiohttp.ClientSession
    server: asyncio.Task[None]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Served]:
    """The api as ``tidemark api`` runs it, and a client of its public port."""
    server = asyncio.create_task(run(settings, SystemClock()))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.api.port}") as client:

            async def is_listening() -> bool:
                if server.done():
                    server.result()
                return await status(client, "/healthz") == 200

            await eventually(is_listening)
            yield Served(client, server)
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


async def status(client: aiohttp.ClientSession, path: str) -> int:
    try:
        async with client.get(path) as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return 0


async def frame(socket: aiohttp.ClientWebSocketResponse) -> Any:  # noqa: ANN401 - whatever JSON came
    message = await socket.receive(timeout=20)
    assert WSMsgType.TEXT == message.type
    return message.json()


async def test_rows_of_the_changelog_reach_a_socket_and_later_ones_replace_them(
    settings: Callable[..., Settings],
) -> None:
    own = served_settings(settings)
    assert own.kafka is not None
    await create_topics(own.bootstrap, registry(own))
    async with changelogs(own) as rows:
        await rows.put(DEPLOYMENTS, "main", 1, deployment_body())
        await rows.put(VALUATIONS, KEY, 1, valuation_body())
        async with running(own) as (client, _), client.ws_connect("/upnl-ws") as socket:
            await socket.send_str(ADDRESS)
            first = await frame(socket)
            await eventually(lambda: _is(client, "/readyz", 200))
            await rows.put(VALUATIONS, KEY, 2, valuation_body(upnl=e18("3")))
            await rows.put(VALUATIONS, KEY, 9, valuation_body(upnl=e18("666")), term=0)
            second = await frame(socket)

    assert ("-12.5", "3") == (first["upnl"], second["upnl"])


async def test_what_a_socket_watches_is_known_to_the_workers_until_the_server_ends(
    settings: Callable[..., Settings],
) -> None:
    own = served_settings(settings)
    assert own.kafka is not None
    await create_topics(own.bootstrap, registry(own))
    unwatched: list[bytes] = []
    interest = Interest(own, SystemClock(), lambda _: None, unwatched.extend)
    await interest.start()
    try:
        async with running(own) as (client, server):
            socket = await client.ws_connect("/upnl-ws")
            await socket.send_str(ADDRESS)
            await eventually(lambda: list(interest.watched()) == [KEY.encode()])
            server.cancel()
            await eventually(lambda: unwatched == [KEY.encode()])
            await socket.close()
    finally:
        await interest.stop()


async def test_sockets_are_accepted_before_the_tables_exist_and_answered_once_they_do(
    settings: Callable[..., Settings],
) -> None:
    own = served_settings(settings)
    assert own.kafka is not None
    async with running(own) as (client, _), client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(ADDRESS)
        assert 503 == await status(client, "/readyz")
        await create_topics(own.bootstrap, registry(own))
        async with changelogs(own) as rows:
            await rows.put(DEPLOYMENTS, "main", 1, deployment_body())
            await rows.put(VALUATIONS, KEY, 1, valuation_body())
        got = await frame(socket)
        while got == {}:
            got = await frame(socket)

    assert "-12.5" == got["upnl"]


async def test_cancelling_tells_the_clients_and_frees_the_ports_within_the_time_a_ctrl_c_has(
    settings: Callable[..., Settings],
) -> None:
    own = served_settings(settings)
    assert own.kafka is not None
    await create_topics(own.bootstrap, registry(own))
    clock_s = asyncio.get_running_loop().time
    async with running(own) as (client, server):
        socket = await client.ws_connect("/upnl-ws")
        deaf = await client.ws_connect("/upnl-ws")
        await eventually(lambda: _is(client, "/readyz", 200))
        started_s = clock_s()
        server.cancel()
        message = await socket.receive(timeout=20)
        await asyncio.wait([server], timeout=10)
        took_s = clock_s() - started_s
        await deaf.close()
        await socket.close()

    assert (WSMsgType.CLOSE, WSCloseCode.SERVICE_RESTART) == (message.type, message.data)
    assert took_s < 5
    assert 0 == await _status_of_port(own.api.port)
    assert 0 == await _status_of_port(own.api.admin_port)


async def test_a_port_that_is_taken_is_a_clear_error(settings: Callable[..., Settings]) -> None:
    own = served_settings(settings)
    with os_socket.socket() as holder:
        holder.bind(("127.0.0.1", own.api.port))
        holder.listen()
        with pytest.raises(PortTaken, match=f"127.0.0.1:{own.api.port}.*another api.port"):
            await run(own, SystemClock())


async def test_without_a_cluster_the_message_says_what_to_set() -> None:
    with pytest.raises(BadSettings, match="TIDEMARK_KAFKA"):
        await run(api_settings("main"), SystemClock())


async def _is(client: aiohttp.ClientSession, path: str, expected: int) -> bool:
    return await status(client, path) == expected


async def _status_of_port(port: int) -> int:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        return await status(client, "/healthz")
