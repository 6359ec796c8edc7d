from __future__ import annotations

from typing import NamedTuple

import pytest

from models.flash.flash_prices import OraclePrice, PriceBounds, Uncomputable, settled
from models.flash.flash_texts import native_text
from models.flash.position_metrics import (
    LEVERAGE_UNBOUNDED,
    BorrowTerms,
    MarketTerms,
    PositionMetrics,
    PositionTerms,
    metrics_at_mark,
    position_metrics,
)

OPENED_S = 1_700_000_000
NOW_S = OPENED_S + 3_600
DOUBTING = PriceBounds(stable=False, max_divergence_bps=0, max_confidence_bps=100)

POSITION = PositionTerms(
    long=True,
    entry=OraclePrice(14852000000, -8),
    reference_price=14852000000,
    size_amount=3366549960,
    size_decimals=9,
    size_usd_e6=500_000_000,
    collateral_usd_e6=100_000_000,
    fee_snapshot_e9=900_000,
    unsettled_fees_usd_e6=0,
    update_time_s=OPENED_S,
)
MARKET = MarketTerms(
    spread_min_e6=0,
    spread_max_e6=0,
    max_position_usd_e6=10**12,
    max_leverage_bps=1_000_000,
    close_fee_e9=510_000,
    delay_s=0,
)
BORROW = BorrowTerms(rate_e9=20_000, cumulative_e9=1_000_000, last_update_s=OPENED_S)


def _metrics(
    mark: int,
    position: PositionTerms = POSITION,
    market: MarketTerms = MARKET,
    *,
    borrow: BorrowTerms = BORROW,
    locked_usd_e6: int = 600_000_000,
    now_s: int = NOW_S,
) -> PositionMetrics:
    price = OraclePrice(mark, -8)
    return position_metrics(position, market, borrow, mark=price, locked_usd_e6=locked_usd_e6, now_s=now_s)


class Worked(NamedTuple):
    side: str
    mark: int
    spread_e6: int
    profit: int
    loss: int
    leverage: int
    liquidation: str


@pytest.mark.parametrize(
    "worked",
    [
        Worked("long", 150, 0, 4982493, 0, 47770, "120.3947"),
        Worked("long", 140, 0, 0, 28683005, 70420, "120.3947"),
        Worked("long", 150, 100, 4931995, 0, 47793, "120.3947"),
        Worked("short", 150, 0, 0, 4982493, 52796, "176.6452"),
        Worked("short", 140, 0, 28683005, 0, 38950, "176.6452"),
        Worked("short", 150, 100, 0, 5032992, 52825, "176.6452"),
    ],
)
def test_the_six_worked_positions_have_the_figures_of_the_sdk(worked: Worked) -> None:
    spread = {"spread_min_e6": worked.spread_e6, "spread_max_e6": worked.spread_e6 + bool(worked.spread_e6)}
    metrics = _metrics(worked.mark * 10**8, POSITION._replace(long=worked.side == "long"), MARKET._replace(**spread))
    assert worked[3:6] == (metrics.profit_usd_e6, metrics.loss_usd_e6, metrics.leverage_bps)
    assert (255000, 60000) == (metrics.exit_fee_usd_e6, metrics.borrow_fee_usd_e6)
    assert worked.liquidation == native_text(metrics.liquidation.price, 8, 4)
    assert 100_000_000 + worked.profit - worked.loss - 315_000 == metrics.margin_usd_e6


def test_a_gain_is_never_more_than_is_locked_for_it() -> None:
    assert 1_000_000 == _metrics(150 * 10**8, locked_usd_e6=101_000_000).profit_usd_e6
    assert 0 == _metrics(150 * 10**8, locked_usd_e6=99_000_000).profit_usd_e6
    assert 28_683_005 == _metrics(140 * 10**8, locked_usd_e6=0).loss_usd_e6


def test_a_gain_counts_up_to_the_reference_price_until_the_delay_is_over() -> None:
    delayed = MARKET._replace(delay_s=60)
    position = POSITION._replace(reference_price=14900000000)
    until, after = OPENED_S + 60, OPENED_S + 61
    assert 1_615_943 == _metrics(150 * 10**8, position, delayed, now_s=until).profit_usd_e6
    assert 4_982_493 == _metrics(150 * 10**8, position, delayed, now_s=after).profit_usd_e6
    assert 0 == _metrics(150 * 10**8, POSITION, delayed, now_s=until).profit_usd_e6
    assert 28_683_005 == _metrics(140 * 10**8, position, delayed, now_s=until).loss_usd_e6


def test_borrowing_costs_nothing_before_the_custody_was_last_updated() -> None:
    later = BORROW._replace(last_update_s=NOW_S + 10)
    assert 50_000 == _metrics(150 * 10**8, borrow=later).borrow_fee_usd_e6
    paid_ahead = POSITION._replace(fee_snapshot_e9=2_000_000, unsettled_fees_usd_e6=7)
    assert 7 == _metrics(150 * 10**8, paid_ahead).borrow_fee_usd_e6


def test_without_margin_the_leverage_has_no_bound() -> None:
    assert LEVERAGE_UNBOUNDED == _metrics(100 * 10**8).leverage_bps


def test_what_no_price_liquidates_has_a_liquidation_price_of_0() -> None:
    covered = POSITION._replace(collateral_usd_e6=600_000_000)
    assert OraclePrice(0, 0) == _metrics(150 * 10**8, covered).liquidation


