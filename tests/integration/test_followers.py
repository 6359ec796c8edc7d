"""The published clients through restarts and kills of replicas: they miss nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from models.engine.tables import DEPLOYMENTS, VALUATIONS
from streams.kafka.topics import create_topics, registry
from streams.settings import ApiSettings, FreshnessSettings, Settings, SymmioSettings
from tests.support.changelog import changelogs
from tests.support.contract import validate_server_message
from tests.support.eventually import eventually
from tests.support.feed import deployment_body, large_body
from tests.support.pipeline import free_port
from tests.support.server import answers, api_process
from tests.support.typescript_client import NodeFollower, build
from tests.support.views import account_view, figures_view
from tidemark_client import Changed, Client, Gap, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.server import Process
    from tidemark_client import Held


class Service:
    """What Kubernetes' Service is to clients: each new connection goes to a replica that says it is ready."""

    def __init__(self, replicas: list[Settings]) -> None:
        self._replicas = replicas
        self._pumps: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._session:
            server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield
            finally:
                server.close()
                for pump in self._pumps:
                    pump.cancel()
                await asyncio.gather(*self._pumps, return_exceptions=True)
                await server.wait_closed()

    async def is_ready(self, replica: Settings) -> bool:
        return await answers(self._session, f"http://127.0.0.1:{replica.api.admin_port}/readyz", 200)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for replica in random.sample(self._replicas, len(self._replicas)):
            if not await self.is_ready(replica):
                continue
            with suppress(OSError):
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", replica.api.port)
                for pair in ((reader, other_writer), (other_reader, writer)):
                    pump = asyncio.create_task(self._pump(*pair))
                    self._pumps.add(pump)
                    pump.add_done_callback(self._pumps.discard)
                return
        writer.close()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Follower:
    """The published client through the service, and whether what it holds ever went back."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.gaps = 0
        self.held: dict[tuple[str, str], Held] = {}
        self.went_back: list[tuple[list[int], list[int]]] = []

    @asynccontextmanager
    async def following(self, url: str, wanted: dict[str, list[str]]) -> AsyncIterator[Follower]:
        task = asyncio.create_task(self._follow(url, wanted))
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, url: str, wanted: dict[str, list[str]]) -> None:
        async with Client(url) as client:
            for channel, keys in wanted.items():
                client.subscribe(channel, keys, interval_ms=0)
            async for event in client.events():
                match event:
                    case Heard(message):
                        validate_server_message(message)
                        self.came.append(message["type"])
                    case Changed(channel, key, held):
                        before = self.held.get((channel, key))
                        # What may follow term and version says how old the row is, and has no order.
                        if before is not None and held.seq[:2] < before.seq[:2]:
                            self.went_back.append((before.seq, held.seq))
                        self.held[channel, key] = held
                    case Gap():
                        self.gaps += 1
                    case _:
                        pass


def holds(follower: Follower | NodeFollower, bodies: dict[str, tuple[int, dict[str, Any]]]) -> bool:
    return follower.held == {
        (channel, key): (1, [1, version], view(key, body))
        for channel, view in (("account", account_view), ("valuations", figures_view))
        for key, (version, body) in bodies.items()
    }


async def end(process: Process) -> None:
    process.terminate()
    assert 0 == await asyncio.wait_for(process.wait(), 5)


def _own_ports() -> ApiSettings:
    # The rows of this test are valued at marks of long ago.
    ageless = FreshnessSettings(row_s=1e9)
    return ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.5, freshness=ageless)


async def test_a_client_that_follows_misses_nothing_while_two_replicas_are_restarted_and_one_is_killed(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    module = build(tmp_path)
    deployment = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)
    first, second = _own_ports(), _own_ports()
    own = settings(deployments={"main": deployment}, api=first)
    replicas = [own, own.model_copy(update={"api": second})]
    service = Service(replicas)
    keys = [f"main:0x{number:040x}" for number in range(4)]
    in_python, in_node = [Follower(), Follower()], [NodeFollower(), NodeFollower()]
    followers: list[Follower | NodeFollower] = [*in_python, *in_node]
    bodies: dict[str, tuple[int, dict[str, Any]]] = {}
    await create_topics(own.bootstrap, registry(own))
    async with changelogs(own) as rows, service.serving():

        async def put(key: str) -> None:
            version = bodies[key][0] + 1 if key in bodies else 1
            bodies[key] = version, large_body(version, positions=3)
            await rows.put(VALUATIONS, key, *bodies[key])

        async def write() -> None:
            while True:
                for key in keys:
                    await put(key)

        await rows.put(DEPLOYMENTS, "main", 1, deployment_body())
        for key in keys:
            await put(key)
        async with api_process(replicas[0]) as one, api_process(replicas[1]) as two, AsyncExitStack() as following:
            await eventually(lambda: service.is_ready(replicas[0]), timeout_s=30)
            await eventually(lambda: service.is_ready(replicas[1]), timeout_s=30)
            writing_rows = asyncio.create_task(write())
            url, wanted = f"ws://127.0.0.1:{service.port}/v1/ws", {"account": keys, "valuations": keys}
            for program in in_python:
                await following.enter_async_context(program.following(url, wanted))
            for process in in_node:
                await following.enter_async_context(process.following(module, url, wanted))
            await eventually(lambda: all("delta" in follower.came for follower in followers))
            await end(one)
            async with api_process(replicas[0]) as one_again:
                await eventually(lambda: service.is_ready(replicas[0]), timeout_s=30)
                await end(two)
                async with api_process(replicas[1]) as two_again:
                    await eventually(lambda: service.is_ready(replicas[1]), timeout_s=30)
                    writing_rows.cancel()
                    await asyncio.gather(writing_rows, return_exceptions=True)
                    for key in keys:
                        await put(key)
                    await eventually(lambda: all(holds(follower, bodies) for follower in followers), timeout_s=30)
                    await end(one_again)
                    await eventually(lambda: all(follower.came.count("goodbye") >= 1 for follower in followers))
                    await eventually(lambda: all(holds(follower, bodies) for follower in followers), timeout_s=30)
                    async with api_process(replicas[0]):
                        await eventually(lambda: service.is_ready(replicas[0]), timeout_s=30)
                        two_again.kill()
                        for key in keys:
                            await put(key)
                        await eventually(lambda: all(holds(follower, bodies) for follower in followers), timeout_s=30)

    assert [0] * 4 == [follower.gaps for follower in followers]
    assert [] == [step for follower in followers for step in follower.went_back]
    assert all(follower.came.count("hello") > 1 for follower in followers)
