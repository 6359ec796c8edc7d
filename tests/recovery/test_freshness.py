"""Each process of the stack is stopped in turn: every surface says so within its bound, and says when it is over.

The bounds are those of docs/freshness.md, made smaller by settings, so that it takes a minute and not five.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from rich.console import Console

from models.freshness import SETTLE_MS
from tests.support.eventually import eventually
from tests.support.stack import Stack, stack
from tidemark.plan import DEMO
from tidemark.top import show_once
from tidemark_client import patched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROCESS_S, BROKER_S = 3.0, 6.0
# A look is made twice a second, a heartbeat of the api sent every five, a heartbeat of a process every one.
NOTICED_S = 7.0
SETTLED_S = SETTLE_MS / 1_000
STOPS = {
    "worker": ("worker:", PROCESS_S),
    "chain": (f"chain:{DEMO}", PROCESS_S),
    "prices": (f"prices:{DEMO}", PROCESS_S),
    "broker": ("broker", BROKER_S),
}


class Watcher:
    """Sockets that stay open the whole time, and what they said last."""

    def __init__(self) -> None:
        self.heartbeat: dict[str, Any] = {}
        self.account: dict[str, Any] = {}
        self.timestamps: list[int] = []

    async def native(self, session: aiohttp.ClientSession, keys: list[str], after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with session.ws_connect("/v1/ws", protocols=["tidemark.v1.json"]) as socket:
            if keys:
                await socket.send_json({"op": "subscribe", "id": 1, "channel": "account", "keys": keys})
            async for frame in socket:
                for message in json.loads(frame.data):
                    match message["type"]:
                        case "heartbeat":
                            self.heartbeat = message
                        case "snapshot":
                            self.account = message["data"]
                        case "delta":
                            self.account = patched(self.account, message["data"])
                        case _:
                            pass

    async def hears(self, stale: str, within_s: float) -> None:
        """Wait until a heartbeat of the server names what is stale."""
        await eventually(lambda: any(part.startswith(stale) for part in self.heartbeat.get("stale", ())), within_s)

    async def legacy(self, session: aiohttp.ClientSession, address: str) -> None:
        async with session.ws_connect("/upnl-ws") as socket:
            await socket.send_str(address)
            async for frame in socket:
                self.timestamps.append(json.loads(frame.data)["timestamp"])


async def _get(session: aiohttp.ClientSession, path: str) -> tuple[int, dict[str, Any]]:
    async with session.get(path) as response:
        return response.status, await response.json()


async def _is_fresh(session: aiohttp.ClientSession, key: str) -> bool:
    (code, _), (_, status) = await _get(session, "/readyz"), await _get(session, "/v1/status")
    _, account = await _get(session, f"/v1/accounts/{key}")
    return code == 200 and status["stale"] == {} and account["status"] == "valued" and "stale_because" not in account


async def _top(url: str) -> str:
    out = io.StringIO()
    await show_once(Console(file=out, width=200), url, "notional", None)
    return out.getvalue()


@asynccontextmanager
async def _watching(session: aiohttp.ClientSession, key: str) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    tasks = [
        # Each hears the server's heartbeat every five seconds: among them there is one every second.
        *(asyncio.create_task(watcher.native(session, [], after_s)) for after_s in range(1, 5)),
        asyncio.create_task(watcher.native(session, [key], 0)),
        asyncio.create_task(watcher.legacy(session, key.partition(":")[2])),
    ]
    try:
        yield watcher
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _an_account(session: aiohttp.ClientSession) -> str:
    found: list[str] = []

    async def is_there() -> bool:
        code, page = await _get(session, "/v1/accounts?status=valued&limit=100")
        # One with many positions does not close them all while this test goes on.
        with_most = sorted(page.get("items", ()), key=lambda one: one["open_positions"], reverse=True)
        found[:] = [one["account"] for one in with_most if one["open_positions"]]
        return code == 200 and bool(found) and await _is_fresh(session, found[0])

    await eventually(is_there, 40)
    return found[0]


@pytest.mark.timeout(420)
async def test_whatever_is_stopped_every_surface_says_so_within_its_bound_and_says_when_it_is_over(
    tmp_path: Path,
) -> None:
    bounds = {"process_s": PROCESS_S, "broker_s": BROKER_S}
    async with stack(tmp_path, freshness=bounds) as running, aiohttp.ClientSession(running.url) as session:
        await eventually(lambda: _answers(session), 30)
        key = await _an_account(session)
        async with _watching(session, key) as watcher:
            await eventually(lambda: bool(watcher.timestamps and watcher.account))
            for name, (stale, bound_s) in STOPS.items():
                began_s = time.time()
                running.pause(name)
                try:
                    await watcher.hears(stale, bound_s + NOTICED_S)
                    assert time.time() - began_s < bound_s + NOTICED_S
                    await _expect_stale(running, session, watcher, stale=stale, key=key, began_s=began_s)
                finally:
                    running.wake(name)
                await _expect_fresh(running, session, watcher, key)


async def _answers(session: aiohttp.ClientSession) -> bool:
    try:
        await _get(session, "/healthz")
    except aiohttp.ClientError:
        return False
    return True


async def _expect_stale(
    running: Stack, session: aiohttp.ClientSession, watcher: Watcher, *, stale: str, key: str, began_s: float
) -> None:
    """Every surface says what is stale, and none dates anything later than when it stopped."""
    cause = stale.partition(":")[0]
    assert watcher.heartbeat["lag_ms"] > 0
    (code, ready), (_, status) = await _get(session, "/readyz"), await _get(session, "/v1/status")
    assert 503 == code
    assert any(reason.startswith(stale) for reason in ready["reasons"])
    assert any(name.startswith(stale) for name in status["stale"])
    assert status["lag_ms"] > 0
    _, account = await _get(session, f"/v1/accounts/{key}")
    assert cause in account["stale_because"]
    _, totals = await _get(session, "/v1/totals")
    assert cause in totals["items"][0]["stale_because"]
    assert "stale: no word of" in await _top(running.url)
    # What is pushed may be some ms later than what is asked for.
    await eventually(lambda: cause in watcher.account.get("stale_because", ()), NOTICED_S)
    assert watcher.account["stale"] > 0
    if cause != "prices":
        assert watcher.account["stale"] == watcher.account["open_positions"] - watcher.account["unpriced"]
    seen = len(watcher.timestamps)
    await eventually(lambda: len(watcher.timestamps) > seen)
    # Within a second of rounding.
    assert all(timestamp <= began_s + 1 for timestamp in watcher.timestamps[seen:])


async def _expect_fresh(running: Stack, session: aiohttp.ClientSession, watcher: Watcher, key: str) -> None:
    """It is over, and every surface says so."""
    await eventually(lambda: watcher.heartbeat["stale"] == {}, SETTLED_S + NOTICED_S)
    await eventually(lambda: "stale_because" not in watcher.account, NOTICED_S)
    await eventually(lambda: _is_fresh(session, key), NOTICED_S)
    assert "● live" in await _top(running.url)
