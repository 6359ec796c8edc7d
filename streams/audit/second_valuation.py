"""A second valuation of SYMMIO accounts, in decimals and by code of its own, so that no fault of the first one hides.

It takes nothing from ``models``: what positions and balances there are stands in the row, whose own figures it does not
look at; prices are read out of the ticks as they were said. The formulae are those of docs/figures.md.
"""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A product of two amounts of 256 bits has 155 digits.
_DIGITS = 400
_ONE = Decimal(10) ** 18
_CVA, _LF = 0, 1
_FIGURES = ("upnl", "notional", "notional_opened", "equity", "available_balance")


def value_again(body: Mapping[str, Any], tick: Callable[[str, int], bytes]) -> dict[str, Any]:
    """Value the account of a row once more.

    Args:
        body: The row's body.
        tick: The record of ``price-ticks`` of a mark's key and offset.

    Returns:
        The columns that depend on prices, as the row should have them; those of positions as ``positions.NAME``.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        return _value(body, tick)


def _value(body: Mapping[str, Any], tick: Callable[[str, int], bytes]) -> dict[str, Any]:
    gains: list[Decimal | None] = []
    worths: list[Decimal | None] = []
    opened = Decimal(0)
    for one in body["positions"]:
        size, price = Decimal(one["quantity"]), Decimal(one["opened_price"]) / _ONE
        opened += (size * price).to_integral_value(ROUND_FLOOR)
        if one["mark_key"] is None:
            gains.append(None)
            worths.append(None)
            continue
        mark = _mark(json.loads(tick(one["mark_key"], one["mark_offset"])))
        gain = (mark - price) * size * (1 if one["side"] == "long" else -1)
        gains.append(gain.to_integral_value(ROUND_DOWN))
        worths.append((mark * size).to_integral_value(ROUND_FLOOR))
    again: dict[str, Any] = {
        "positions.upnl": [_text(one) for one in gains],
        "positions.notional": [_text(one) for one in worths],
    }
    known = [one for one in gains if one is not None]
    if body["status"] != "valued" or len(known) < len(gains):
        return {**again, **dict.fromkeys(_FIGURES), "liquidatable": None, "liquidatable_hedgers": None}
    allocated, locked = Decimal(body["allocated"]), [Decimal(one) for one in body["locked"]]
    upnl = sum(known, Decimal(0))
    available = allocated + upnl - locked[_CVA] - locked[_LF]
    notional = sum((one for one in worths if one is not None), Decimal(0))
    figures = (upnl, notional, opened, allocated + upnl, available)
    return {
        **again,
        **{name: _text(value) for name, value in zip(_FIGURES, figures, strict=True)},
        "liquidatable": available < 0,
        "liquidatable_hedgers": _hedgers_below(body, known) or None,
    }


def _hedgers_below(body: Mapping[str, Any], gains: Sequence[Decimal]) -> list[str]:
    """The hedgers whose part does not bear what the account gained with them."""
    left = {}
    for one, gain in zip(body["positions"], gains, strict=True):
        hedger = one["party_b"]
        if hedger not in left:
            allocated, locked, _ = body["party_b"].get(hedger, ("0", ("0", "0"), None))
            left[hedger] = Decimal(allocated) - Decimal(locked[_CVA]) - Decimal(locked[_LF])
        left[hedger] -= gain
    return sorted(hedger for hedger, rest in left.items() if rest < 0)


def _mark(said: Mapping[str, Any]) -> Decimal:
    """The price of a tick; the middle of a book, in whole 1e-18."""
    if said["kind"] == "mark":
        return Decimal(said["mark"])
    middle = (Decimal(said["bid"]) + Decimal(said["ask"])) / 2
    return (middle * _ONE).to_integral_value(ROUND_FLOOR) / _ONE


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(int(value))
