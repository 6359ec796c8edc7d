"""How often a client may ask, and how soon it may come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Of the messages that the server allows: its clock and ours do not agree on when a second is over.
_SHARE_SENT = 0.8
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 15.0


class Allowance:
    """The messages that may be sent, as many as the server reads.

    Args:
        per_s: How many the server reads in a second, more than 0.
        burst: How many it reads at once, at least 1.
        now_s: The time, in s of any clock that only rises.
    """

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s = per_s * _SHARE_SENT
        self._burst = max(1.0, burst * _SHARE_SENT)
        self._left = self._burst
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """Take one message, and return 0; or take none, and return after how many s there will be one."""
        self._left = min(self._burst, self._left + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = max(now_s, self._at_s)
        if self._left >= 1 and now_s >= self._at_s:
            self._left -= 1
            return 0.0
        return self._at_s - now_s + max(0.0, 1 - self._left) / self._per_s

    def stop_until(self, then_s: float) -> None:
        """Take none before then: the server said that it did not read one."""
        self._left, self._at_s = 0.0, then_s


class BackOff:
    """The waits between attempts: twice as long each time, and spread, since all clients lose a replica at once.

    Args:
        spread: Gives numbers from 0 to 1.
    """

    def __init__(self, spread: Callable[[], float]) -> None:
        self._spread = spread
        self._losses = 0

    def next_s(self, *, is_crowded: bool) -> float:
        """Return the next wait, in s; the longest one where the server said that there are too many of us."""
        wait_s = _LONGEST_WAIT_S if is_crowded else min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**self._losses)
        self._losses = min(self._losses + 1, 10)
        return wait_s * (0.5 + self._spread() / 2)

    def reset(self) -> None:
        """Begin with the shortest wait again: the server works."""
        self._losses = 0
