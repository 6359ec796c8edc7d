"""Accounts of installed packages on the page: figures, positions and what they show beside them, as REST says them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from tidemark_options import PACKAGE as INVERSE
from tidemark_paper import PACKAGE as PAPER

from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ALERTS, STATEMENTS, SUBTOTALS, VALUATIONS
from models.plain_venue import Own
from models.prices import MarkTick
from models.statements import Event, Statement, encode_statement
from streams.settings.effective import UnavailableDeployment
from tests.browser.pages import exact, figures_of_rows, opened
from tests.browser.scene import SOURCE, Scene, now_ms, scene_settings
from tests.browser.site import site_of
from tests.support.installing import announced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.async_api import Browser

    from streams.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICES = {"BTCUSDT": "57000.000000000000000001", "BTCUSD": "57000", "XBTUSD": "57000"}
ANN, COINS = "game:Ann", "coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
FOREVER_MS = 10**15
NOTHING = "\N{EN DASH}"


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    venues = "tidemark.venues"
    paper, inverse = (venues, "paper", "tidemark_paper:PACKAGE"), (venues, "inverse", "tidemark_options:PACKAGE")
    with announced(tmp_path, monkeypatch, paper, inverse):
        yield


def with_packages() -> Settings:
    own = scene_settings()
    packages = {
        "game": PAPER.settings(kind="paper", default_sources=(SOURCE,)),
        "coins": INVERSE.settings(kind="inverse", default_sources=(SOURCE,)),
    }
    return own.model_copy(update={"deployments": {**own.deployments, **packages}})


def filled() -> Scene:
    """A scene of SYMMIO's accounts, and what the engine makes of two accounts of packages."""
    scene, at_ms = Scene(), now_ms()
    scene.fill(3)

    def sources(name: str) -> tuple[PriceSource, ...]:
        return (PriceSource(f"{SOURCE}:{name}".encode(), FOREVER_MS),)

    engine = Engine(
        {
            "game": EngineDeployment(PAPER.venue, None, sources),
            "coins": EngineDeployment(INVERSE.venue, None, sources),
        }
    )
    records = [
        (ANN, {"kind": "cash", "time_ms": at_ms, "amount": "1000"}),
        (ANN, {"kind": "position", "time_ms": at_ms, "market": "BTCUSDT", "size": "-0.5", "entry": "60000"}),
        (COINS, {"kind": "paid", "time_ms": at_ms, "wallet": "main", "amount": "1.5"}),
        (COINS, {"kind": "order", "time_ms": at_ms, "id": "7", "margin": "0.1"}),
        (COINS, {"kind": "position", "time_ms": at_ms, "id": "9", "market": "BTCUSD", "size": "700", "entry": "60000"}),
    ]
    for offset, (account, record) in enumerate(records):
        engine.account_record(account.encode(), Own((offset, -1), json.dumps(record).encode()))
    engine.fold("paper")
    engine.fold("inverse")
    for offset, (market, price) in enumerate(PRICES.items()):
        engine.tick(MarkTick(SOURCE, market, at_ms, at_ms, price, None, None, None), offset)
    engine.value(at_ms)
    tables = scene.tables
    for table, feed in (
        (VALUATIONS, tables.valuations),
        (SUBTOTALS, tables.subtotals),
        (ALERTS, tables.alerts),
        (STATEMENTS, tables.statements),
    ):
        for key, row in engine.tables.items(table):
            feed.put(key.decode(), 1, decode_row(row).body)
    return scene


async def test_they_are_listed_beside_symmios_with_the_figures_that_rest_says(chromium: Browser) -> None:
    async with site_of(filled(), with_packages()) as site, opened(chromium, site, "/#/accounts") as page:
        await expect(page.locator(f"tr[data-account='{COINS}']")).to_be_visible()
        shown = await figures_of_rows(page)
        items = (await site.rest("/v1/accounts"))["items"]
        assert {ANN, COINS, site.scene.key(0)} <= {one["account"] for one in items}
        names = ("upnl", "notional", "equity", "available_balance")
        assert {one["account"]: tuple(one[name] for name in names) for one in items} == shown


