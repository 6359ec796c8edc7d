"""The page in headless Chromium, over the real app."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jwt
import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect
from pydantic import SecretStr

from models.heartbeats import ChainBeat, PricesBeat, WorkerBeat
from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_state import Holdings, statement_of
from models.ledger.ledger_valuation import value_account
from models.served import totals_key
from models.statements import Event, Statement, encode_statement
from models.subtotals import Subtotals
from models.symmio.funding_records import encode_record, record_key
from streams.settings import ApiSettings, AuthSettings, TokenKeySettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.browser.scene import DEPLOYMENT, SOURCE, Scene, funding_records, now_ms, scene_settings
from tests.browser.site import Site, browser, site_of
from tests.support.eventually import eventually
from tests.support.feed import last_complete, unpriced_body, unsupported_body
from tests.support.ledger import holdings, inputs, order, position, wallet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Locator, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = 120
MOST_ROWS = 60
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
UNPRICED = 17
CHARGED = 5
# The overview last: its charts begin with the first view.
VIEWS = ("accounts", "account", "markets", "funding", "system", "overview")
# A cell of money as a number: its sign is a minus, its shape and groups are for the eye.
TO_NUMBER = {0x2212: "-", ord(","): None, ord("▲"): None, ord("▼"): None}

Scheme = Literal["light", "dark"]


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


@asynccontextmanager
async def opened(
    chromium: Browser, site: Site, path: str = "/", *, scheme: Scheme = "light", state: str | re.Pattern[str] = "live"
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


def ledger_body() -> dict[str, Any]:
    """The row of a ledger's account with one long position, at a mark of now."""
    held = LedgerAccount(applied=(0, -1), version=1, heard=1, holdings=holdings(wallet("1000"), position("0.2", "150")))
    body, _ = value_account(held, 1, inputs({"tBTCUSD": "153.62"}), unsupported=False)
    return {**body, "as_of_ms": now_ms()}


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


async def test_funding_shows_epochs_and_what_became_of_each_quote(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site, "/#/funding") as page:
        epochs = page.get_by_role("table", name="Epochs").locator("tbody tr")
        await expect(epochs).to_have_count(1)
        await expect(epochs).to_contain_text("0.001 (30 %)")
        quotes = page.get_by_role("table", name="Quotes of the newest epoch").locator("tbody tr")
        await expect(quotes).to_have_count(2)
        await expect(quotes.first).to_contain_text("paid")
        await expect(quotes.first).to_contain_text("0.001")
        await expect(quotes.last).to_contain_text("its feed was silent")
        await expect(page.get_by_role("table", name="Terms of the newest epoch")).to_contain_text("left out")
        await page.get_by_label("Outcome").select_option("missed")
        await expect(quotes).to_have_count(1)
        await quotes.first.get_by_role("link").click()
        charged = page.get_by_role("table", name="Funding charged").locator("tbody tr")
        await expect(charged).to_have_count(2)
        await expect(charged.last).to_contain_text("missed")


async def test_totals_are_those_of_rest_and_move_with_ticks(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site) as page:
        for price in ("97413", "90001.000000000000000003"):
            site.scene.tick(0, price)
            said = (await site.rest("/v1/totals"))["items"][0]
            await expect(page.locator(".figure")).to_have_attribute("data-exact", said["upnl"])
            assert said["notional"] == await exact(page.locator(".hero .second.money"))
            hedgers = page.get_by_role("table", name="By hedger").locator("tbody tr")
            await expect(hedgers).to_have_count(len(said["hedgers"]))


async def test_rows_in_sight_move_with_ticks(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site, "/#/accounts") as page:
        await eventually(lambda: len(site.interest.watched) > 10)
        site.scene.tick(1, "3456.700000000000000009")
        said = {one["account"]: one["upnl"] for one in (await site.rest("/v1/accounts?limit=10"))["items"]}

        async def is_shown() -> bool:
            shown = await figures_of_rows(page)
            return said == {account: shown[account][0] for account in said if account in shown}

        await eventually(is_shown)


async def test_a_restart_of_the_server_is_survived(chromium: Browser, site: Site) -> None:
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(f"{site.url}/#/accounts/{account}")
    await expect(page.locator("#connection")).to_have_text("live")
    before = (await site.rest(f"/v1/accounts/{account}"))["upnl"]
    await expect(page.locator(".figure")).to_have_attribute("data-exact", before)
    await site.stop()
    await expect(page.locator("#connection")).to_contain_text("connection lost")
    await expect(page.locator("#notice")).to_contain_text("old")
    assert before == await exact(page.locator(".figure"))
    site.scene.tick(0, "91000")
    site.scene.tick(1, "3100.5")
    await site.start()
    await expect(page.locator("#connection")).to_have_text("live")
    after = (await site.rest(f"/v1/accounts/{account}"))["upnl"]
    assert before != after
    await expect(page.locator(".figure")).to_have_attribute("data-exact", after)
    await context.close()


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
    scene.change(UNPRICED, **_unpriced())
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


