from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import E18, parse_e18
from models.symmio.funding import FundingRates, funding_rates, funding_view, next_epoch_ms, rate_text

EPOCH_S = 14_400
HOUR_S = 3_600
HUGE = 10**36
RATE = parse_e18("0.00005394")

rates_e18 = st.integers(-(10**18), 10**18)
seconds = st.integers(1, 10**6)
shares_e18 = st.integers(0, E18)


def test_the_rates_of_the_live_service_come_out_to_the_last_digit() -> None:
    rates = funding_rates(RATE, epoch_s=EPOCH_S, interval_s=EPOCH_S)

    assert {
        "next_funding_time": 1_744_070_400_000,
        "next_funding_rate_short": "0.000040455",
        "next_funding_rate_long": "-0.000053940",
        "funding_rate_epoch_duration": 14_400,
    } == funding_view(rates, epoch_s=EPOCH_S, now_ms=1_744_070_399_999)


def test_a_negative_rate_lets_shorts_pay_and_longs_get_their_share() -> None:
    rates = funding_rates(-RATE, epoch_s=EPOCH_S, interval_s=EPOCH_S)

    assert FundingRates(long_e18=parse_e18("0.000040455"), short_e18=parse_e18("-0.00005394")) == rates


@pytest.mark.parametrize(("interval_s", "times"), [(8 * HOUR_S, Fraction(1, 2)), (HOUR_S, 4), (4 * HOUR_S, 1)])
def test_an_exchange_with_another_interval_is_scaled_to_the_epoch(interval_s: int, times: Fraction) -> None:
    rates = funding_rates(RATE, epoch_s=EPOCH_S, interval_s=interval_s)

    assert [-RATE * times, RATE * times * 3 / 4] == list(map(Fraction, rates))


def test_a_rate_of_an_unknown_interval_is_taken_for_that_of_an_epoch() -> None:
    assert funding_rates(RATE, epoch_s=EPOCH_S, interval_s=EPOCH_S) == funding_rates(
        RATE, epoch_s=EPOCH_S, interval_s=None
    )


@pytest.mark.parametrize(
    ("rate", "pays", "gets"),
    [
        ("0.009999999999999999", "-0.009999999999999999", "0.007499999999999999"),
        ("0.01", "-0.01", "0.0075"),
        ("0.010000000000000001", "-0.01", "0.0075"),
        ("0.012", "-0.01", "0.0075"),
        ("0.5", "-0.01", "0.0075"),
    ],
)
def test_who_gets_funding_gets_the_share_of_what_is_paid_also_at_the_greatest_rate(
    rate: str, pays: str, gets: str
) -> None:
    rates = funding_rates(parse_e18(rate), epoch_s=EPOCH_S, interval_s=None)

    assert (parse_e18(pays), parse_e18(gets)) == rates


def test_a_rate_that_only_a_longer_epoch_makes_too_great_is_capped_before_it_is_shared() -> None:
    rates = funding_rates(parse_e18("-0.004"), epoch_s=EPOCH_S, interval_s=HOUR_S)

    assert FundingRates(long_e18=parse_e18("0.0075"), short_e18=parse_e18("-0.01")) == rates


def test_zero_is_written_as_zero() -> None:
    rates = funding_rates(0, epoch_s=EPOCH_S, interval_s=None)

    assert ["0", "0"] == [rate_text(rate) for rate in rates]


def test_a_rate_of_more_decimals_keeps_them_all() -> None:
    assert ["0.010000000", "-1.500000000", "0.000000000000000001"] == [
        rate_text(rate) for rate in (E18 // 100, -E18 * 3 // 2, 1)
    ]


def test_an_epoch_that_begins_now_is_not_the_next_one() -> None:
    assert [14_400_000, 28_800_000] == [next_epoch_ms(now_ms, EPOCH_S) for now_ms in (14_399_999, 14_400_000)]


@given(rates_e18, seconds, seconds, shares_e18)
def test_rates_are_the_exact_ones_rounded_toward_zero(rate: int, epoch_s: int, interval_s: int, share: int) -> None:
    rates = funding_rates(rate, epoch_s=epoch_s, interval_s=interval_s, share_e18=share, max_rate_e18=HUGE)

    scaled = Fraction(abs(rate) * epoch_s, interval_s)
    pays, gets = -int(scaled), int(scaled * Fraction(share, E18))
    assert ((pays, gets) if rate >= 0 else (gets, pays)) == rates


@given(rates_e18, seconds, seconds, shares_e18, st.integers(0, E18))
def test_no_rate_is_beyond_the_cap_and_who_gets_gets_the_share_of_what_is_paid(
    rate: int, epoch_s: int, interval_s: int, share: int, cap: int
) -> None:
    rates = funding_rates(rate, epoch_s=epoch_s, interval_s=interval_s, share_e18=share, max_rate_e18=cap)

    assert all(-cap <= one <= cap for one in rates)
    assert rates.long_e18 + rates.short_e18 <= 0
    paid = min(Fraction(abs(rate) * epoch_s, interval_s), Fraction(cap))
    assert max(rates) == int(paid * Fraction(share, E18))


@given(rates_e18, seconds, seconds)
def test_the_other_sign_is_the_other_side(rate: int, epoch_s: int, interval_s: int) -> None:
    rates = funding_rates(rate, epoch_s=epoch_s, interval_s=interval_s)
    if rate:
        assert tuple(reversed(rates)) == funding_rates(-rate, epoch_s=epoch_s, interval_s=interval_s)


@given(st.integers(0, 10**14), seconds)
def test_the_next_epoch_is_a_whole_number_of_epochs_and_at_most_one_away(now_ms: int, epoch_s: int) -> None:
    at_ms = next_epoch_ms(now_ms, epoch_s)

    assert 0 == at_ms % (epoch_s * 1000)
    assert 0 < at_ms - now_ms <= epoch_s * 1000


@given(st.integers(-HUGE, HUGE))
def test_a_rate_as_text_is_the_rate(rate: int) -> None:
    assert rate == parse_e18(rate_text(rate))
