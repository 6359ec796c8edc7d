"""Margin by notional: each part of a notional at the rate of its own tier, so that margin has no jumps."""

from __future__ import annotations

from typing import NamedTuple

from models.money import E18


class Brackets(NamedTuple):
    """Rates by notional.

    ``steps`` are (upper bound at 1e18, None for no bound; rate at 1e18), bounds rising, rates not falling.
    """

    steps: tuple[tuple[int | None, int], ...]

    def margin_e36(self, notional_e18: int) -> int:
        """The margin of a notional >= 0, exact, scaled by 1e36."""
        margin, below = 0, 0
        for bound, rate in self.steps:
            if bound is None or notional_e18 <= bound:
                return margin + (notional_e18 - below) * rate
            margin += (bound - below) * rate
            below = bound
        return margin
