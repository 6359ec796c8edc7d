"""The arrays of the account channel. Elements are found by index, so an array may grow at its end and nowhere else.

Elements that follow from prices are None until they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from api.dialects.bitfinex.wire_flags import Ms
from models.money import E18

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN, DERIVATIVE = 0, 1


class Calculated(NamedTuple):
    """What is calculated of a position; all None until it is asked for."""

    pl: float | None = None
    pl_perc: float | None = None
    price_liq: float | None = None
    leverage: float | None = None
    collateral: float | None = None
    collateral_min: float | None = None


NOT_CALCULATED = Calculated()


class PositionFacts(NamedTuple):
    """What a position is, whatever the prices are.

    ``type`` is ``MARGIN`` or ``DERIVATIVE``. ``amount`` is signed, and 0 of one that is closed.
    """

    symbol: str
    amount: float
    base_price: float | None
    position_id: int
    type: int
    is_closed: bool = False
    funding: float = 0.0
    funding_type: int = 0
    created_ms: int | None = None
    updated_ms: int | None = None
    collateral: float | None = None
    meta: Mapping[str, Any] | None = None


def position_array(facts: PositionFacts, calculated: Calculated = NOT_CALCULATED) -> list[Any]:
    """Make the array of ``pn``, ``pu`` and ``pc``."""
    return [
        facts.symbol,
        "CLOSED" if facts.is_closed else "ACTIVE",
        facts.amount,
        facts.base_price,
        facts.funding,
        facts.funding_type,
        calculated.pl,
        calculated.pl_perc,
        calculated.price_liq,
        calculated.leverage,
        None,
        facts.position_id,
        instant(facts.created_ms),
        instant(facts.updated_ms),
        None,
        facts.type,
        None,
        facts.collateral if calculated.collateral is None else calculated.collateral,
        calculated.collateral_min,
        facts.meta,
    ]


class WalletFacts(NamedTuple):
    """What a wallet has; ``balance`` is None where it is unknown."""

    type: str
    currency: str
    balance: float | None
    interest: float = 0.0
    description: str | None = None
    meta: Mapping[str, Any] | None = None


def wallet_array(facts: WalletFacts, available: float | None = None) -> list[Any]:
    """Make the array of ``wu``; ``available`` is None until it is asked for."""
    return [facts.type, facts.currency, facts.balance, facts.interest, available, facts.description, facts.meta]


def base_margin_array(figures: tuple[int | None, ...]) -> list[Any]:
    """Make the array of ``miu`` of a whole account.

    Args:
        figures: USER_PL, USER_SWAPS, MARGIN_BALANCE, MARGIN_NET and MARGIN_REQUIRED, 1e18-scaled.
    """
    return ["base", [money(one) for one in figures]]


def symbol_margin_array(symbol: str, figures: tuple[int | None, ...]) -> list[Any]:
    """Make the array of ``miu`` of a symbol.

    Args:
        symbol: The symbol.
        figures: TRADABLE_BALANCE, GROSS_BALANCE, BUY and SELL, 1e18-scaled.
    """
    return ["sym", symbol, [*(money(one) for one in figures), None, None, None, None]]


def funding_array(symbol: str, figures: tuple[int | None, ...]) -> list[Any]:
    """Make the array of ``fiu``.

    Args:
        symbol: The funding symbol.
        figures: YIELD_LOAN, YIELD_LEND, DURATION_LOAN and DURATION_LEND, 1e18-scaled.
    """
    return ["sym", symbol, [money(one) for one in figures]]


def balance_array(figures: tuple[int | None, ...]) -> list[Any]:
    """Make the array of ``bu``: AUM and AUM_NET, 1e18-scaled."""
    return [money(one) for one in figures]


def money(value_e18: int | None) -> float | None:
    """The double nearest to a 1e18-scaled value."""
    return None if value_e18 is None else value_e18 / E18


def instant(time_ms: int | None) -> Ms | None:
    """A time as frames hold it."""
    return None if time_ms is None else Ms(time_ms)
