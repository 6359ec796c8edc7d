"""Lists of accounts and their own views, in headless Chromium."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from playwright.async_api import expect

from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_state import Holdings, statement_of
from models.ledger.ledger_valuation import value_account
from models.statements import Event, Statement, encode_statement
from models.subtotals import Subtotals
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.browser.pages import (
    SCREENSHOTS,
    UNPRICED,
    exact,
    figures_of_rows,
    first_account,
    opened,
    unpriced,
)
from tests.browser.scene import SOURCE, Scene, now_ms, scene_settings
from tests.browser.site import site_of
from tests.support.eventually import eventually
from tests.support.ledger import holdings, inputs, order, position, wallet

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.browser.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_ROWS = 60
# A cell of money as a number: its sign is a minus, its shape and groups are for the eye.
TO_NUMBER = {0x2212: "-", ord(","): None, ord("▲"): None, ord("▼"): None}


def ledger_body() -> dict[str, Any]:
    """The row of a ledger's account with one long position, at a mark of now."""
    held = LedgerAccount(applied=(0, -1), version=1, heard=1, holdings=holdings(wallet("1000"), position("0.2", "150")))
    body, _ = value_account(held, 1, inputs({"tBTCUSD": "153.62"}), unsupported=False)
    return {**body, "as_of_ms": now_ms()}


async def test_what_accounts_show_is_what_rest_says_to_the_last_digit(chromium: Browser, site: Site) -> None:
    items = (await site.rest("/v1/accounts?limit=20"))["items"]
    names = ("upnl", "notional", "equity", "available_balance")
    async with opened(chromium, site, "/#/accounts") as page:
        await expect(page.locator("tbody tr[data-account^='main:']").first).to_be_visible()
        shown = await figures_of_rows(page)
        for item in items:
            assert tuple(item[name] for name in names) == shown[item["account"]]
        await page.get_by_role("button", name="All digits").click()
        upnl = page.locator(f"tr[data-account='{first_account(items)}'] .money").first
        text = (await upnl.inner_text()).translate(TO_NUMBER)
        assert Decimal(items[0]["upnl"]) == Decimal(text.strip())


async def test_what_an_account_shows_is_what_rest_says_to_the_last_digit(chromium: Browser, site: Site) -> None:
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    said = await site.rest(f"/v1/accounts/{account}")
    async with opened(chromium, site, f"/#/accounts/{account}") as page:
        await expect(page.locator(".figure")).to_have_attribute("data-exact", said["upnl"])
        assert said["notional"] == await exact(page.locator(".hero .second.money"))
        positions = said["positions"].values()
        rows = page.get_by_role("table", name="Positions").locator("tbody tr")
        await expect(rows).to_have_count(len(positions))
        for number, position in enumerate(positions):
            shown = await rows.nth(number).locator(".money").evaluate_all("cells => cells.map((c) => c.dataset.exact)")
            names = ("quantity", "opened_price", "mark", "upnl", "notional", "liquidation_price")
            assert [position.get(name, "") for name in names] == shown


async def test_an_account_of_a_ledger_shows_the_figures_of_its_venue_and_none_that_only_chains_have(
    chromium: Browser,
) -> None:
    scene, key = Scene(), "desk:u1"
    settings = scene_settings()
    desk = LedgerDeploymentSettings(default_sources=(SOURCE,))
    settings = settings.model_copy(update={"deployments": {**settings.deployments, "desk": desk}})
    scene.tables.follow("desk")
    body, sums = ledger_body(), Subtotals()
    scene.tables.valuations.put(key, 1, body)
    sums.put("desk", None, body)
    for sum_key, total in sums.take_changed(0, set()):
        scene.tables.subtotals.put(sum_key.decode(), 1, total)
    async with site_of(scene, settings) as site, opened(chromium, site, f"/#/accounts/{key}") as page:
        said = await site.rest(f"/v1/accounts/{key}")
        await expect(page.locator(".figure")).to_have_attribute("data-exact", said["upnl"])
        shown = page.locator("dl.figures > div:visible")
        assert ["uPnL after fees of closing", "Equity", "Available before liquidation"] == await shown.locator(
            "dt"
        ).all_inner_texts()
        figures = await shown.locator("dd").evaluate_all("cells => cells.map((cell) => cell.dataset.exact)")
        assert [said["upnl_net"], said["equity"], said["available_balance"]] == figures
        row = page.get_by_role("table", name="Positions").locator("tbody tr")
        await expect(row).to_have_count(1)
        assert "tBTCUSD" == (await row.locator("td").first.inner_text()).strip()
        assert "quote tBTCUSD" == await row.locator("td").first.get_attribute("title")
        for of_chains in ("Locked margin", "Notifications", "Funding of the next epoch"):
            await expect(page.get_by_role("heading", name=of_chains)).to_be_hidden()
        assert "unknown" not in await page.locator("main").inner_text()
        await page.goto(f"{site.url}/#/")
        await page.get_by_text("desk", exact=True).click()
        await expect(page.get_by_role("table", name="Exposure by market").locator("tbody td").first).to_have_text(
            "tBTCUSD"
        )
        await expect(page.get_by_role("heading", name="By hedger")).to_be_hidden()


