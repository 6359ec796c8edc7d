"""What an account of coins is worth in dollars, the line of that, and where the account can be liquidated."""

import json
import random

import pytest
from tidemark_options import PACKAGE

from tidemark.venue import E18, MOVE_MAX
from tidemark.venue_testing import GivenInputs, TriedAccount


def holding(coins: str, **positions: tuple[str, str]) -> TriedAccount:
    """An account of so many coins, and positions of a size and an entry price by market."""
    account = TriedAccount(PACKAGE.venue)
    named = {market: {"market": market, "size": size, "entry": entry} for market, (size, entry) in positions.items()}
    said = {"kind": "whole", "time_ms": 1, "wallets": {"main": coins}, "orders": {}, "positions": named}
    account.say(json.dumps(said).encode())
    return account


def test_figures_are_in_dollars_with_those_in_coins_beside_them() -> None:
    account = holding("1", BTCUSD=("30000", "60000"))
    body = account.value(GivenInputs({"BTCUSD": "50000", "XBTUSD": "49000"}))

    # 30,000 x (1 / 60,000 - 1 / 50,000) is -0.1 coins, and 30,000 / 50,000 is 0.6; 1 % of 0.5 is kept back.
    assert ["valued", "BTC", str(-E18 // 10)] == [body[name] for name in ("status", "currency", "upnl_native")]
    assert str(9 * E18 // 10) == body["equity_native"]
    # 49,000 dollars a coin.
    dollars = {"upnl": -4_900, "notional": 29_400, "equity": 44_100, "available_balance": 43_855}
    assert {name: str(dollar * E18) for name, dollar in dollars.items()} == {name: body[name] for name in dollars}
    (position,) = body["positions"]
    assert [str(-4_900 * E18), str(-E18 // 10)] == [position["upnl"], position["upnl_native"]]
    assert {"XBTUSD": str(49_000 * E18)} == {market: one["mark"] for market, one in body["conversions"].items()}
    assert "0.9" == PACKAGE.venue.view(body)["equity_native"]


def test_without_the_coin_s_mark_only_what_is_in_coins_is_known() -> None:
    body = holding("1", BTCUSD=("30000", "60000")).value(GivenInputs({"BTCUSD": "50000"}))
    (position,) = body["positions"]

    # The position has no figures, and the coin itself has no mark.
    assert ["unpriced", 2, None, str(-E18 // 10)] == [
        body[name] for name in ("status", "unpriced", "upnl", "upnl_native")
    ]
    assert [str(50_000 * E18), None, None] == [position[name] for name in ("mark", "upnl", "notional")]


def test_the_line_never_understates_a_loss_while_marks_move_within_reach() -> None:
    draw = random.Random(1)
    for _ in range(200):
        account = holding("1", BTCUSD=(str(draw.randint(1, 10**6)), "60000"), ETHUSD=(str(-draw.randint(1, 9)), "3"))
        marks = {"BTCUSD": draw.uniform(1e4, 1e5), "ETHUSD": draw.uniform(1, 9), "XBTUSD": draw.uniform(1e4, 1e5)}
        moved = {market: mark * (1 + draw.uniform(-MOVE_MAX, MOVE_MAX)) for market, mark in marks.items()}
        before, after = (GivenInputs({name: f"{mark:.9f}" for name, mark in one.items()}) for one in (marks, moved))
        account.expect_line_below(before, after)


@pytest.mark.parametrize(
    ("size", "price"),
    # 1 + 60,000 / 60,000 - 60,000 / m - 0.01 is 0 at about 30,150; of a short, 1 - 1 + 60,000 / m - 0.01 at 6,000,000.
    [("60000", 60_000 * E18 * 100 // 199), ("-60000", 6_000_000 * E18), ("-50000", None)],
)
def test_an_inverse_position_is_liquidated_where_nothing_is_left(size: str, price: int | None) -> None:
    account = holding("1", BTCUSD=(size, "60000"))
    (position,) = account.value(GivenInputs({"BTCUSD": "50000", "XBTUSD": "49000"}))["positions"]

    assert (None if price is None else str(price)) == position["liquidation_price"]
