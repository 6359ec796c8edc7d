"""All that is calculated in one turn of the loop is of the same marks, and of the newest that are there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.dialects.bitfinex.api_keys import ApiKey
from api.dialects.bitfinex.calc_requests import Calculation
from api.dialects.bitfinex.shown_accounts import NamedMarkets, ShownAccounts, Tables
from api.dialects.bitfinex.venue_symbols import VenueSymbols
from api.tables.market_prices import MarketPrices
from models.kept_inputs import CalculationsMade, KeptMark, decode_kept, encode_kept
from models.money import E18
from streams.settings import Settings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.api import FakeInterest, api_settings
from tests.support.bitfinex import ACCOUNT, LEDGER, NOW_MS, SECRET, SYMBOL_SETTINGS, Ledgers
from tests.support.feed import FakeTables
from tests.support.ledger import holdings, position, wallet
from tests.support.rest import market_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.dialects.bitfinex.account_book import AccountBook

CALCULATION = Calculation("margin_base", "")


class Desk:
    """The accounts of a ledger, and a clock that the test sets."""

    def __init__(self) -> None:
        tables = FakeTables(LEDGER)
        settings = Settings(deployments={LEDGER: LedgerDeploymentSettings(default_sources=("bitfinex",))})
        self.ledger = Ledgers(tables)
        self.ledger.refer("symbol:tBTCUSD", SYMBOL_SETTINGS)
        self.ledger.show(holdings(wallet("1000"), position("1", "100")))
        self.asked_ms = 0
        self.kept: list[tuple[str, CalculationsMade]] = []
        shown = Tables(
            tables.feeds,
            MarketPrices(settings, tables.feeds),
            None,  # type: ignore[arg-type]  # the key names its account
            lambda _: False,
            lambda _: True,
            FakeInterest(),
            self._now_ms,
            lambda deployment, made: self.kept.append((deployment, made)),
        )
        self._shown = ShownAccounts(settings.deployments, shown, VenueSymbols({}), "USTF0")

    def _now_ms(self) -> int:
        self.asked_ms += 1
        return NOW_MS

    async def book(self) -> AccountBook:
        return await self._shown.book_of(ApiKey(SECRET, "alice", (ACCOUNT,)))


def net_of(book: AccountBook) -> Callable[[], float]:
    def net() -> float:
        frame = book.calculate(CALCULATION)
        assert frame is not None
        return float(frame.payload[1][3])

    return net


async def test_a_mark_that_moves_within_a_turn_is_in_the_next_calculation_of_that_turn() -> None:
    desk = Desk()
    net = net_of(await desk.book())
    desk.ledger.mark("tBTCUSD", 200 * E18)
    assert 1000 + 100 - 0.4 == net()
    desk.ledger.mark("tBTCUSD", 300 * E18)
    assert 1000 + 200 - 0.6 == net()


async def test_calculations_of_one_turn_are_of_one_instant_and_those_of_the_next_of_another() -> None:
    desk = Desk()
    one, other = net_of(await desk.book()), net_of(await desk.book())
    desk.ledger.mark("tBTCUSD", 200 * E18)
    assert one() == other() == one()
    assert 1 == desk.asked_ms
    await asyncio.sleep(0)
    assert one() == other()
    assert 2 == desk.asked_ms


async def test_what_calculations_were_made_of_is_kept_once_a_turn_however_many_sockets_asked() -> None:
    desk = Desk()
    one, other = net_of(await desk.book()), net_of(await desk.book())
    desk.ledger.mark("tBTCUSD", 200 * E18)
    assert one() == other()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    ((deployment, made),) = desk.kept
    assert LEDGER == deployment
    assert NOW_MS == made.at_ms
    assert [(f"{LEDGER}:{ACCOUNT.partition(':')[2]}", "margin_base")] * 2 == [(one[0], one[3]) for one in made.asked]
    mark = made.marks["tBTCUSD"]
    assert isinstance(mark, KeptMark)
    assert ("bitfinex:tBTCUSD", False) == (mark.key, mark.stale)
    assert made.references["symbol:tBTCUSD"] is not None
    assert made == decode_kept(encode_kept(made))


@pytest.mark.parametrize("name", [["x"], {"a": 1}, 5])
def test_a_market_whose_name_is_none_is_not_found_and_ends_no_listener(name: object) -> None:
    tables, settings = FakeTables("main"), api_settings("main")
    shown = Tables(
        tables.feeds,
        MarketPrices(settings, tables.feeds),
        None,  # type: ignore[arg-type]  # no account is looked for
        lambda _: False,
        lambda _: True,
        FakeInterest(),
        lambda: NOW_MS,
        lambda _, __: None,
    )
    markets = NamedMarkets(settings.deployments, shown, VenueSymbols({}))
    tables.markets.put("main:2", 1, {"name": name})
    tables.markets.put("main:1", 1, market_body(name="BTCUSDT"))

    assert ("main", 1) == markets.find("tBTCF0:USTF0")