async def test_an_account_of_a_ledger_shows_its_wallets_and_orders_as_rest_says_them_and_as_they_change(
    chromium: Browser,
) -> None:
    scene, key = Scene(), "desk:u1"
    settings = scene_settings()
    desk = LedgerDeploymentSettings(default_sources=(SOURCE,))
    settings = settings.model_copy(update={"deployments": {**settings.deployments, "desk": desk}})
    scene.tables.follow("desk")

    def show(version: int, held: Holdings) -> None:
        of_account = LedgerAccount(applied=(version, -1), version=version, heard=version, holdings=held)
        body, _ = value_account(of_account, 1, inputs({"tBTCUSD": "153.62"}), unsupported=False)
        scene.tables.valuations.put(key, version, {**body, "as_of_ms": now_ms()})
        stated = Statement((version, -1), statement_of(held), [Event(version, (version, -1), {"kind": "changed"})])
        scene.tables.statements.put(key, version, encode_statement(stated))

    sells = order(7, "-0.5", "0", type_="MARKET")
    show(1, holdings(wallet("1000"), wallet("0.25", "BTC", "exchange"), order(5, "0.123456789", "150"), sells))
    async with site_of(scene, settings) as site, opened(chromium, site, f"/#/accounts/{key}") as page:
        wallets = page.get_by_role("table", name="Wallets").locator("tbody tr")
        await expect(wallets).to_have_count(2)
        said = (await site.rest(f"/v1/accounts/{key}/statement"))["statement"]
        for number, one in enumerate(said["wallets"]):
            texts = [text.strip() for text in await wallets.nth(number).locator("td").all_inner_texts()]
            assert [one["type"], one["currency"]] == texts[:2]
            assert one["balance"] == await exact(wallets.nth(number).locator(".money").first)
        orders = page.get_by_role("table", name="Orders").locator("tbody tr")
        await expect(orders.first).to_contain_text("buy")
        assert ["0.123456789", "0.123456789", "150"] == await orders.first.locator(".money").evaluate_all(
            "cells => cells.map((cell) => cell.dataset.exact)"
        )
        await expect(orders.last).to_contain_text("sell")
        await expect(orders.last).to_contain_text("market")
        show(2, msgspec.structs.replace(holdings(wallet("999.5")), seq=2))
        await expect(wallets).to_have_count(1)
        assert "999.5" == await exact(wallets.first.locator(".money").first)
        await expect(page.get_by_text("No open orders.")).to_be_visible()
        why = "expected record 3, found later ones up to 4"
        show(3, msgspec.structs.replace(holdings(wallet("999.5"), suspect=why), seq=3))
        await expect(page.get_by_text(f"Figures are unknown: {why}")).to_be_visible()
        show(4, msgspec.structs.replace(holdings(wallet("999.5")), seq=4))
        await expect(page.get_by_text("Figures are unknown")).to_be_hidden()


async def test_rows_in_sight_move_with_ticks(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site, "/#/accounts") as page:
        await eventually(lambda: len(site.interest.watched) > 10)
        site.scene.tick(1, "3456.700000000000000009")
        said = {one["account"]: one["upnl"] for one in (await site.rest("/v1/accounts?limit=10"))["items"]}

        async def is_shown() -> bool:
            shown = await figures_of_rows(page)
            return said == {account: shown[account][0] for account in said if account in shown}

        await eventually(is_shown)


async def test_accounts_are_sorted_as_asked(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site, "/#/accounts") as page:
        for name, sort, directions in (
            ("uPnL", "upnl", ("desc", "asc")),
            ("To liquidation", "distance_bps", ("asc", "desc")),
            ("Account", "address", ("asc",)),
        ):
            for direction in directions:
                await page.locator("th").get_by_role("button", name=name).click()
                items = (await site.rest(f"/v1/accounts?sort={sort}&direction={direction}&limit=5"))["items"]
                first = page.locator("tbody tr[data-account]").first
                await expect(first).to_have_attribute("data-account", items[0]["account"])
                shown = list(await figures_of_rows(page))
                assert [item["account"] for item in items] == shown[:5]
                heading = page.locator("th", has=page.get_by_role("button", name=name))
                await expect(heading).to_have_attribute("aria-sort", f"{direction}ending")


