"""An account's figures in floats, as the book takes and keeps them; only the book itself, in workers, needs NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

REACH = 0.005
"""By how much of itself a mark may move before the exposures are made anew that are not linear in it.

They are made at a mark that is off its anchor by at most this, and are used until it is off by more. What two moves of
twice this multiply to, 1e-4 of a position, is what their slack covers.
A smaller reach would have them made anew more often, a larger one makes more accounts due that need not be.
"""

MOVE_MAX = 2 * REACH / (1 - REACH)
"""By how much of itself a mark may have moved since an exposure was made: twice ``REACH`` of its anchor."""

Market = tuple[str, int | str]
"""(deployment, the market's id there): a number, or a text that is none."""


class Exposure(NamedTuple):
    """Floats in whole units, by which the book chooses whom to value; they never understate a loss.

    ``signed`` is the open amount by market, longs less shorts. ``cost`` is the sum of open amount x opened price, longs
    less shorts. ``margin`` is what is left before liquidation at a uPnL of 0; it may be negative.

    ``slack`` is None where a value is linear in the marks. Where it is not, the others say the tangent at the marks at
    which they were made, and ``slack`` is by how much the value may lie below the tangent, >= 0, as long as no mark
    moves by more than ``MOVE_MAX`` of what it was. A market whose mark is not known is in ``signed`` all the same.
    """

    signed: Mapping[Market, float]
    cost: float
    margin: float
    slack: float | None = None


class Shown(NamedTuple):
    """Figures that an account's published row shows, in whole units.

    ``available`` is margin + uPnL, below zero where the account can be liquidated; ``notional`` is at marks, >= 0.
    """

    available: float
    notional: float
