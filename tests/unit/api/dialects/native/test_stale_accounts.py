"""What ``/v1/ws`` pushes when an account grows old without a new row, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from models.freshness import SETTLE_MS
from models.heartbeats import ChainBeat, WorkerBeat, chain_key, worker_key
from streams.kafka.partitions import partition_of
from streams.process.supervision import ended
from streams.settings import TopicSettings
from tests.support.api import api_settings
from tests.support.feed import FakeTables, valuation_body
from tests.support.native import START_MS, NativeServer
from tests.support.virtual_loop import run_in_no_time
from tidemark_client import patched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tests.support.native import Line

ACCOUNT = f"main:0x{'a' * 40}"
OWNER = worker_key(partition_of(ACCOUNT.encode(), TopicSettings().partitions))
PROCESS_S, SETTLE_S = 6.0, SETTLE_MS / 1_000


def _with_server(test: Callable[[NativeServer, FakeTables], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        tables = FakeTables("main")
        tables.valuations.put(ACCOUNT, 1, valuation_body(as_of_ms=START_MS))
        server = NativeServer(api_settings("main"), tables)
        watching = asyncio.create_task(server.freshness.watch())
        try:
            await test(server, tables)
        finally:
            await ended(watching)

    run_in_no_time(run())


def _now_ms() -> int:
    return START_MS + round(asyncio.get_running_loop().time() * 1_000)


@asynccontextmanager
async def _beating(server: NativeServer) -> AsyncIterator[None]:
    """The account's owner and its chain's ingest beat once a second."""

    async def beat() -> None:
        while True:
            now_ms = _now_ms()
            server.heartbeats.take(OWNER, WorkerBeat("host:1", now_ms, now_ms, 0, 500), now_ms)
            chain = ChainBeat("host:2", now_ms, now_ms, 120, now_ms // 1_000)
            server.heartbeats.take(chain_key("main"), chain, now_ms)
            await asyncio.sleep(1)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        await ended(task)


async def _pushed(line: Line, wait_s: float) -> list[dict[str, Any]]:
    return [message for message in await line.heard(wait_s) if message["type"] in {"snapshot", "delta"}]


def test_an_account_is_pushed_as_stale_when_its_owner_is_silent_and_as_fresh_when_it_is_back() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            line.ask("subscribe", channel="account", keys=[ACCOUNT], interval_ms=0)
            async with _beating(server):
                (snapshot,) = await _pushed(line, 20)
                held = snapshot["data"]
                assert "stale_because" not in held
            (delta,) = await _pushed(line, PROCESS_S + 1.5)
            assert (snapshot["seq"], snapshot["seq"]) == (delta["prev"], delta["seq"][:2])
            assert ["chain", "worker"] == delta["data"]["stale_because"]
            old = patched(held, delta["data"])
            assert (1, True) == (old["stale"], old["positions"]["1"]["stale"])
            async with _beating(server):
                assert [] == await _pushed(line, SETTLE_S - 0.5)
                (delta,) = await _pushed(line, 2)
                assert (held, snapshot["seq"]) == (patched(old, delta["data"]), delta["seq"])

    _with_server(test)


def test_a_row_that_nobody_writes_anew_is_stale_after_its_bound_though_its_owner_beats() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with _beating(server), server.client() as line:
            line.ask("subscribe", channel="valuations", keys=[ACCOUNT])
            (_snapshot,) = await _pushed(line, 110)
            (delta,) = await _pushed(line, 30)

            assert {"stale": 1, "stale_because": ["row"]} == delta["data"]

    _with_server(test)


def test_a_new_subscriber_gets_the_state_that_those_before_have() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with _beating(server):
            await asyncio.sleep(2)
        await asyncio.sleep(PROCESS_S + 2)
        async with server.client() as one, server.client() as other:
            one.ask("subscribe", channel="account", keys=[ACCOUNT])
            other.ask("subscribe", channel="account", keys=[ACCOUNT])
            (first,), (second,) = await _pushed(one, 1), await _pushed(other, 0)

            assert ["chain", "worker"] == first["data"]["stale_because"]
            assert (first["seq"], first["data"]) == (second["seq"], second["data"])

    _with_server(test)
