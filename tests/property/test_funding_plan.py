"""Windows, rates and the search for culprits, held against the contract's arithmetic written out plainly."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from models.money import E18
from models.symmio.funding import FundingRates
from models.symmio.funding_plan import (
    LATE_S,
    ChainQuote,
    Charge,
    ChargeOn,
    Search,
    Terms,
    When,
    batches,
    charge_of,
    contract_rate,
    missed_windows,
    moved_to_party_b,
    next_window,
    paid_epoch,
    price_after,
    refusal_of,
    window_at,
    window_of,
)
from models.symmio.state import PositionType, QuoteStatus

epochs = st.integers(min_value=2, max_value=100)
windows = st.integers(min_value=0, max_value=120)
times = st.integers(min_value=1_000, max_value=5_000)
sides = st.sampled_from(tuple(PositionType))
prices = st.integers(min_value=1, max_value=10**8 * E18)
rates = st.integers(min_value=-E18, max_value=E18)


def quote(side: PositionType, opened: int, amount: int, most: int) -> ChainQuote:
    return ChainQuote(1, 1, side, "0xa", "0xb", QuoteStatus.OPENED, opened, amount, most, 0)


@given(now_s=times, epoch_s=epochs, window_s=windows)
def test_a_time_is_in_one_of_the_windows_if_and_only_if_the_contract_takes_a_charge_then(
    now_s: int, epoch_s: int, window_s: int
) -> None:
    found = [window.pays_s for when in When if (window := window_at(now_s, epoch_s, window_s, when)) is not None]
    expected = paid_epoch(now_s, epoch_s, window_s)
    assert ([] if expected is None else [expected]) == found


@given(now_s=times, epoch_s=epochs, window_s=windows, when=st.sampled_from(When))
def test_the_next_window_is_the_first_that_has_not_closed(now_s: int, epoch_s: int, window_s: int, when: When) -> None:
    window = next_window(now_s, epoch_s, window_s, when)
    if window.opens_s <= window.closes_s:
        later = (at for at in range(now_s, now_s + 3 * epoch_s) if window_at(at, epoch_s, window_s, when) is not None)
        assert window_at(next(later), epoch_s, window_s, when) == window


@given(now_s=times, epoch_s=epochs, window_s=windows, when=st.sampled_from(When), back=st.integers(1, 10))
def test_every_window_that_closed_since_is_missed(
    now_s: int, epoch_s: int, window_s: int, when: When, back: int
) -> None:
    last_s = now_s // epoch_s * epoch_s - back * epoch_s
    missed = missed_windows(last_s, now_s, epoch_s, window_s, when)
    expected = [
        window_of(pays_s, epoch_s, window_s, when)
        for pays_s in range(last_s + epoch_s, now_s + 2 * epoch_s, epoch_s)
        if window_of(pays_s, epoch_s, window_s, when).closes_s < now_s
    ]
    assert expected == missed


@given(epoch_s=st.integers(2, 2_000), window_s=st.integers(0, 1_100), when=st.sampled_from(When))
def test_windows_are_refused_in_which_a_late_charge_would_pay_the_next_epoch_and_those_that_never_open(
    epoch_s: int, window_s: int, when: When
) -> None:
    window = window_of(50 * epoch_s, epoch_s, window_s, when)
    never_opens = window.opens_s > window.closes_s
    late = range(window.closes_s + 1, window.closes_s + LATE_S + 1) if when is When.AFTER else ()
    pays_next = any(paid_epoch(at, epoch_s, window_s) not in (None, window.pays_s) for at in late)
    assert (never_opens or pays_next) == (refusal_of(epoch_s, window_s, when) is not None)


def test_a_window_so_near_half_an_epoch_that_a_late_charge_pays_the_next_one_is_refused() -> None:
    assert refusal_of(14_400, 7_049, When.AFTER) is None
    assert "half of the epoch of 14400 s, found 7050 s" in str(refusal_of(14_400, 7_050, When.AFTER))


@given(rate=rates, mark=prices, opened=prices)
def test_the_rate_is_that_on_the_mark_truncated_toward_zero(rate: int, mark: int, opened: int) -> None:
    found = contract_rate(rate, mark_e18=mark, opened_e18=opened, charge_on=ChargeOn.MARK)
    assert math.trunc(Fraction(-rate * mark, opened)) == found
    assert -rate == contract_rate(rate, mark_e18=mark, opened_e18=opened, charge_on=ChargeOn.OPENED)


@given(side=sides, opened=prices, mark=prices, both=st.builds(FundingRates, rates, rates), most=st.integers(0, E18))
def test_a_charge_is_within_the_quotes_maximum_and_says_what_it_was_to_be(
    side: PositionType, opened: int, mark: int, both: FundingRates, most: int
) -> None:
    one = quote(side, opened, E18, most)
    charge = charge_of(one, Terms(mark, both), ChargeOn.MARK)
    rate = both.long_e18 if side is PositionType.LONG else both.short_e18
    wanted = contract_rate(rate, mark_e18=mark, opened_e18=opened, charge_on=ChargeOn.MARK)
    assert Charge(1, sorted((-most, wanted, most))[1], wanted) == charge
    assert (abs(wanted) > most) == charge.is_clipped


@given(side=sides, opened=prices, amount=st.integers(0, 10**26), rate=rates)
def test_what_moves_to_party_b_is_what_the_opened_price_takes_from_party_a(
    side: PositionType, opened: int, amount: int, rate: int
) -> None:
    one = quote(side, opened, amount, E18)
    moved = moved_to_party_b([(one, Charge(1, rate, rate))])
    rise = price_after(one, rate) - opened
    lost_by_party_a = rise if side is PositionType.LONG else -rise
    assert math.trunc(Fraction(amount * lost_by_party_a, E18)) == moved
    assert moved >= 0 if rate >= 0 else moved <= 0


@given(size=st.integers(1, 40), bad=st.sets(st.integers(0, 39), max_size=6))
def test_the_search_finds_the_culprits_and_no_one_else(size: int, bad: set[int]) -> None:
    search = Search(range(size))
    trials = 0
    while (group := search.group) is not None:
        trials += 1
        if bad.isdisjoint(group):
            search.passed()
        else:
            search.failed("bad")
    culprits = bad & set(range(size))
    assert sorted(culprits) == sorted(one for one, _ in search.culprits)
    assert [one for one in range(size) if one not in culprits] == search.good
    assert trials <= 1 + 2 * len(culprits) * math.ceil(math.log2(size)) if size > 1 else trials == 1


@given(items=st.lists(st.integers()), size=st.integers(1, 7))
def test_batches_keep_every_charge_in_order(items: list[int], size: int) -> None:
    found = batches(items, size)
    assert items == [one for batch in found for one in batch]
    assert all(1 <= len(batch) <= size for batch in found)