async def test_accounts_are_found_by_a_part_of_their_address_owner_or_name_and_by_state(
    chromium: Browser, site: Site
) -> None:
    scene = site.scene
    scene.change(UNPRICED, **unpriced())
    async with opened(chromium, site, "/#/accounts") as page:
        rows = page.locator("tbody tr[data-account^='main:']")
        await page.keyboard.press("/")
        await page.keyboard.type(scene.key(44)[8:20])
        await expect(rows).to_have_count(1)
        await expect(rows).to_have_attribute("data-account", scene.key(44))
        scene.change(46, name="Rainy Day")
        await page.get_by_role("searchbox").fill("rainy d")
        await expect(rows).to_have_count(1)
        await expect(rows).to_have_attribute("data-account", scene.key(46))
        await page.get_by_role("searchbox").fill("0x" + f"{7:040x}")
        await expect(rows).to_have_count(2)  # 7 and 107 have one owner
        await page.get_by_role("searchbox").fill(scene.key(45).partition(":")[2])
        await expect(rows).to_have_count(1)
        await expect(rows).to_have_attribute("data-account", scene.key(45))
        await page.get_by_role("searchbox").fill("nobody")
        await expect(page.get_by_text("No account is like that")).to_be_visible()
        await page.get_by_role("searchbox").fill("")
        await page.get_by_role("combobox", name="State").select_option("unpriced")
        await expect(rows).to_have_count(1)
        await expect(rows).to_have_attribute("data-account", scene.key(UNPRICED))


async def test_ten_thousand_accounts_have_few_rows_and_few_subscriptions(chromium: Browser) -> None:
    scene = Scene()
    scene.fill(10_000)
    async with site_of(scene) as site, opened(chromium, site, "/#/accounts") as page:
        rows = page.locator("tbody tr[data-account^='main:']")
        await page.locator("th").get_by_role("button", name="Account").click()
        await expect(rows.first).to_be_visible()
        scroller = page.get_by_role("region", name=re.compile("Accounts"))
        for _ in range(200):
            await scroller.evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
            assert MOST_ROWS >= await page.locator("tbody tr").count()
            if await page.get_by_text("10,000 accounts").is_visible():
                break
        await scroller.evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
        last = (await site.rest("/v1/accounts?sort=address&direction=desc&limit=1"))["items"][0]["account"]
        await expect(page.locator(f"tr[data-account='{last}']")).to_be_visible()
        await eventually(lambda: last.encode() in site.interest.watched and len(site.interest.watched) <= MOST_ROWS)
        await scroller.evaluate("(element) => { element.scrollTop = element.scrollHeight / 2; }")
        await expect(rows.first).to_be_visible()
        assert MOST_ROWS >= await page.locator("tbody tr").count()


@pytest.mark.parametrize("width", [320, 375])
async def test_on_a_phone_all_of_an_account_is_read_without_moving_anything_sideways(
    chromium: Browser, site: Site, width: int
) -> None:
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    SCREENSHOTS.mkdir(exist_ok=True)
    async with opened(chromium, site) as page:
        await page.set_viewport_size({"width": width, "height": 812})
        await page.goto(f"{site.url}/#/accounts/{account}")
        positions = page.get_by_role("region", name="Positions")
        await expect(positions.locator("tbody tr").first).to_be_visible()
        assert width == await page.evaluate("document.documentElement.scrollWidth")
        for region in await page.locator("main .scroll").all():
            assert await region.evaluate("(region) => region.scrollWidth <= region.clientWidth")
        for figure in await positions.locator("td .money").all():
            box = await figure.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        await page.screenshot(path=SCREENSHOTS / f"account-{width}.png", full_page=True)


async def test_a_name_that_its_owner_chose_stands_apart_from_what_is_beside_it(chromium: Browser, site: Site) -> None:
    name = "\u202eowner 0x0\u2066<b>"
    site.scene.change(5, name=name, multi_account="0x" + "a1" * 20)
    async with opened(chromium, site, f"/#/accounts/{site.scene.key(5)}") as page:
        await expect(page.locator("main bdi")).to_have_text(name)
        owner = "0x" + f"{5:040x}"
        await expect(page.locator(".heading .note")).to_have_text(f"“{name}” of owner {owner}")