@pytest.mark.parametrize("account", [ANN, COINS])
async def test_one_of_them_shows_its_figures_and_positions_and_nothing_that_only_chains_have(
    chromium: Browser, account: str
) -> None:
    async with site_of(filled(), with_packages()) as site, opened(chromium, site, f"/#/accounts/{account}") as page:
        said = await site.rest(f"/v1/accounts/{account}")
        await expect(page.locator(".figure")).to_have_attribute("data-exact", said["upnl"])
        assert said["notional"] == await exact(page.locator(".hero .second.money"))
        (position,) = said["positions"].values()
        row = page.get_by_role("table", name="Positions").locator("tbody tr")
        await expect(row).to_have_count(1)
        assert position["symbol_id"] == (await row.locator("td").first.inner_text()).strip()
        cells = await row.locator(".money").evaluate_all("cells => cells.map((cell) => cell.dataset.exact)")
        names = ("quantity", "opened_price", "mark", "upnl", "notional", "liquidation_price")
        assert [position.get(name, "") for name in names] == cells
        for of_chains in ("Locked margin", "Notifications", "Funding of the next epoch"):
            await expect(page.get_by_role("heading", name=of_chains)).to_be_hidden()


async def test_wallets_and_orders_are_shown_by_whatever_columns_a_venue_gives_them(chromium: Browser) -> None:
    scene = filled()
    async with site_of(scene, with_packages()) as site, opened(chromium, site, f"/#/accounts/{COINS}") as page:
        wallets, orders = (page.get_by_role("table", name=name) for name in ("Wallets", "Orders"))
        await expect(wallets.locator("tbody td")).to_have_text(["main", "1.50000"])
        await expect(orders.locator("tbody tr")).to_have_count(1)

        said = {
            "wallets": [{"currency": "USD", "balance": "999.500000000000000001"}, {"currency": "BTC"}],
            "orders": [{"id": "77", "market": "BTC", "size": "-2", "price": "100.5", "tags": ["a", None]}, "odd"],
        }
        stated = Statement((99, -1), said, [Event(99, (99, -1), {"kind": "changed"})])
        scene.tables.statements.put(COINS, 99, encode_statement(stated))
        body = decode_row(scene.tables.valuations.rows[COINS.encode()]).body
        scene.tables.valuations.put(COINS, 99, {**body, "position": [99, -1]})
        await expect(wallets.locator("th")).to_have_text(["Currency", "Balance"])
        assert "999.500000000000000001" == await exact(wallets.locator(".money").first)
        await expect(wallets.locator("tbody tr").last.locator("td")).to_have_text(["BTC", NOTHING])
        await expect(orders.locator("th")).to_have_text(["Id", "Market", "Size", "Price", "Tags", "Value"])
        cells = orders.locator("tbody tr").first.locator("td")
        await expect(cells).to_have_text(["77", "BTC", "-2", "100.500", '["a",null]', NOTHING])
        await expect(page.get_by_text("Wallets and orders:")).to_be_hidden()


async def test_markets_of_venues_that_keep_no_list_of_them_are_not_awaited_of_a_chain(chromium: Browser) -> None:
    scene = filled()
    scene.tables.markets.rows.clear()
    async with site_of(scene, with_packages()) as site, opened(chromium, site, "/#/markets") as page:
        await expect(page.get_by_text("are seen in their accounts' positions")).to_be_visible()


async def test_a_deployment_whose_venue_is_not_installed_has_unknown_totals_and_accounts_with_the_cause(
    chromium: Browser,
) -> None:
    settings = with_packages()
    gone = {**settings.deployments, "game": UnavailableDeployment(kind="paper-gone")}
    async with site_of(filled(), settings.model_copy(update={"deployments": gone})) as site:
        async with opened(chromium, site, "/#/") as page:
            await page.get_by_text("game", exact=True).click()
            await expect(page.get_by_text("its venue is not installed")).to_be_visible()
            await expect(page.locator(".figure")).to_have_text("unknown")
        async with opened(chromium, site, f"/#/accounts/{ANN}") as page:
            await expect(page.get_by_text("venue not installed")).to_be_visible()
            await expect(page.locator(".figure")).to_have_attribute("data-exact", "1499.999999999999999999")


async def test_a_deployment_of_theirs_has_its_totals(chromium: Browser) -> None:
    async with site_of(filled(), with_packages()) as site, opened(chromium, site, "/#/") as page:
        await page.get_by_text("coins", exact=True).click()
        table = page.get_by_role("table", name="Exposure by market")
        await expect(table.locator("tbody td").first).to_have_text("BTCUSD")
        await expect(page.get_by_role("heading", name="By hedger")).to_be_hidden()
