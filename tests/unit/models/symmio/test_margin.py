from __future__ import annotations

import pytest

from models.symmio.holding import OpenPosition
from models.symmio.margin import (
    Liquidation,
    LiquidationType,
    available_for_liquidation,
    classify_liquidation,
    party_a_available_balance,
    party_a_available_for_quote,
    party_b_available_balance,
    party_b_available_for_quote,
    position_notional,
    position_upnl,
)
from models.symmio.state import Balances, Locked, PositionType
from tests.support.symmio import E18, HEDGER

_BALANCES = Balances(1_000, Locked(50, 20, 130, 40), Locked(5, 2, 13, 4))


def _position(side: int, quantity: int, opened_price: int) -> OpenPosition:
    return OpenPosition(1, 1, PositionType(side), HEDGER, opened_price, quantity)


@pytest.mark.parametrize(
    ("upnl", "for_quote", "balance"),
    [
        (30, 1_030 - 200 - 20, 1_030 - 200),
        (0, 1_000 - 200 - 20, 1_000 - 200),
        (-1, 1_000 - 70 - 20 - 130, 1_000 - 70 - 130),
        (-130, 1_000 - 70 - 20 - 130, 1_000 - 70 - 130),
        (-131, 1_000 - 70 - 20 - 131, 1_000 - 70 - 131),
        (-2_000, 1_000 - 70 - 20 - 2_000, 1_000 - 70 - 2_000),
    ],
)
def test_party_a_gains_add_and_losses_eat_its_maintenance_margin_first(upnl: int, for_quote: int, balance: int) -> None:
    assert for_quote == party_a_available_for_quote(_BALANCES, upnl)
    assert balance == party_a_available_balance(_BALANCES, upnl)


@pytest.mark.parametrize(
    ("upnl", "for_quote", "balance"),
    [
        (30, 1_030 - 110 - 11, 1_030 - 110),
        (-1, 1_000 - 70 - 11 - 40, 1_000 - 70 - 40),
        (-41, 1_000 - 70 - 11 - 41, 1_000 - 70 - 41),
    ],
)
def test_party_b_is_the_same_with_its_own_maintenance_margin(upnl: int, for_quote: int, balance: int) -> None:
    assert for_quote == party_b_available_for_quote(_BALANCES, upnl)
    assert balance == party_b_available_balance(_BALANCES, upnl)


def test_liquidation_looks_at_cva_and_liquidation_fee_only() -> None:
    assert 930 - 400 == available_for_liquidation(_BALANCES, -400)
    assert -1 == available_for_liquidation(_BALANCES, -931)


@pytest.mark.parametrize(
    ("upnl", "expected"),
    [
        (-930, None),
        (-931, Liquidation(LiquidationType.NORMAL, 19, 0)),
        (-949, Liquidation(LiquidationType.NORMAL, 1, 0)),
        (-950, Liquidation(LiquidationType.LATE, 0, 0)),
        (-1_000, Liquidation(LiquidationType.LATE, 0, 50)),
        (-1_001, Liquidation(LiquidationType.OVERDUE, 0, 1)),
    ],
)
def test_a_liquidation_is_classed_by_what_is_missing(upnl: int, expected: Liquidation | None) -> None:
    assert expected == classify_liquidation(_BALANCES, upnl)


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (0, 110 * E18, 70 * E18),
        (1, 110 * E18, -70 * E18),
        (0, 100 * E18, 0),
        (0, 100 * E18 + 1, 7),
        (0, 100 * E18 - 1, -7),
    ],
)
def test_upnl_is_of_the_open_amount_and_party_as(side: int, price: int, expected: int) -> None:
    assert expected == position_upnl(_position(side, 7 * E18, 100 * E18), price)


@pytest.mark.parametrize("side", [0, 1])
def test_upnl_is_truncated_toward_zero(side: int) -> None:
    position = _position(side, E18 - 1, 100)

    assert [0, 0, 0] == [position_upnl(position, price) for price in (99, 100, 101)]


def test_notional_is_floored() -> None:
    assert 6 == position_notional(_position(0, E18 - 1, 100), 7)
