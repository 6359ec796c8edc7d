"""The figures of a ledger's accounts: against the venue's published samples, and worked by hand."""

from __future__ import annotations

import pytest

from models.ledger.ledger_figures import (
    assets,
    available_balance_e18,
    base_margin,
    funding_figures,
    position_figures,
    price_doubles,
    symbol_margin,
)
from models.ledger.ledger_objects import Credit, Loan, Offer
from models.ledger.ledger_settings import Tier
from models.ledger.priced_account import PricedAccount
from models.money import format_e18, parse_e18
from models.prices import UsedMark
from tests.support.ledger import holdings, inputs, order, position, wallet


def at(price: str) -> UsedMark:
    return UsedMark("bitfinex:tXYZUSD", parse_e18(price), 0, 0, stale=False)


def text(value_e18: int | None) -> str | None:
    return None if value_e18 is None else format_e18(value_e18)


def texts(figures: tuple[int | None, ...]) -> list[str | None]:
    return [text(one) for one in figures]


def test_the_first_published_sample_is_met_bit_by_bit() -> None:
    pl, perc = price_doubles(position("0.2", "153.71"), at("153.62"), 0.002)
    assert (pl, perc) == (-0.07944800000000068, -0.05855181835925015)


def test_the_second_published_sample_is_met_to_fifteen_digits() -> None:
    pl, perc = price_doubles(position("-0.76936097", "65.009"), at("64.972"), 0.002)
    assert pl == pytest.approx(-0.0715074859956753, rel=1e-14)
    assert perc == pytest.approx(0.0569151963574369, rel=1e-14)


def test_a_short_position_at_its_base_price_has_gained_0_and_not_minus_0() -> None:
    assert [str(one) for one in price_doubles(position("-2", "65"), at("65"), 0.0)] == ["0.0", "0.0"]


def test_without_a_fee_the_sample_of_2017_has_the_price_alone() -> None:
    assert price_doubles(position("0.2", "153.71"), at("153.62"), 0.0)[0] == 0.2 * (153.62 - 153.71)


def test_the_published_margin_sample_adds_up() -> None:
    # [-13.014640000000007, 0, 49331.70267297, 49318.68803297, 27]: net = balance + PL.
    # 90 bought at 2.0, now at 2.0: the fee to close is 0.002 x 90 x 2 = 0.36, PL = -0.36; 15 % of 180 is required: 27.
    held = holdings(wallet("49331.70267297"), position("90", "2"))
    base = base_margin(PricedAccount(held, inputs({"tBTCUSD": "2"})))
    assert texts(base) == ["-0.36", "0", "49331.70267297", "49331.34267297", "27"]


def test_a_missing_leg_makes_what_needs_it_unknown_and_nothing_else() -> None:
    held = holdings(wallet("100"), wallet("5", "UST"), position("1", "10", "tABCUST"), position("1", "10"))
    now = inputs({"tABCUST": "11", "tBTCUSD": "12"}, paths={"UST": ["tUSTUSD"]})
    base = base_margin(PricedAccount(held, now))
    assert base.user_pl_e18 is base.margin_net_e18 is base.margin_balance_e18 is base.margin_required_e18 is None
    of_ust = position_figures(PricedAccount(held, now), "tABCUST")
    assert of_ust is not None
    assert of_ust.pl == 1 * (11 - 10.0) - 0.002 * 1 * 11
    assert of_ust.price_liq_e18 is None
    assert of_ust.leverage_e18 is None
    assert text(available_balance_e18(PricedAccount(held, now), "margin", "USD")) is None
    assert assets(PricedAccount(held, now)) == (None, None)


def test_a_suspect_account_has_no_figures() -> None:
    held = holdings(wallet("100"), position("1", "10"), suspect="expected record 2")
    now = inputs({"tBTCUSD": "12"})
    assert set(base_margin(PricedAccount(held, now))) == {None}
    assert set(position_figures(PricedAccount(held, now), "tBTCUSD") or ()) == {None}
    assert set(symbol_margin(PricedAccount(held, now), "tBTCUSD") or ()) == {None}
    assert set(funding_figures(held, "fUSD")) == {None}
    assert assets(PricedAccount(held, now)) == (None, None)


def test_what_an_account_has_not_is_told_apart_from_what_is_not_known() -> None:
    now = inputs({"tBTCUSD": "12"})
    assert position_figures(PricedAccount(holdings(wallet("1")), now), "tBTCUSD") is None
    assert symbol_margin(PricedAccount(holdings(wallet("1")), now), "tETHUSD") is None
    assert available_balance_e18(PricedAccount(holdings(wallet("1")), now), "exchange", "USD") is None


def test_buying_power_counts_what_is_held_and_ordered() -> None:
    # Net 1,000; 20 % initial. Held 10 x 100 = 1,000, orders buy 5 x 90 = 450 and sell 3 x 110 = 330.
    # With the buys filled the notional is 1,450, which needs 290; fee to close 2, so net is 1,000 - 2 = 998.
    # Free 708, so 290 + 708 = 998 carry 4,990: 3,540 more than 1,450.
    held = holdings(wallet("1000"), position("10", "100"), order(1, "5", "90"), order(2, "-3", "110"))
    found = symbol_margin(PricedAccount(held, inputs({"tBTCUSD": "100"})), "tBTCUSD")
    # Buys: (4,990 - 1,000 - 450) / 100. Sells close first: (4,990 + 1,000 - 330) / 100.
    assert texts(found or ()) == ["3540", "4990", "35.4", "56.6"]