def test_what_is_liquidated_at_its_entry_already_is_so_beyond_it() -> None:
    bare = POSITION._replace(collateral_usd_e6=1_000_000)
    assert _metrics(150 * 10**8, bare).liquidation.price > POSITION.entry.price
    assert _metrics(150 * 10**8, bare._replace(long=False)).liquidation.price < POSITION.entry.price


@pytest.mark.parametrize("nothing", [{"size_usd_e6": 0}, {"entry": OraclePrice(0, 0)}])
def test_a_position_of_nothing_has_figures_of_0(nothing: dict[str, object]) -> None:
    metrics = _metrics(150 * 10**8, POSITION._replace(**nothing))  # type: ignore[arg-type]
    assert (0, 0, 0, 0, 0) == (metrics.pnl_usd_e6, metrics.fees_usd_e6, metrics.leverage_bps, *metrics.liquidation[:2])


@pytest.mark.parametrize(
    ("position", "market", "said"),
    [
        (POSITION._replace(size_amount=0), MARKET, "the size"),
        (POSITION, MARKET._replace(max_leverage_bps=0), "the greatest leverage"),
        (POSITION, MARKET._replace(spread_max_e6=1, max_position_usd_e6=0), "the largest position"),
        (POSITION._replace(entry=OraclePrice(1, -9)), MARKET, "found -8"),
        (POSITION._replace(entry=OraclePrice(1, 2**31 - 1)), MARKET, "exponent 2147483647"),
        (POSITION._replace(entry=OraclePrice(1, -(2**31))), MARKET, "exponent -2147483648"),
    ],
    ids=["size", "leverage", "spread", "exponent", "positive", "hostile"],
)
def test_what_cannot_be_calculated_is_refused_by_what_is_wrong(
    position: PositionTerms, market: MarketTerms, said: str
) -> None:
    with pytest.raises(Uncomputable, match=said):
        _metrics(150 * 10**8, position, market)


def test_a_price_that_is_not_doubted_settles_as_it_is() -> None:
    spot = OraclePrice(15000000000, -8, 75000000)
    near = spot._replace(price=14900000000)
    assert spot == settled(spot, near, DOUBTING._replace(max_divergence_bps=1))
    assert spot == settled(spot, near, DOUBTING), "its confidence of 0.5 % is narrower than 1 %"


def test_a_doubted_price_of_wide_confidence_settles_lower() -> None:
    spot = OraclePrice(15000000000, -8, 150000000)
    assert 14850000000 == settled(spot, spot, DOUBTING).price


def test_a_stable_token_is_compared_with_one_dollar_and_not_with_its_average() -> None:
    # The SDK divides whole prices, so a stable token's price is doubted from two dollars on, times 1e4.
    stable = PriceBounds(stable=True, max_divergence_bps=1, max_confidence_bps=0)
    far, average = OraclePrice(2 * 10**12, -8, 5), OraclePrice(2 * 10**12, -8)
    assert 2 * 10**12 - 5 == settled(far, average, stable).price
    assert far == settled(far, average, stable._replace(stable=False))


def test_an_average_of_0_is_refused_since_nothing_diverges_from_it() -> None:
    with pytest.raises(Uncomputable, match="average"):
        settled(OraclePrice(1, -8), OraclePrice(0, -8), DOUBTING)


def test_at_the_mark_a_gain_is_neither_through_the_spread_nor_capped_nor_delayed() -> None:
    held_back = MARKET._replace(spread_min_e6=100, spread_max_e6=5_000, delay_s=1_000_000)
    by_venue = _metrics(15000000000, market=held_back, locked_usd_e6=0)
    found = metrics_at_mark(POSITION, held_back, BORROW, mark=OraclePrice(15000000000, -8), now_s=NOW_S)
    # 148000000 x 500000000 / 14852000000, and 500 / 100 as leverage; fees and liquidation price are the same.
    assert (4_982_493, 0, 50_000) == (found.profit_usd_e6, found.loss_usd_e6, found.leverage_bps)
    assert 100_000_000 + 4_982_493 - 315_000 == found.margin_usd_e6
    assert by_venue.profit_usd_e6 == 0
    assert (by_venue.fees_usd_e6, by_venue.liquidation) == (found.fees_usd_e6, found.liquidation)
    assert 15000000000 == found.exit.price


def test_at_the_mark_a_short_loses_what_a_long_gains() -> None:
    found = metrics_at_mark(
        POSITION._replace(long=False), MARKET, BORROW, mark=OraclePrice(15000000000, -8), now_s=NOW_S
    )
    assert (0, 4_982_493) == (found.profit_usd_e6, found.loss_usd_e6)


def test_at_the_mark_a_position_of_nothing_is_worth_nothing_and_other_exponents_have_no_figures() -> None:
    mark = OraclePrice(15000000000, -8)
    empty = metrics_at_mark(POSITION._replace(size_usd_e6=0), MARKET, BORROW, mark=mark, now_s=NOW_S)
    assert (0, 0) == (empty.pnl_usd_e6, empty.fees_usd_e6)
    with pytest.raises(Uncomputable, match="exponent -8 of the entry price"):
        metrics_at_mark(POSITION, MARKET, BORROW, mark=mark._replace(exponent=-7), now_s=NOW_S)
