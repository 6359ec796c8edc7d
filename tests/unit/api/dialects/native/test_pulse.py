"""Heartbeats of ``/v1/ws``: what they say, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from models.heartbeats import ChainBeat, WorkerBeat, chain_key, worker_key
from models.instants import ns_text, rfc3339
from models.money import E18
from models.prices import Mark, encode_mark
from streams.settings import SourceSettings
from streams.settings.flash.flash_settings import FlashSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.api import api_settings
from tests.support.feed import HEAD_TIME_S, FakeFeed, FakeTables, unsupported_body
from tests.support.native import START_MS, NativeServer
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from models.row_bodies import MarkBody
    from streams.settings import Settings
    from tests.support.native import Line
    from tests.support.virtual_loop import VirtualLoop

HEARTBEAT_S = 5.0
FRESH_MS = SourceSettings().silent_after_ms


def with_server(
    test: Callable[[NativeServer, FakeTables], Coroutine[Any, Any, None]],
    made: Callable[[], FakeTables] | None = None,
    settings: Settings | None = None,
) -> None:
    """Run a test in virtual time."""
    settings = api_settings("main", "other") if settings is None else settings

    async def run() -> None:
        tables = FakeTables("main") if made is None else made()
        await test(NativeServer(settings, tables), tables)

    run_in_no_time(run())


async def next_heartbeat(line: Line) -> dict[str, Any]:
    await line.heard()
    (heartbeat,) = await line.heard(HEARTBEAT_S + 0.1)
    return heartbeat


def put_broken(feed: FakeFeed, key: str) -> None:
    feed.rows[key.encode()] = bytes(15) + b"\x01{"
    for on_rows in feed._listeners:
        on_rows([key.encode()])


def mark(received_ms: int) -> MarkBody:
    return encode_mark(Mark(E18, None, None, None, received_ms, received_ms, offset=1))


def test_a_heartbeat_says_how_late_everything_is() -> None:
    async def test(server: NativeServer, tables: FakeTables) -> None:
        tables.marks.put("binance-futures:BTCUSDT", 1, mark(START_MS + 5_000))
        tables.valuations.newest_ms = START_MS
        tables.valuations.lag_records = 3
        async with server.client() as line:
            said = await next_heartbeat(line)

        server_time_ms = int(said.pop("server_time_ns")) // 1_000_000
        lag_ms = said.pop("lag_ms")
        followed = {
            "status": "followed",
            "head": 120,
            "head_time": rfc3339(HEAD_TIME_S * 1000),
            "head_time_ns": ns_text(HEAD_TIME_S * 1000),
            "final": 56,
            "folded_head": 120,
        }
        assert {
            "type": "heartbeat",
            "is_ready": True,
            "stale": {},
            "deployments": {"main": followed, "other": {"status": "unknown"}},
            "sources": {"binance-futures": "live"},
        } == said
        assert START_MS + 5_000 <= server_time_ms <= START_MS + 5_050
        assert lag_ms == server_time_ms - START_MS

    with_server(test)


def test_heartbeats_come_every_five_seconds_whatever_else_is_said() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        beats = 0
        async with server.client() as busy, server.client() as quiet:
            for _second in range(250):
                busy.ask("ping")
                beats += sum(message["type"] == "heartbeat" for message in await busy.heard(1))
            quiet_beats = [message["type"] for message in await quiet.heard()].count("heartbeat")

        assert 49 <= beats <= 50
        assert beats == quiet_beats

    with_server(test)


def test_a_client_that_paused_gets_one_heartbeat_not_those_it_missed() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            await line.heard()
            line.reads = False
            await line.heard(HEARTBEAT_S + 9)
            line.reads = True
            heard = await line.heard(0.1)
            after = await line.heard(HEARTBEAT_S - 0.2)

        assert ["heartbeat"] == [message["type"] for message in heard]
        assert [] == after
        assert line.close_code is None

    with_server(test)


@pytest.mark.parametrize(
    ("age_ms", "state"),
    [(0, "live"), (FRESH_MS, "live"), (FRESH_MS + 1, "stale"), (60_000, "stale"), (60_001, "silent")],
)
def test_a_source_is_live_then_stale_then_silent(age_ms: int, state: str) -> None:
    async def test(server: NativeServer, tables: FakeTables) -> None:
        async with server.client() as line:
            await line.heard()
            heartbeat_ms = START_MS + 5_010
            tables.marks.put("a:BTCUSDT", 1, mark(heartbeat_ms - age_ms))
            tables.marks.put("b:BTCUSDT", 1, mark(heartbeat_ms))
            said = await next_heartbeat(line)

        assert ns_text(heartbeat_ms) == said["server_time_ns"]
        assert {"a": state, "b": "live"} == said["sources"]

    with_server(test)


def test_marks_that_go_on_keep_a_source_live() -> None:
    async def test(server: NativeServer, tables: FakeTables) -> None:
        states = set()
        async with server.client() as line:
            for second in range(100):
                tables.marks.put(f"a:COIN{second % 7}", second, mark(START_MS + 1_000 * second))
                states |= {message["sources"]["a"] for message in await line.heard(1) if "sources" in message}

        assert {"live"} == states

    with_server(test)


def test_a_deployment_that_became_unsupported_is_said_to_be() -> None:
    async def test(server: NativeServer, tables: FakeTables) -> None:
        async with server.client() as line:
            tables.deployments.put("main", 2, unsupported_body())
            said = await next_heartbeat(line)

        main = said["deployments"]["main"]
        assert ("unsupported", 110) == (main["status"], main["unsupported_since"])

    with_server(test)


def test_a_deployment_of_any_venue_is_followed_as_long_as_who_folds_it_speaks() -> None:
    own = api_settings("main")
    deployments = {**own.deployments, "desk": LedgerDeploymentSettings(), "flash": FlashSettings()}
    settings = own.model_copy(update={"deployments": deployments})

    async def test(server: NativeServer, _: FakeTables) -> None:
        partitions = range(settings.topics.partitions)

        def beat(chain_ms: int, workers_ms: int) -> None:
            beats: dict[str, Any] = {
                worker_key(one): WorkerBeat("w", workers_ms, workers_ms, 0, 1) for one in partitions
            }
            for name in ("flash", "main"):
                beats[chain_key(name)] = ChainBeat("i", chain_ms, chain_ms, 7, chain_ms // 1_000)
            for name, one in beats.items():
                server.heartbeats.take(name, one, one.at_ms)

        async with server.client() as line:
            beat(START_MS, START_MS)
            said = [await next_heartbeat(line)]
            beat(START_MS, START_MS + 10_000)
            said += [(await line.heard(HEARTBEAT_S))[-1]]
            beat(START_MS + 15_000, START_MS + 10_000)
            said += [(await line.heard(2 * HEARTBEAT_S))[-1]]

        assert [
            {"desk": "followed", "flash": "followed", "main": "followed"},
            {"desk": "followed", "flash": "stale", "main": "stale"},
            {"desk": "stale", "flash": "stale", "main": "stale"},
        ] == [{name: one["status"] for name, one in heartbeat["deployments"].items()} for heartbeat in said]

    with_server(test, settings=settings)


def test_tables_that_are_still_being_read_are_said_to_be() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            said = await next_heartbeat(line)

        assert not said["is_ready"]

    with_server(test, lambda: FakeTables("main", ready=False))


def test_rows_that_do_not_decode_are_unknown_and_end_no_connection() -> None:
    async def test(server: NativeServer, tables: FakeTables) -> None:
        key = "main:0x" + "ab" * 20
        async with server.client() as line:
            line.ask("subscribe", channel="account", keys=[key])
            line.ask("subscribe", channel="totals", keys=["main"])
            await line.heard()
            put_broken(tables.deployments, "main")
            put_broken(tables.subtotals, f"hedger:main:0x{'b' * 40}:0")
            put_broken(tables.valuations, key)
            heard = await line.heard(HEARTBEAT_S + 0.1)

        data = {message["sub"]: message["data"] for message in heard if message["type"] == "delta"}
        assert {1: "unsupported", 2: "unreadable"} == {sub: patch["status"] for sub, patch in data.items()}
        assert {"status": "unknown"} == heard[-1]["deployments"]["main"]
        assert line.close_code is None

    with_server(test)


def test_connections_share_a_heartbeat_that_is_encoded_once() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as one, server.client() as other:
            await one.heard()
            await other.heard()
            assert await one.heard(HEARTBEAT_S + 0.1) == await other.heard()

    with_server(test)


def test_a_connection_that_wants_nothing_is_closed_after_five_minutes_and_one_that_asks_is_not() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as idle, server.client() as asking, server.client() as watching:
            watching.ask("subscribe", channel="totals", keys=["main"])
            for _minute in range(5):
                asking.ask("ping")
                await idle.heard(59)
            assert [None] * 3 == [line.close_code for line in (idle, asking, watching)]
            await idle.heard(11)
            assert [4410, None, None] == [line.close_code for line in (idle, asking, watching)]
            await idle.heard(300)
            assert [4410, 4410, None] == [line.close_code for line in (idle, asking, watching)]

    with_server(test)


def test_a_connection_lives_a_day_and_is_then_told_to_come_back() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            line.ask("subscribe", channel="totals", keys=["main"])
            # Of a day with 17,000 heartbeats an hour is lived through.
            loop = cast("VirtualLoop", asyncio.get_running_loop())
            loop.pass_by(86_400 * 0.8 - 1_810)
            await line.heard(1_800)
            assert line.close_code is None
            loop.pass_by(86_400 * 0.2 - 1_800)
            (last,) = (await line.heard(1_830))[-1:]

        assert ("goodbye", "rebalance") == (last["type"], last["reason"])
        assert 0 <= last["reconnect_in_ms"] < 5_000
        assert 1012 == line.close_code

    with_server(test)
