"""Waiting times between attempts: exponential, with full jitter."""

from __future__ import annotations

import random


class Backoff:
    """Draws each wait from (0, min(highest, lowest * 2**n)], so that many clients of one server do not return together.

    Args:
        lowest_s: Bound of the first wait in seconds.
        highest_s: Bound of every later one.
    """

    def __init__(self, lowest_s: float, highest_s: float) -> None:
        self._lowest_s = lowest_s
        self._highest_s = highest_s
        self._attempts = 0

    def next_s(self) -> float:
        """Return the next wait in seconds; each call counts as a failed attempt."""
        bound_s = min(self._highest_s, self._lowest_s * float(2**self._attempts))
        if bound_s < self._highest_s:
            self._attempts += 1
        return bound_s * (1.0 - random.random())  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Begin anew after a success."""
        self._attempts = 0
