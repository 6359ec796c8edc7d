"""The figures of a whole basket: all are of one instant."""

from __future__ import annotations

from itertools import permutations

import msgspec

from models.flash.basket_snapshot import opened_of, position_figures
from models.flash.flash_listing import Listing
from tests.support.flash import BTC_LONG, NOW_S, SOL_LONG, SOL_SHORT, StandingInputs, basket, position


def test_all_fees_of_a_basket_accrue_to_the_latest_of_its_marks_in_whatever_order_its_positions_stand() -> None:
    inputs = StandingInputs({"SOL": "150", "USDC": "1", "BTC": "60000"}, now_s=NOW_S)
    late_ms = (NOW_S + 7_200) * 1_000
    inputs.marks["BTC"] = msgspec.structs.replace(inputs.marks["BTC"], event_ms=late_ms)
    held = (position(SOL_LONG), position(BTC_LONG, "59000"), position(SOL_SHORT))
    all_late = StandingInputs({"SOL": "150", "USDC": "1", "BTC": "60000"}, now_s=NOW_S + 7_200)
    expected = position_figures(opened_of(basket(*held)), Listing(all_late)).shown
    fees = {market: figures["borrowFeeUsd"] for market, figures in expected.items()}
    for order in permutations(held):
        shown = position_figures(opened_of(basket(*order)), Listing(inputs)).shown
        assert {market: figures["borrowFeeUsd"] for market, figures in shown.items()} == fees


def test_marks_of_markets_that_a_basket_has_no_position_of_change_none_of_its_figures() -> None:
    inputs = StandingInputs({"SOL": "150", "USDC": "1", "BTC": "60000"}, now_s=NOW_S)
    late_ms = (NOW_S + 7_200) * 1_000
    inputs.marks["BTC"] = msgspec.structs.replace(inputs.marks["BTC"], event_ms=late_ms)
    mine, another = opened_of(basket(position(SOL_LONG))), opened_of(basket(position(BTC_LONG, "59000")))
    shared = Listing(inputs)
    position_figures(another, shared)
    assert position_figures(mine, shared) == position_figures(mine, Listing(inputs))
