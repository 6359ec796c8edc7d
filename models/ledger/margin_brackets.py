"""Margin by notional: each part of a notional at the rate of its own tier, so that margin has no jumps."""

from __future__ import annotations

from typing import NamedTuple

from models.money import E18


class Bracket(NamedTuple):
    """The part of a notional up to ``bound_e18``, None for all that is above the bracket before, and its rate, >= 0."""

    bound_e18: int | None
    rate_e18: int


class Brackets(NamedTuple):
    """Brackets of rising bounds, of which only the last has none; their rates do not fall."""

    brackets: tuple[Bracket, ...]

    def margin_e54(self, notional_e36: int) -> int:
        """The margin of a notional >= 0 that is scaled by 1e36: exact, scaled by 1e54."""
        rate_e18, less_e54 = self.line_at(notional_e36)
        return notional_e36 * rate_e18 - less_e54

    def line_at(self, notional_e36: int) -> tuple[int, int]:
        """The straight line on which the margin of a notional lies: (rate at 1e18, what is taken off at 1e54, >= 0)."""
        below_e36, rate_below, less_e54 = 0, 0, 0
        for bound_e18, rate_e18 in self.brackets:
            less_e54 += below_e36 * (rate_e18 - rate_below)
            if bound_e18 is None or notional_e36 <= bound_e18 * E18:
                return rate_e18, less_e54
            below_e36, rate_below = bound_e18 * E18, rate_e18
        msg = "expected a last bracket without a bound"
        raise ValueError(msg)

    def notional_e36(self, margin_e54: int) -> int:
        """The largest notional, at 1e36, whose margin is not above ``margin_e54``, >= 0; the first rate is above 0."""
        below_e36, spent_e54 = 0, 0
        for bound_e18, rate_e18 in self.brackets:
            reached_e36 = below_e36 + (margin_e54 - spent_e54) // rate_e18
            if bound_e18 is None or reached_e36 <= bound_e18 * E18:
                return reached_e36
            spent_e54 += (bound_e18 * E18 - below_e36) * rate_e18
            below_e36 = bound_e18 * E18
        msg = "expected a last bracket without a bound"
        raise ValueError(msg)
