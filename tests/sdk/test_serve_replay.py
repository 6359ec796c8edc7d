"""A frontend of the SYMMIO SDK and the published client, unchanged, over a replay of the recorded chain."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from models.instants import rfc3339
from models.money import parse_e18
from streams.replay.bounded_log import LogRecord
from streams.settings.symmio.whitelist import WhitelistSettings
from tests.sdk.browser import install, page
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import free_port
from tests.support.replaying import captured, serve_replay
from tests.support.solver import MULTI_ACCOUNT
from tests.support.told_log import START_MS, Story, tell
from tidemark_client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.settings import Settings
    from tests.sdk.browser import Page

WALLET = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
_FIGURES = ("upnl", "notional", "available_balance")
_INSTANTS = 4


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


def moments(story: Story) -> tuple[str, list[tuple[int, dict[str, Any]]]]:
    """The account whose uPnL changed most often, and the rows that were shown of it then, each another uPnL."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for (at_ms, key), body in sorted(story.shown.items()):
        rows = found.setdefault(key.decode().partition(":")[2], [])
        if body["status"] == "valued" and body["upnl"] not in {"0", rows[-1][1]["upnl"] if rows else "0"}:
            rows.append((at_ms, body))
    account, rows = max(found.items(), key=lambda item: len(item[1]))
    apart = len(rows) // _INSTANTS
    return account, rows[:: max(1, apart)][:_INSTANTS]


def figures(frame: dict[str, Any]) -> Sequence[int]:
    return [parse_e18(frame[name]) for name in _FIGURES]


def of_row(body: dict[str, Any]) -> Sequence[int]:
    return [int(body[name]) for name in _FIGURES]


def with_whitelist(settings: Settings, directory: Path) -> Settings:
    """Whose accounts are served stands in a file, as it is now, and on a topic, as it was then."""
    file = directory / "whitelist"
    file.write_text(f"{WALLET}\n")
    whitelist = WhitelistSettings.model_validate({"mode": "list", "file": str(file)})
    changes = {"whitelist": whitelist, "multi_accounts": (MULTI_ACCOUNT,)}
    deployments = {name: one.model_copy(update=changes) for name, one in settings.deployments.items()}
    return settings.model_copy(update={"deployments": deployments})


async def test_a_frontend_and_a_client_see_the_figures_of_the_original_time_and_that_it_is_a_replay(
    story: Story, tmp_path: Path
) -> None:
    install()
    account, shown = moments(story)
    assert len(shown) == _INSTANTS
    port, key = free_port(), f"{DEPLOYMENT}:{account}"
    listed = LogRecord(START_MS, "p-whitelist", 0, 0, key.encode(), b'{"by":"owner"}')
    log = await captured(story, tmp_path / "capture", listed)
    async with (
        serve_replay(
            with_whitelist(story.settings, tmp_path), shown[0][0], port, "--step", "--log", str(log)
        ) as replay,
        Client(f"ws://127.0.0.1:{port}/v1/ws") as client,
        page() as frontend,
    ):
        client.subscribe("account", [key], interval_ms=0)
        following = asyncio.create_task(follow(client))
        await shows_account(frontend, port, account)
        for at_ms, body in shown:
            await replay.stands_at(at_ms)
            since = len(frontend.events)

            def is_it(frame: Any, body: dict[str, Any] = body) -> bool:  # noqa: ANN401 - what a page shows
                return isinstance(frame["upnl"], str) and figures(frame) == of_row(body)

            await frontend.shows("upnl", is_it, since, timeout_s=60)
            frame = json.loads(frontend.saw("frame", since, name="upnl")[-1]["data"])
            assert body["as_of_ms"] // 1_000 == frame["timestamp"]
            assert body["locked"] == [str(parse_e18(frame[name])) for name in ("cva", "lf", "party_a_mm", "party_b_mm")]

            def is_held(body: dict[str, Any] = body) -> bool:
                held = client.held("account", key)
                return held is not None and figures(held.data) == of_row(body)

            await eventually(is_held, 60)
            await says_replay(port, at_ms)
        # Back again: the client comes back as after a restart.
        at_ms, body = shown[1]
        await replay.stands_at(at_ms)
        await eventually(lambda: is_held(body), 60)
        await says_replay(port, at_ms)
        following.cancel()
        await asyncio.wait([following])


async def shows_account(frontend: Page, port: int, account: str) -> None:
    await frontend.do(
        "show", base=f"http://solver.example:{port}/", sockets=f"ws://solver.example:{port}/ws/", wallet=WALLET,
        multiAccount=MULTI_ACCOUNT, account=account, accounts=[account], market=SYMBOL,
    )  # fmt: skip


async def follow(client: Client) -> None:
    async for _ in client.events():
        pass


async def says_replay(port: int, at_ms: int) -> None:
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/v1/status") as response,
        session.get("/readyz") as ready,
        session.ws_connect("/ws/upnl-ws") as socket,
        session.post("/ledger/events") as refused,
    ):
        status = await response.json()
        assert rfc3339(at_ms) == status["replay_of"] == status["server_time"]
        for one in (response, ready, refused, socket._response):
            assert rfc3339(at_ms) == one.headers["Tidemark-Replay-Of"]
        # Nothing claims to be live.
        assert {"unknown"} == {part["state"] for part in status["parts"].values()}
        assert 200 == ready.status
