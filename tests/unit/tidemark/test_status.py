from __future__ import annotations

import asyncio
import io
import os
import signal
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from rich.console import Console

from streams.settings import ApiSettings, Settings, WorkerSettings
from tests.support.eventually import eventually
from tests.support.paused_asker import WAIT_S, expect_cancelled
from tidemark.child import Child
from tidemark.display import LiveDisplay, PlainDisplay, live_if_terminal, urls_of
from tidemark.ports import any_free_port
from tidemark.status import Status, StatusReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest
    from aiohttp.test_utils import TestServer

STATUS = {
    "ready": True,
    "accounts": 187,
    "lag_records": {"a": 3, "b": 4},
    "oldest_mark_age_ms": 1500,
    "deployments": {"arbitrum": {"unsupported_since": 7}, "base": {"unsupported_since": None}},
}
METRICS = """\
# TYPE tidemark_price_ticks counter
tidemark_ticks_folded_total{{outcome="newer"}} {ticks}
# TYPE tidemark_api_connections gauge
tidemark_api_connections{{endpoint="upnl-ws"}} 2.0
"""


async def test_the_status_is_what_the_processes_say_and_counters_become_rates(
    aiohttp_server: Callable[[web.Application], Awaitable[TestServer]],
) -> None:
    ticks = 100

    async def metrics(_request: web.Request) -> web.Response:
        nonlocal ticks
        ticks += 50
        return web.Response(text=METRICS.format(ticks=ticks))

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def status_of_worker(_request: web.Request) -> web.Response:
        return web.json_response(STATUS)

    app = web.Application()
    app.router.add_get("/status", status_of_worker)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/readyz", ready)
    server = await aiohttp_server(app)
    port = server.port or 0
    settings = Settings(worker=WorkerSettings(admin_port=port), api=ApiSettings(port=port, admin_port=port))
    reader = StatusReader(settings)
    async with aiohttp.ClientSession() as session:
        await reader.read(session)
        status = await reader.read(session)
    assert (True, True, 187, 7, 1.5, 2) == (
        status.worker_ready,
        status.api_ready,
        status.accounts,
        status.lag_records,
        status.oldest_mark_age_s,
        status.sockets,
    )
    assert ("arbitrum",) == status.unsupported
    assert {"ticks"} == set(status.per_s)
    assert status.per_s["ticks"] > 0


async def test_what_does_not_answer_is_unknown_and_not_zero() -> None:
    port = any_free_port("127.0.0.1")
    settings = Settings(worker=WorkerSettings(admin_port=port), api=ApiSettings(port=port, admin_port=port))
    async with aiohttp.ClientSession() as session:
        assert Status() == await StatusReader(settings).read(session)


def test_without_a_terminal_the_addresses_are_printed_once_in_plain_lines() -> None:
    console = Console(file=io.StringIO(), width=300)
    display = PlainDisplay(console, urls_of(Settings()))
    with live_if_terminal(console) as live:
        assert live is None
        for _ in range(3):
            display.show(Status(api_ready=True, accounts=12), [], "127.0.0.1:9092")
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert 1 == said.count("ws://127.0.0.1:8080/upnl-ws")
    assert "accounts 12, rates not known yet" in said


async def test_without_a_terminal_a_process_that_was_killed_and_started_again_between_two_looks_is_said_once(
    tmp_path: Path,
) -> None:
    console = Console(file=io.StringIO(), width=300)
    display = PlainDisplay(console, urls_of(Settings()))
    child = Child("worker", ["sleep", "600"], tmp_path / "worker.log", {"PATH": os.environ["PATH"]})
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.pid is not None)
    display.show(Status(), [child], "127.0.0.1:9092")
    os.kill(child.pid or 0, signal.SIGKILL)
    await eventually(lambda: child.restarts == 1 and child.pid is not None)
    for _ in range(3):
        display.show(Status(), [child], "127.0.0.1:9092")
    keeping.cancel()
    await child.stop(timeout_s=1)

    assert isinstance(console.file, io.StringIO)
    said = [line for line in console.file.getvalue().splitlines() if line.startswith("worker")]
    assert ["worker: running, started again"] == said


def test_without_a_terminal_a_broker_that_ended_is_said_once_and_so_is_its_start() -> None:
    console = Console(file=io.StringIO(), width=300)
    display = PlainDisplay(console, urls_of(Settings()))
    for broker in ("127.0.0.1:9092", "ended, starting again", "127.0.0.1:9092, started again"):
        for _ in range(2):
            display.show(Status(), [], broker)

    assert isinstance(console.file, io.StringIO)
    said = [line for line in console.file.getvalue().splitlines() if line.startswith("broker")]
    assert ["broker: ended, starting again", "broker: 127.0.0.1:9092, started again"] == said


def test_on_a_terminal_one_table_holds_everything() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with live_if_terminal(console) as live:
        assert live is not None
        LiveDisplay(live, urls_of(Settings())).show(Status(api_ready=True, accounts=12), [], "127.0.0.1:9092")
    assert isinstance(console.file, io.StringIO)
    assert "ws://127.0.0.1:8080/upnl-ws" in console.file.getvalue()


async def test_who_is_cancelled_as_the_wait_for_a_process_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.status._WITHIN_S", WAIT_S)
    async with aiohttp.ClientSession() as session:

        async def ask(url: str) -> Status:
            port = int(url.rpartition(":")[2])
            return await StatusReader(Settings(worker=WorkerSettings(admin_port=port))).read(session)

        await expect_cancelled(ask)
