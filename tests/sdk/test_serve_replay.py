"""A frontend of the SYMMIO SDK and the published client, unchanged, over a replay of the recorded chain."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import VALUATIONS
from models.instants import rfc3339
from models.money import parse_e18
from models.prices import decode_tick
from streams.kafka.topics import PRICE_TICKS
from streams.replay.bounded_log import LogRecord
from streams.settings.symmio.whitelist import WhitelistSettings
from streams.settings.venues import engine_deployments
from tests.sdk.browser import install, page
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import free_port
from tests.support.replaying import captured, serve_replay
from tests.support.solver import MULTI_ACCOUNT
from tests.support.told_kafka import lately, told_kafka
from tests.support.told_log import START_MS, Story, tell
from tidemark_client import Changed, Client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from streams.settings import Settings
    from tests.sdk.browser import Page

WALLET = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
_FIGURES = ("upnl", "notional", "available_balance")
_INSTANTS = 4
# Three seconds at a hundred times the speed.
_REPLAYED_MS = 300_000


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


def is_told(shown: dict[str, Any]) -> bool:
    """Whether a page shows what a frame said, and not what it begins with."""
    return isinstance(shown["upnl"], str)


def figures(frame: dict[str, Any]) -> Sequence[int]:
    return [parse_e18(frame[name]) for name in _FIGURES]


def of_row(body: Mapping[str, Any]) -> Sequence[int]:
    return [int(body[name]) for name in _FIGURES]


def with_whitelist(settings: Settings, directory: Path, *accounts: str) -> Settings:
    """Whose accounts are served stands in a file, as it is now, and on a topic, as it was then."""
    file = directory / "whitelist"
    file.write_text("\n".join((WALLET, *accounts)))
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
                return is_told(frame) and figures(frame) == of_row(body)

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


async def test_at_a_hundred_times_the_speed_over_kafka_every_frame_has_figures_of_the_original_time(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    install()
    story = lately()
    account, _ = moments(story)
    key, began_ms = f"{DEPLOYMENT}:{account}", story.records[len(story.records) // 3].time_ms
    at_times = figures_at_times(story, key, began_ms, began_ms + _REPLAYED_MS)
    assert len(at_times) > _INSTANTS
    own, port = await told_kafka(story, settings), free_port()
    heard: list[Sequence[int]] = []
    # What is put onto the topic of the whitelist now, was not on it then, since a broker says when it came.
    listed, until = with_whitelist(own, tmp_path, account), rfc3339(began_ms + _REPLAYED_MS)
    async with (
        serve_replay(listed, began_ms, port, "--to", until, "--speed", "100") as replay,
        Client(f"ws://127.0.0.1:{port}/v1/ws") as client,
        page() as frontend,
    ):
        await replay.says("pause")
        client.subscribe("account", [key], interval_ms=0)
        following = asyncio.create_task(follow(client, heard.append))
        await shows_account(frontend, port, account)
        await frontend.shows("upnl", is_told, timeout_s=60)
        await eventually(lambda: bool(heard), 60)
        await replay.says("go")
        await replay.hears("at ", until=", the end of the window")
        await eventually(lambda: heard[-1] == at_times[-1], 60)
        await frontend.shows("upnl", lambda one: is_told(one) and figures(one) == at_times[-1], timeout_s=60)
        following.cancel()
        await asyncio.wait([following])
        shown = [figures(json.loads(one["data"])) for one in frontend.saw("frame", name="upnl")]
    for seen in (heard, shown):
        assert are_in_order(seen, at_times)
        assert len({tuple(one) for one in seen}) > 1


def figures_at_times(story: Story, key: str, since_ms: int, until_ms: int) -> list[Sequence[int]]:
    """The figures of an account between two instants, after each record of the log, by an engine of its own."""
    engine = Engine(engine_deployments(story.settings.deployments))
    found: list[Sequence[int]] = []
    for one in story.records:
        if one.time_ms > until_ms:
            break
        if one.time_ms > since_ms and not found:
            found.append(of_row(valued(engine, key)))
        if one.topic.endswith(PRICE_TICKS):
            engine.tick(decode_tick(one.value or b""), one.offset)
        else:
            engine.raw_value(DEPLOYMENT, one.value or b"", one.offset, one.time_ms)
        engine.value(one.time_ms)
        if found and found[-1] != of_row(valued(engine, key)):
            found.append(of_row(valued(engine, key)))
    return found


def valued(engine: Engine, key: str) -> Mapping[str, Any]:
    row = engine.tables.read(VALUATIONS, key.encode())
    assert row is not None
    return decode_row(row).body


def are_in_order(seen: Sequence[Sequence[int]], at_times: Sequence[Sequence[int]]) -> bool:
    """Whether what was seen is some of the figures, each at or after the one before."""
    left = iter(at_times)
    return all(one in left for one in (now for before, now in pairwise([[], *seen]) if now != before))


async def shows_account(frontend: Page, port: int, account: str) -> None:
    await frontend.do(
        "show", base=f"http://solver.example:{port}/", sockets=f"ws://solver.example:{port}/ws/", wallet=WALLET,
        multiAccount=MULTI_ACCOUNT, account=account, accounts=[account], market=SYMBOL,
    )  # fmt: skip


async def follow(client: Client, on_figures: Callable[[Sequence[int]], None] = lambda _: None) -> None:
    async for event in client.events():
        if isinstance(event, Changed) and isinstance(event.held.data.get("upnl"), str):
            on_figures(figures(event.held.data))


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
