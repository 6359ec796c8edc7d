"""Which markets are found in the rows of accounts, and how many rows are read for it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.tables.account_markets import AccountMarkets
from tests.support.feed import FakeFeed

if TYPE_CHECKING:
    from collections.abc import Iterable

DEPLOYMENTS = ("desk", "both", "large", "small")


def body(symbols: Iterable[int | str] = (), conversions: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "positions": [{"symbol": one} for one in symbols],
        "conversions": {one: {"mark": "1"} for one in conversions},
    }


def test_markets_of_positions_and_of_conversions_are_found_once() -> None:
    feed = FakeFeed()
    feed.put("desk:u1", 1, body(["tBTCUSD"], ["tUSTUSD"]))
    names = AccountMarkets(feed, DEPLOYMENTS)
    assert {("desk", "tBTCUSD"), ("desk", "tUSTUSD")} == set(names.take_new())

    feed.put("desk:u1", 2, body(["tBTCUSD", "tETHUSD"]))
    assert [("desk", "tETHUSD")] == names.take_new()
    assert [] == names.take_new()


def test_a_row_without_conversions_names_the_markets_of_its_positions() -> None:
    feed = FakeFeed()
    feed.put("desk:u1", 1, {"positions": [{"symbol": "tBTCUSD"}]})

    assert [("desk", "tBTCUSD")] == AccountMarkets(feed, DEPLOYMENTS).take_new()


def test_a_number_is_no_name_though_its_deployment_has_both() -> None:
    feed = FakeFeed()
    feed.put("both:u1", 1, body([7, "BTC"]))

    assert [("both", "BTC")] == AccountMarkets(feed, DEPLOYMENTS).take_new()


def test_rows_of_a_deployment_whose_markets_have_rows_are_not_read() -> None:
    feed = FakeFeed()
    feed.put("main:u1", 1, body(["before"]))
    names = AccountMarkets(feed, DEPLOYMENTS)
    feed.put("main:u2", 1, body(["after"]))

    assert [] == names.take_new()


def test_many_rows_are_read_some_at_a_time_and_those_of_no_deployment_wait_for_all_of_another() -> None:
    feed = FakeFeed()
    for number in range(2_000):
        feed.put(f"large:u{number}", 1, body([f"M{number}"]))
    feed.put("small:u1", 1, body(["S"]))
    names = AccountMarkets(feed, DEPLOYMENTS)

    first = names.take_new()
    assert ("small", "S") in first
    assert len(first) < 1_000
    rest = [market for _ in range(20) for market in names.take_new()]
    assert 2_001 == len({*first, *rest})


def test_an_account_that_is_gone_names_nothing() -> None:
    feed = FakeFeed()
    feed.put("desk:u1", 1, body(["tBTCUSD"]))
    names = AccountMarkets(feed, DEPLOYMENTS)
    feed.remove("desk:u1")

    assert [] == names.take_new()
