"""The browser, and the app over a market that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from models.symmio.funding_records import encode_record, record_key
from tests.browser.pages import ACCOUNTS
from tests.browser.scene import DEPLOYMENT, Scene, funding_records
from tests.browser.site import Site, browser, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

CHARGED = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as launched:
        yield launched


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    scene = Scene()
    scene.fill(ACCOUNTS)
    async with site_of(scene) as started:
        for record in funding_records(scene.key(CHARGED).partition(":")[2]):
            started.charged.take(record_key(DEPLOYMENT, record), encode_record(record))
        yield started