async def test_everything_can_be_reached_with_the_keyboard(chromium: Browser, site: Site) -> None:
    async with opened(chromium, site) as page:
        await page.keyboard.press("Tab")
        assert "Skip to content" == await _focused(page)
        for name in ("Tidemark", "Overview", "Accounts"):
            await page.keyboard.press("Tab")
            assert name == await _focused(page)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
        await expect(page.locator("tbody tr[data-account^='main:']").first).to_be_visible()
        await page.get_by_role("region", name=re.compile("Accounts")).focus()
        accounts = list(await figures_of_rows(page))
        for _ in range(3):
            await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        assert accounts[1] == await page.evaluate("document.activeElement.title")
        await page.keyboard.press("End")
        last = (await site.rest(f"/v1/accounts?limit={ACCOUNTS}"))["items"][-1]["account"]
        assert last == await page.evaluate("document.activeElement.title")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(last.partition(":")[2])
        await expect(page.get_by_role("main")).to_be_focused()


async def test_what_is_stale_or_unknown_is_said_and_never_0(chromium: Browser, site: Site) -> None:
    scene = site.scene
    scene.change(UNPRICED, **_unpriced())
    scene.change(UNPRICED + 1, **{**_unpriced(), "last_complete": None})
    scene.silence(4, for_ms=90_000)
    async with opened(chromium, site, f"/#/accounts/{scene.key(UNPRICED)}") as page:
        await expect(page.get_by_text("1 price unknown")).to_be_visible()
        await expect(page.locator(".figure")).to_have_attribute("data-exact", "3.000000000000000001")
        await expect(page.get_by_text("last complete figures")).to_be_visible()
        await page.goto(f"{site.url}/#/accounts/{scene.key(UNPRICED + 1)}")
        await expect(page.locator(".figure")).to_have_text("unknown")
        await page.goto(f"{site.url}/#/accounts/main:0x{'9' * 40}")
        await expect(page.get_by_text("no such account known")).to_be_visible()
        await expect(page.locator(".figure")).to_have_text("unknown")
        await page.goto(f"{site.url}/#/markets")
        await expect(page.locator("tbody tr", has_text="XRPUSDT")).to_contain_text("stale")
        await expect(page.get_by_text("5 markets, 1 without a fresh price")).to_be_visible()
        await page.goto(f"{site.url}/#/")
        scene.tables.deployments.put("main", 9, unsupported_body())
        await page.reload()
        await expect(page.locator("#notice")).to_contain_text("main: its contract did something")
        await page.goto(f"{site.url}/#/accounts/{scene.key(1)}")
        await expect(page.locator(".figure")).to_have_text("unknown")
        await expect(page.get_by_text("Positions are unknown.")).to_be_visible()


async def test_figures_that_are_late_are_said_to_be(chromium: Browser, site: Site) -> None:
    site.scene.tables.valuations.answered_ms = 1
    async with opened(chromium, site, state=re.compile("broker: silent for .* days")) as page:
        await expect(page.locator("#notice")).to_contain_text("old")


