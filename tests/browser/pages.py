"""Pages in headless Chromium, and what is read out of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from playwright.async_api import expect

from tests.support.feed import last_complete, unpriced_body

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Locator, Page

ACCOUNTS = 120
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
UNPRICED = 17

Scheme = Literal["light", "dark"]


class Served(Protocol):
    """Something that serves the page."""

    @property
    def url(self) -> str:
        """Where, without a path."""


@asynccontextmanager
async def opened(
    chromium: Browser, site: Served, path: str = "/", *, scheme: Scheme = "light", state: str | re.Pattern[str] = "live"
) -> AsyncIterator[Page]:
    """A page that must not say a single error on its console; it is open when it says ``state``."""
    context = await chromium.new_context(
        viewport={"width": 1360, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        await page.goto(f"{site.url}{path}")
        await expect(page.locator("#connection")).to_have_text(state)
        yield page
    finally:
        await context.close()
    assert [] == said


async def exact(locator: Locator) -> str | None:
    return await locator.get_attribute("data-exact")


async def figures_of_rows(page: Page) -> dict[str, tuple[str, ...]]:
    """Account → exact uPnL, notional, equity and available balance, of the rows that exist."""
    rows: list[tuple[str, list[str]]] = await page.locator("tbody tr[data-account]").evaluate_all(
        "(rows) => rows.map((row) => [row.dataset.account, "
        "Array.from(row.querySelectorAll('.money'), (money) => money.dataset.exact)])"
    )
    return {account: tuple(figures) for account, figures in rows if account}


def first_account(items: list[dict[str, Any]]) -> str:
    return str(items[0]["account"])


def unpriced() -> dict[str, Any]:
    """What a row says of figures while a price is missing, and of its positions as before."""
    body = unpriced_body(last_complete=last_complete())
    kept = {"positions", "block", "time_s", "as_of_ms", "owner"}
    return {name: value for name, value in body.items() if name not in kept}
