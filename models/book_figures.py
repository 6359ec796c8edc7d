"""An account's figures in floats, as the book takes and keeps them; only the book itself, in workers, needs NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Market = tuple[str, int | str]
"""(deployment, the market's id there): a number, or a text that is none."""


class Exposure(NamedTuple):
    """Floats in whole units, by which the book chooses whom to value; they never understate a loss.

    ``signed`` is the open amount by market, longs less shorts. ``cost`` is the sum of open amount x opened price, longs
    less shorts. ``margin`` is what is left before liquidation at a uPnL of 0; it may be negative.
    """

    signed: Mapping[Market, float]
    cost: float
    margin: float


class Shown(NamedTuple):
    """Figures that an account's published row shows, in whole units.

    ``available`` is margin + uPnL, below zero where the account can be liquidated; ``notional`` is at marks, >= 0.
    """

    available: float
    notional: float
