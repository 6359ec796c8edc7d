"""What was: an account's course, fills and closed positions, and why it moved, in headless Chromium."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect

from models.served import totals_key
from tests.browser.pages import SCREENSHOTS, first_account, opened
from tests.browser.scene import DEPLOYMENT, now_ms
from tests.support.bookings import charged, closed, fee
from tests.support.bookings import opened as opened_at
from tests.support.explaining import EXPLAINED, ON_ITS_WAY, explaining

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator

    from tests.browser.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_charts_of_a_server_that_was_restarted_begin_with_the_past(chromium: Browser, site: Site) -> None:
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    for minutes_ago, upnl in ((20, -9_000_000), (10, 7_000_000), (5, -8_000_000)):
        for series in (account, totals_key(DEPLOYMENT).decode()):
            site.history.show(series, now_ms() - minutes_ago * 60_000, upnl, 40_000_000)
    await site.stop()
    await site.start()

    async with opened(chromium, site) as page:
        totals = page.get_by_role("img", name=re.compile("uPnL of all accounts, last 15 min.*lowest .9M, highest 7M"))
        await expect(totals).to_have_count(1)
        await expect(page.get_by_role("img", name=re.compile("Notional of all accounts.*highest 40M"))).to_have_count(1)
    async with opened(chromium, site, f"/#/accounts/{account}") as page:
        await page.get_by_role("button", name="Notional").click()
        course = page.get_by_role("img", name=re.compile("Notional, 6 hours.*newest 40M"))
        await expect(course).to_have_count(1)
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Download CSV").click()
        saved = Path(await (await saving.value).path())
        rows = (await asyncio.to_thread(saved.read_text)).splitlines()
        assert "at,at_ns,upnl_open" == rows[0][:18]
        assert 3 == len(rows) - 1
        await expect(page.get_by_role("img", name=re.compile("last 15 min.*lowest .9M, highest 7M"))).to_have_count(1)


def lived(site: Site, number: int) -> str:
    """An account that an hour ago opened a position, paid funding, closed it in two parts, and has a course."""
    account, at_ms = site.scene.key(number), now_ms() - 3_600_000
    for minutes, equity in ((0, 1_000), (20, 1_400), (40, 900), (59, 1_200)):
        site.history.show(account, at_ms + minutes * 60_000, equity - 500, 40_000, equity)
    site.history.book(
        account,
        fee(-3, at_ms=at_ms + 60_000, block=1),
        opened_at(at_ms=at_ms + 120_000, block=2),
        charged(at_ms=at_ms + 1_200_000, block=3),
        closed(at_ms=at_ms + 1_800_000, block=4, amount=4, left=6, price=106),
        closed(at_ms=at_ms + 2_400_000, block=5, amount=6, price=111),
    )
    return account


async def texts(rows: Locator) -> list[list[str]]:
    """What the cells of rows say, without shapes."""
    found = await rows.evaluate_all("(rows) => rows.map((row) => Array.from(row.cells, (cell) => cell.innerText))")
    return [[cell.translate({ord("▲"): None, ord("▼"): None}).strip() for cell in row] for row in found]


async def test_an_account_shows_what_happened_to_it_as_rest_says_and_its_fills_on_its_course(
    chromium: Browser, site: Site
) -> None:
    account = lived(site, 8)
    said = (await site.rest(f"/v1/accounts/{account}/closed-positions"))["items"][0]
    SCREENSHOTS.mkdir(exist_ok=True)
    async with opened(chromium, site, f"/#/accounts/{account}") as page:
        await expect(page.get_by_text("● fills: 3")).to_be_visible()
        fills = page.get_by_role("table", name="Fills").locator("tbody tr")
        await expect(fills).to_have_count(3)
        assert ["closed long", "closed long", "opened long"] == [row[1] for row in await texts(fills)]
        assert {"ETHUSDT"} == {row[2] for row in await texts(fills)}
        assert [["6", "111", "60"], ["4", "106", "20"], ["10", "100", ""]] == [
            await row.locator(".money").evaluate_all("cells => cells.map((cell) => cell.dataset.exact)")
            for row in await fills.all()
        ]
        await expect(
            page.get_by_role("img", name=re.compile("Equity, 6 hours.*lowest 900, highest 1.4K"))
        ).to_be_visible()
        await page.screenshot(path=SCREENSHOTS / "account-past.png", full_page=True)
        chosen = page.get_by_role("group", name="What happened")
        await chosen.get_by_role("button", name="Closed positions").click()
        row = page.get_by_role("table", name="Closed positions").locator("tbody tr")
        await expect(row).to_have_count(1)
        amounts = await row.locator(".money").evaluate_all("cells => cells.map((cell) => cell.dataset.exact)")
        assert [said[name] for name in ("quantity", "opened_price", "closed_price", "realised", "funding")] == amounts
        await chosen.get_by_role("button", name="Funding").click()
        await expect(page.get_by_role("table", name="Funding", exact=True).locator("tbody tr")).to_contain_text(
            "+1.0000 %"
        )
        await chosen.get_by_role("button", name="Liquidations").click()
        await expect(page.get_by_text("There is nothing.")).to_be_visible()
        await chosen.get_by_role("button", name="Balance").click()
        balance = page.get_by_role("table", name="Balance", exact=True).locator("tbody tr")
        await expect(balance).to_have_count(3)
        await expect(balance.last).to_contain_text("PLATFORM_FEE_OUT")


async def test_a_span_that_is_dragged_over_or_written_is_explained(
    chromium: Browser, site: Site, tmp_path: Path
) -> None:
    await site.stop()
    gate = tmp_path / "gate"
    site.explanations = explaining(ON_ITS_WAY, EXPLAINED, gate=gate)
    await site.start()
    account = lived(site, 8)
    async with opened(chromium, site, f"/#/accounts/{account}") as page:
        panel = page.get_by_role("region", name="Why did it move?")
        await expect(page.get_by_text("● fills: 3")).to_be_visible()
        written = await panel.get_by_label("From").input_value()
        plot = page.get_by_role("region", name="How the account went").locator(".u-over")
        await plot.scroll_into_view_if_needed()
        box = await plot.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await page.mouse.move(box["x"] + box["width"] / 4, middle)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] / 2, middle, steps=5)
        await page.mouse.up()
        await expect(panel.get_by_text("reading the log: 5,000 of 9,000 records")).to_be_visible()
        assert written != await panel.get_by_label("From").input_value()
        await asyncio.to_thread(gate.touch)
        causes = panel.get_by_role("table", name="By cause").locator("tbody tr")
        await expect(causes).to_have_count(3)
        assert [["price", "ETHUSDT"], ["fill", "SOLUSDT"], ["fee", "balance"]] == [
            row[:2] for row in await texts(causes)
        ]
        assert ["-2.5", "0", "-0.000000000000000001"] == await causes.locator(".money").evaluate_all(
            "cells => cells.map((cell) => cell.dataset.exact)"
        )
        await expect(panel.locator("dl .money").first).to_have_attribute("data-exact", "-2.5")
        await expect(panel.get_by_role("table", name="Largest terms").locator("tbody tr")).to_have_count(1)
        await expect(panel.get_by_text("not certain: a price was deleted")).to_be_visible()
        found = await Axe().run(page)
        assert [] == [one["id"] for one in found.response["violations"] if one["impact"] in {"serious", "critical"}]
        await page.screenshot(path=SCREENSHOTS / "account-why.png", full_page=True)
        await page.set_viewport_size({"width": 375, "height": 812})
        assert 375 == await page.evaluate("document.documentElement.scrollWidth")
        await page.screenshot(path=SCREENSHOTS / "account-why-375.png", full_page=True)
        await panel.get_by_label("From").fill("2020-01-01T00:00:00")
        await panel.get_by_label("To").fill("2019-12-31T00:00:00")
        await panel.get_by_label("To").press("Enter")
        await expect(panel.get_by_text("expected a span that begins before it ends")).to_be_visible()
        await expect(causes).to_have_count(0)