def test_exchange_orders_need_no_margin_and_hold_what_they_would_pay() -> None:
    held = holdings(
        wallet("500", type_="exchange"),
        wallet("2", "BTC", "exchange"),
        wallet("1000"),
        order(1, "3", "90", type_="EXCHANGE LIMIT"),
        order(2, "-0.5", "200", type_="EXCHANGE LIMIT"),
    )
    now = inputs({"tBTCUSD": "100"})
    assert texts(symbol_margin(PricedAccount(held, now), "tBTCUSD") or ()) == ["5000", "5000", "50", "50"]
    assert text(available_balance_e18(PricedAccount(held, now), "exchange", "USD")) == "230"
    assert text(available_balance_e18(PricedAccount(held, now), "exchange", "BTC")) == "1.5"
    assert text(available_balance_e18(PricedAccount(held, now), "margin", "USD")) == "1000"


def test_an_account_that_lacks_margin_can_still_close() -> None:
    held = holdings(wallet("100"), position("-10", "100"))
    found = symbol_margin(PricedAccount(held, inputs({"tBTCUSD": "105"}, fee="0")), "tBTCUSD")
    # Net 100 - 50 = 50 carries 250; held is 1,050 short, so (250 + 1,050) / 105 can be bought, and nothing sold.
    assert texts(found or ()) == ["0", "250", "12.380952380952380952", "0"]


def test_a_mean_of_rates_below_zero_is_truncated_toward_zero_as_all_figures_are() -> None:
    loans = [
        Loan(id=at, symbol="fUSD", side=1, status="A", amount="1", rate=rate, period_days=2)
        for at, rate in enumerate(("-0.000000000000000001", "0"))
    ]
    assert funding_figures(holdings(*loans), "fUSD").yield_lend_e18 == 0


def test_funding_figures_are_means_by_amount() -> None:
    held = holdings(
        Loan(id=1, symbol="fUSD", side=1, status="ACTIVE", amount="300", rate="0.0002", period_days=2),
        Loan(id=2, symbol="fUSD", side=-1, status="ACTIVE", amount="100", rate="0.0004", period_days=30),
        Credit(id=3, symbol="fUSD", side=1, status="ACTIVE", amount="100", rate="0.0006", period_days=10),
        Credit(id=4, symbol="fBTC", side=1, status="ACTIVE", amount="9", rate="0.9", period_days=9),
        Offer(
            id=5, symbol="fUSD", type="LIMIT", status="ACTIVE", amount="50", amount_orig="50", rate="1", period_days=2
        ),
        wallet("1000", type_="funding"),
    )
    # Lent: (300 x 0.0002 + 100 x 0.0006) / 400 = 0.0003, (300 x 2 + 100 x 10) / 400 = 4 days.
    assert texts(funding_figures(held, "fUSD")) == ["0.0004", "0.0003", "30", "4"]
    assert texts(funding_figures(held, "fETH")) == ["0", "0", "0", "0"]
    # Of 1,000, 50 are offered and 400 lent.
    assert text(available_balance_e18(PricedAccount(held, inputs({})), "funding", "USD")) == "550"


def test_assets_are_all_wallets_in_usd_and_net_of_what_is_open() -> None:
    held = holdings(
        wallet("100", interest="-1"), wallet("2", "BTC", "exchange"), wallet("50", "UST", "funding", "0.5"),
        position("1", "90"),
    )  # fmt: skip
    now = inputs({"tBTCUSD": "100", "tUSTUSD": "0.9"}, paths={"BTC": ["tBTCUSD"], "UST": ["tUSTUSD"]})
    # 100 + 2 x 100 + 50 x 0.9 = 345; interest -1 + 0.5 x 0.9 = -0.55; PL 10 - 0.2 = 9.8.
    assert texts(assets(PricedAccount(held, now))) == ["345", "354.25"]
    assert texts(base_margin(PricedAccount(held, now)))[:2] == ["9.8", "-1"]


def test_collateral_is_what_the_venue_says_or_else_the_initial_margin() -> None:
    derivative = {"type": "derivative"}
    symbol = "tBTCF0:USTF0"
    now = inputs({symbol: "100", "tUSTUSD": "1"}, paths={"USTF0": ["tUSTUSD"]}, fee="0")
    stated = holdings(wallet("90", "USTF0"), position("1", "110", symbol, collateral="40", **derivative))
    plain = holdings(wallet("90", "USTF0"), position("1", "110", symbol, **derivative))
    first, second = (
        position_figures(PricedAccount(stated, now), symbol),
        position_figures(PricedAccount(plain, now), symbol),
    )
    assert first is not None
    assert second is not None
    # 20 % of 100 are initial; 10 are lost, so that 30 would have to be set aside.
    assert (text(first.collateral_e18), text(first.collateral_min_e18)) == ("40", "30")
    assert (text(second.collateral_e18), text(second.collateral_min_e18)) == ("20", "30")
    # 100 of notional on 90 - 10 = 80 of net value.
    assert text(first.leverage_e18) == "1.25"


def test_a_tier_takes_only_what_is_above_the_one_before() -> None:
    tiers = (Tier(initial="0.1", maintenance="0.05", up_to="1000"), Tier(initial="0.5", maintenance="0.25"))
    held = holdings(wallet("500"), position("15", "100"))
    now = inputs({"tBTCUSD": "100"}, tiers=tiers, fee="0")
    # 5 % of 1,000 and 25 % of 500.
    assert text(base_margin(PricedAccount(held, now)).margin_required_e18) == "175"
    # 500 + 15 x (P - 100) = 50 + 25 % of (15 P - 1,000): 11.25 P = 800. 15 P is 1,066.7 then, so in the second tier.
    found = position_figures(PricedAccount(held, now), "tBTCUSD")
    assert found is not None
    assert text(found.price_liq_e18) == "71.111111111111111112"
