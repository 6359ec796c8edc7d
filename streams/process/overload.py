"""Whether a process has more to do than it can: then what it shows grows old, and it has to say so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import prometheus_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.process.clock import Clock

OVERLOADED = prometheus_client.Gauge("tidemark_overloaded", "1 while the process has more to do than it can.")

_LOOK_EVERY_S = 0.5
# Timers that come so late mean that each piece of work waits for many others.
_LATE_S = 0.1
# What people look at is older than a second then.
_WAITED_S = 1.0
# It is over when all of it has been below half of that for so long: else it would come and go.
_WELL_BELOW = 0.5
_OVER_AFTER_S = 5.0


class Lateness(Protocol):
    """Knows how late a process's loop is; ``Cadence`` does."""

    @property
    def late_s(self) -> float:
        """By how much timers of the loop come late, in s."""


class Waits:
    """The longest of the times, in s, that something has taken or waited since it was last asked."""

    def __init__(self) -> None:
        self._longest_s = 0.0

    def note(self, waited_s: float) -> None:
        """Take in that something took or waited so long."""
        self._longest_s = max(self._longest_s, waited_s)

    def take(self) -> float:
        """The longest, 0 where there was nothing; from here on it is counted anew."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s


class Overload:
    """Sees whether the process is overloaded; at first it is not.

    Args:
        lateness: Knows how late the loop is.
        waits: What waits where the process cannot keep up.
        clock: Tells for how long it has kept up.

    Attributes:
        is_on: Whether the process is overloaded now.
    """

    def __init__(self, lateness: Lateness, waits: Sequence[Waits], clock: Clock) -> None:
        self._lateness = lateness
        self._waits = waits
        self._clock = clock
        self._not_well_s = 0.0
        self.is_on = False

    def look(self) -> None:
        """See how it is now."""
        waited_s = max(waits.take() for waits in self._waits)
        of_bound, now_s = max(self._lateness.late_s / _LATE_S, waited_s / _WAITED_S), self._clock.monotonic_s()
        if of_bound >= _WELL_BELOW:
            self._not_well_s = now_s
        if of_bound >= 1:
            self.is_on = True
        elif now_s >= self._not_well_s + _OVER_AFTER_S:
            self.is_on = False
        OVERLOADED.set(self.is_on)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look()
