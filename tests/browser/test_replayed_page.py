"""The page over a replay: it says that the past is shown, on each of its views."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.async_api import expect

from streams.settings import load_settings
from tests.browser.pages import opened
from tests.support.pipeline import free_port
from tests.support.replaying import EXAMPLE, serve_replay

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Within the capture of tests/data/replay.
AT_MS = 1_745_001_068_200
AT = "2025-04-18T18:31:08.200Z"


class Replayed(NamedTuple):
    url: str


async def test_a_page_over_a_replay_says_of_when_it_is_and_that_nothing_is_of_now(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(EXAMPLE / "tidemark.toml"))
    settings, port = load_settings(), free_port()
    async with (
        serve_replay(settings, AT_MS, port, "--step", "--log", str(EXAMPLE / "log")),
        opened(chromium, Replayed(f"http://127.0.0.1:{port}"), state=re.compile(f"replay of {AT}")) as page,
    ):
        await expect(page.get_by_text("This is a replay of the past. Nothing that is shown is of now.")).to_be_visible()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "replay")