async def test_whatever_keeps_figures_fresh_is_named_with_its_age_and_what_is_silent_is_said_on_every_view(
    chromium: Browser, site: Site
) -> None:
    at_ms = now_ms()
    site.heartbeats.take("worker:0", WorkerBeat("host:1", at_ms - 40_000, at_ms, 0, 500), at_ms)
    site.heartbeats.take("worker:1", WorkerBeat("host:1", at_ms + 600_000, at_ms, 0, 500), at_ms + 600_000)
    site.heartbeats.take("chain:main", ChainBeat("host:2", at_ms - 90_000, at_ms - 90_000, 9, at_ms // 1_000), at_ms)
    site.heartbeats.take(f"prices:{SOURCE}", PricesBeat("host:3", at_ms + 600_000, at_ms + 600_000), at_ms + 600_000)
    silent = re.compile("worker of partition 0, ingest of chain main: silent for")
    async with opened(chromium, site, state=silent) as page:
        await expect(page.locator("#notice")).to_contain_text("old")
        await page.goto(f"{site.url}/#/system")
        table = page.get_by_role("table", name="What keeps figures fresh")
        for part, state, age in (
            ("broker", "fresh", "0 ms ago"),
            ("worker of partition 0", "stale", re.compile(r"\d+ s ago")),
            ("worker of partition 1", "fresh", "0 ms ago"),
            ("worker of 6 partitions", "unknown", "unknown"),
            ("ingest of chain main", "stale", re.compile(r"\d+ s ago")),
            (f"ingest of prices {SOURCE}", "fresh", "0 ms ago"),
        ):
            row = table.get_by_role("row").filter(has=page.get_by_role("cell", name=part, exact=True))
            await expect(row.get_by_role("cell").nth(1)).to_have_text(state)
            await expect(row.get_by_role("cell").nth(2)).to_have_text(age)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_view_has_a_serious_fault_for_those_who_see_or_move_otherwise(
    chromium: Browser, site: Site, scheme: Scheme
) -> None:
    scene = site.scene
    scene.change(UNPRICED, **_unpriced())
    scene.silence(4, for_ms=90_000)
    SCREENSHOTS.mkdir(exist_ok=True)
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    paths = {"overview": "", "account": f"accounts/{account}"}
    async with opened(chromium, site, scheme=scheme) as page:
        for view in VIEWS:
            await page.goto(f"{site.url}/#/{paths.get(view, view)}")
            await expect(page.locator("main .money, main .tag").first).to_be_visible()
            if view in {"overview", "account", "system"}:
                await expect(page.locator("main canvas").first).to_be_visible()
            scene.tick(0, f"97{len(view)}12.3")
            found = await Axe().run(page)
            serious = [one for one in found.response["violations"] if one["impact"] in {"serious", "critical"}]
            assert [] == [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]
            await page.screenshot(path=SCREENSHOTS / f"{view}-{scheme}.png", full_page=True)


async def test_no_view_is_wider_than_a_phone(chromium: Browser, site: Site) -> None:
    account = first_account((await site.rest("/v1/accounts?limit=1"))["items"])
    async with opened(chromium, site) as page:
        await page.set_viewport_size({"width": 390, "height": 844})
        for path in ("", "accounts", f"accounts/{account}", "markets", "funding", "system"):
            await page.goto(f"{site.url}/#/{path}")
            await expect(page.locator("main .money, main .tag").first).to_be_visible()
            assert 390 == await page.evaluate("document.documentElement.scrollWidth"), path


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


async def test_a_server_whose_pages_are_named_gives_its_own_page_what_it_asks_for(chromium: Browser) -> None:
    scene = Scene()
    scene.fill(3)
    named = ApiSettings(drain_s=0.1, allowed_origins=("https://app.example",))
    async with (
        site_of(scene, scene_settings().model_copy(update={"api": named})) as site,
        opened(chromium, site, "/dashboard") as page,
    ):
        assert page.url.endswith("/dashboard/")
        await expect(page.locator(".figure")).to_have_attribute("data-exact", re.compile(r"\d"))


async def test_a_server_that_wants_a_token_is_given_the_one_that_is_entered(chromium: Browser) -> None:
    secret = "s" * 40
    key = TokenKeySettings(algorithm="HS256", key=SecretStr(secret))
    settings = scene_settings().model_copy(update={"auth": AuthSettings(mode="tokens", keys={"main": key})})
    claims = {"sub": "desk", "accounts": ["main:*"], "exp": 2**33}
    token = jwt.encode(claims, secret, "HS256", {"kid": "main"})
    scene = Scene()
    scene.fill(3)
    async with site_of(scene, settings) as site:
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(f"{site.url}/#/accounts")
        await expect(page.get_by_text("The server wants a token.")).to_be_visible()
        await page.get_by_label("Token").fill(token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.locator("tbody tr[data-account^='main:']")).to_have_count(3)
        assert token not in page.url
        await context.close()


async def test_without_the_library_for_charts_the_page_says_so_and_works(chromium: Browser, site: Site) -> None:
    context = await chromium.new_context()
    await context.route("**/assets/**", lambda route: route.fulfill(status=404))
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.get_by_text("does not have the library that draws them").first).to_be_visible()
    said = (await site.rest("/v1/totals"))["items"][0]
    await expect(page.locator(".figure")).to_have_attribute("data-exact", said["upnl"])
    await context.close()


async def _focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent")).strip()


def _unpriced() -> dict[str, Any]:
    """What a row says of figures while a price is missing, and of its positions as before."""
    body = unpriced_body(last_complete=last_complete())
    kept = {"positions", "block", "time_s", "as_of_ms", "owner"}
    return {name: value for name, value in body.items() if name not in kept}
