"""The line of a basket of Flash never understates a loss, and its figures never depend on who asks when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from models.book_figures import MOVE_MAX
from models.flash.flash_account import NEW, FlashAccount, take
from models.flash.flash_exposure import exposure_of
from models.flash.flash_valuation import value_account
from models.money import E18
from models.plain_venue import Own
from tests.support.flash import (
    BTC_LONG,
    CUSTODIES,
    MARKETS,
    NOW_S,
    SOL_LONG,
    SOL_SHORT,
    StandingInputs,
    basket,
    position,
    said,
    whole,
)

_MOST = int(MOVE_MAX * 10**6)
_PARTS = st.integers(10**6 - _MOST, 10**6 + _MOST)
_MARKETS = st.sampled_from([SOL_LONG, SOL_SHORT, BTC_LONG])
_POSITIONS = st.builds(
    lambda market, entry, size, collateral, locked, reference, update_s, snapshot: position(
        market,
        str(entry),
        f"{size}.5",
        collateral=str(collateral),
        locked_amount=locked,
        update_time=update_s,
        cumulative_lock_fee_snapshot=snapshot,
    )._replace(reference_price=position(market, str(reference)).entry_price),
    _MARKETS,
    st.integers(90, 220),
    st.integers(0, 50),
    st.integers(0, 2_000),
    st.integers(0, 3_000 * 10**6),
    st.integers(90, 220),
    st.integers(NOW_S - 100, NOW_S + 10),
    st.integers(0, 3_000_000),
)


def _account(positions: list[object]) -> FlashAccount:
    return take(NEW, Own((0, -1), said(basket(*positions))))  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    positions=st.lists(_POSITIONS, min_size=1, max_size=4, unique_by=lambda one: one.market),
    prices=st.fixed_dictionaries({"SOL": st.integers(100, 200), "BTC": st.integers(100, 200)}),
    factors=st.fixed_dictionaries({"SOL": _PARTS, "BTC": _PARTS, "USDC": _PARTS}),
    later_s=st.integers(0, 3_600),
    delay_s=st.integers(0, 60),
    spread=st.sampled_from([(0, 0), (100, 100), (50, 400)]),
)
def test_the_line_less_its_slack_is_never_above_what_is_left_before_the_nearest_liquidation(
    *,
    positions: list[object],
    prices: dict[str, int],
    factors: dict[str, int],
    later_s: int,
    delay_s: int,
    spread: tuple[int, int],
) -> None:
    custodies = {
        symbol: one._replace(
            pricing=one.pricing._replace(delay_seconds=delay_s, trade_spread_min=spread[0], trade_spread_max=spread[1])
        )
        for symbol, one in CUSTODIES.items()
    }
    account = _account(positions)
    marks = {**{symbol: str(price) for symbol, price in prices.items()}, "USDC": "1"}
    drawn = exposure_of("flash", account, StandingInputs(marks, custodies))
    moved = StandingInputs(marks, custodies, now_s=NOW_S + later_s).moved(factors)
    line = drawn.margin - drawn.cost
    for (_, symbol), signed in drawn.signed.items():
        line += signed * (moved.marks[str(symbol)].mark_e18 / E18)
    available = whole(value_account(account, 1, moved, unsupported=False).body["available_balance"])
    assert drawn.slack is not None
    assert line - drawn.slack <= available


@settings(deadline=None)
@given(st.lists(_POSITIONS, min_size=1, max_size=1), st.integers(100, 200))
def test_at_the_marks_of_now_the_line_is_what_is_left(positions: list[object], price: int) -> None:
    inputs = StandingInputs({"SOL": str(price), "BTC": str(price), "USDC": "1"})
    account = _account(positions)
    drawn = exposure_of("flash", account, inputs)
    line = drawn.margin - drawn.cost
    for (_, symbol), signed in drawn.signed.items():
        line += signed * (inputs.marks[str(symbol)].mark_e18 / E18)
    available = whole(value_account(account, 1, inputs, unsupported=False).body["available_balance"])
    assert abs(line - available) < 1e-6 * max(1.0, abs(available))


def test_a_position_far_from_its_cap_has_next_to_no_slack() -> None:
    inputs = StandingInputs({"SOL": "150", "USDC": "1"})
    drawn = exposure_of("flash", _account([position(SOL_LONG)]), inputs)
    assert drawn.slack is not None
    # An hour of fees, which is 0.01 USD of a size of 500.
    assert drawn.slack < 0.011
    assert set(drawn.signed) == {("flash", "SOL"), ("flash", "USDC")}
    assert len(MARKETS) == 3
