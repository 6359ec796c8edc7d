"""The real app on a loopback port that stays the same over restarts, and a browser that looks at it."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from playwright.async_api import async_playwright, expect

from api.app import create_app
from api.dialects.symmio.funding_reader import FundingRecords
from api.dialects.symmio.live import Heard
from api.dialects.symmio.owner_answers import OwnerAnswers
from streams.replicas.heartbeat_reader import Heartbeats
from tests.browser.scene import Scene, now_ms, scene_settings
from tests.support.api import FakeInterest, symmio_that_hears
from tests.support.clocks import WallClock
from tests.support.history import KeptHistory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from api.tables.explanations import Explanations
    from streams.settings import Settings

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Site:
    """The app over a scene's tables."""

    def __init__(self, scene: Scene, settings: Settings) -> None:
        self.scene = scene
        self._settings = settings
        self.interest = FakeInterest()
        self.heartbeats = Heartbeats()
        self.charged = FundingRecords()
        self.history = KeptHistory(now_ms)
        self.explanations: Explanations | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self.interest = FakeInterest()
        app = create_app(
            self._settings,
            self.scene.tables.feeds,
            self.interest,
            heartbeats=self.heartbeats,
            history=self.history,
            explanations=self.explanations,
            clock=WallClock(now_ms),
            find_dialect=symmio_that_hears(Heard(frozenset(), lambda: True, OwnerAnswers(), self.charged)),
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for feed in self.scene.tables.feeds.by_table().values():
            feed._listeners.clear()  # type: ignore[attr-defined]

    async def rest(self, path: str) -> dict[str, Any]:
        """What REST answers."""
        async with aiohttp.ClientSession(self.url) as session, session.get(path) as response:
            assert 200 == response.status, await response.text()
            said: dict[str, Any] = await response.json()
            return said


@asynccontextmanager
async def site_of(scene: Scene, settings: Settings | None = None) -> AsyncIterator[Site]:
    site = Site(scene, settings or scene_settings())
    await site.start()
    try:
        yield site
    finally:
        await site.stop()


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    assert found is not None, f"expected one of {', '.join(_BROWSERS)} on PATH: run sh .ci/browser, which installs it"
    # Machines that run everything at once are slow: waiting longer costs nothing where nothing is wrong.
    expect.set_options(timeout=60_000)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield launched
        finally:
            await launched.close()
