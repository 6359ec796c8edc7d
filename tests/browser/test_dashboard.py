"""The page in headless Chromium, over the real app."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jwt
import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import expect
from pydantic import SecretStr

from models.heartbeats import ChainBeat, PricesBeat, WorkerBeat
from streams.settings import ApiSettings, AuthSettings, TokenKeySettings
from tests.browser.pages import (
    ACCOUNTS,
    SCREENSHOTS,
    UNPRICED,
    Scheme,
    exact,
    figures_of_rows,
    first_account,
    opened,
    unpriced,
)
from tests.browser.scene import SOURCE, Scene, now_ms, scene_settings
from tests.browser.site import site_of
from tests.support.feed import unsupported_body

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.browser.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The overview last: its charts begin with the first view.
VIEWS = ("accounts", "account", "markets", "funding", "system", "overview")


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
    scene.change(UNPRICED, **unpriced())
    scene.change(UNPRICED + 1, **{**unpriced(), "last_complete": None})
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
    scene.change(UNPRICED, **unpriced())
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
