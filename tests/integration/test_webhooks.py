"""``tidemark webhooks`` beside a real broker: what workers write of alarms is posted, once the process has begun."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from models.alerts import LIQUIDATABLE, QUIET, with_transitions
from models.codec import encode_row
from models.engine.tables import ALERTS
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.settings import TopicSettings
from streams.settings.webhooks import WebhookSettings
from tests.support.eventually import eventually
from tests.support.pipeline import producer
from tests.support.stack import ROOT, environment_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.settings import Settings

ACCOUNT = "d:0x" + "a" * 40


class Alarms:
    """An account whose alarm comes and goes, as its worker would write it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._body: dict[str, Any] | None = None

    async def turn(self, alarms: int) -> None:
        told = {"block": 1, "status": "valued", "stale": 0, "unpriced": 0, "distance_bps": None}
        figures = dict.fromkeys(("upnl", "notional", "available_balance"), "0")
        made = {"account_order": [1, 1], "position": [1, 1], "positions": ()}
        shown = {"as_of_ms": 1_800_000_000_000, **told, **figures, **made}
        self._body = with_transitions(ACCOUNT.encode(), self._body, alarms, shown, {})
        row = encode_row(1, self._body["count"], self._body)
        async with producer(self._settings) as sender:
            await sender.send_and_wait(changelog_name(self._settings, ALERTS), row, key=ACCOUNT.encode())


class Desk:
    """A receiver that refuses the first message that it is sent of each id."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.heard: list[str] = []
        self.url = ""

    async def takes(self, request: web.Request) -> web.Response:
        message_id = request.headers["webhook-id"]
        if message_id not in self.refused:
            self.refused.add(message_id)
            return web.Response(status=503)
        self.heard.append(json.loads(await request.read())["type"])
        return web.Response(status=204)


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    one, application = Desk(), web.Application()
    application.router.add_post("/", one.takes)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield one
    finally:
        await runner.cleanup()


@asynccontextmanager
async def webhooks(settings: Settings, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tidemark.cli", "webhooks", "desk"]
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env={**os.environ, **environment_of(settings)}, stderr=said
        )
    try:
        await eventually(lambda: "webhook works" in log.read_text(), 60)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_what_comes_after_the_first_start_is_posted_and_a_kill_loses_and_repeats_nothing(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with desk() as receiver:
        secret = "whsec_" + base64.b64encode(bytes(32)).decode()
        webhook = WebhookSettings.model_validate({"url": receiver.url, "secret": secret, "allow_private": True})
        own = settings(topics=TopicSettings(partitions=1), webhooks={"desk": webhook})
        await create_topics(own.bootstrap, registry(own))
        alarms = Alarms(own)
        await alarms.turn(LIQUIDATABLE)

        async with webhooks(own, tmp_path / "first.log"):
            await alarms.turn(QUIET)
            await eventually(lambda: receiver.heard == ["account.recovered"], 60)
            await alarms.turn(LIQUIDATABLE)
            await eventually(lambda: len(receiver.heard) == 2, 60)
        # What is said while nothing runs is posted by the next one.
        await alarms.turn(QUIET)
        async with webhooks(own, tmp_path / "second.log"):
            await eventually(lambda: "account.recovered" in receiver.heard[2:], 60)

        # A kill may come before the second answer is on record: then that one is sent again, under the same id.
        assert ["account.recovered", "account.liquidatable"] == receiver.heard[:2]
        assert 3 == len(receiver.refused)
        assert secret.removeprefix("whsec_") not in (tmp_path / "first.log").read_text()
