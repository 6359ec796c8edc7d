"""The line of gains that are not linear in a mark, and where the account can be liquidated."""

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


def test_the_line_never_understates_a_loss_while_marks_move_within_reach() -> None:
    draw = random.Random(1)
    for _ in range(200):
        account = holding("1", BTCUSD=(str(draw.randint(1, 10**6)), "60000"), ETHUSD=(str(-draw.randint(1, 9)), "3"))
        marks = {"BTCUSD": draw.uniform(1e4, 1e5), "ETHUSD": draw.uniform(1, 9)}
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
    (position,) = account.value(GivenInputs({"BTCUSD": "50000"}))["positions"]

    assert (None if price is None else str(price)) == position["liquidation_price"]
