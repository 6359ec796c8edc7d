"""How far apart rounds of work are: a request, a flush and a timer cost what they cost, whatever is in them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.process.clock import Clock

# A round costs this process and the broker some 2 ms together. So much apart, rounds take a quarter of a core.
_IDLE_S = 0.008
_LONGEST_S = 0.05
# What comes after a pause is not kept waiting: a price makes a mark, and the mark a valuation, in a round each.
_AT_ONCE = 3
# Two rounds are never closer, so that what is written in one turn of the loop leaves in one request.
_SHORTEST_S = 0.002
_MEASURE_EVERY_S = 0.1
# Of the newest measurement: what happens once in a second changes little.
_WEIGHT = 0.3


class Pacing(Protocol):
    """Says how far apart rounds are; ``Cadence`` does."""

    @property
    def interval_s(self) -> float:
        """The time between two rounds where one follows the other, in s."""


class Cadence:
    """Follows how busy a process is: the busier, the further apart its rounds, and the more there is in each.

    Args:
        clock: Tells what the process has worked, and how late its loop is.

    Attributes:
        utilisation: The share of a core that the thread of the loop takes, 0 to 1.
        late_s: By how much timers of the loop come late, in s.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.utilisation = 0.0
        self.late_s = 0.0

    @property
    def interval_s(self) -> float:
        """The time between two rounds where one follows the other, in s: 8 ms when idle, 50 ms at the most."""
        free = 1.0 - self.utilisation
        by_work_s = _IDLE_S / free if free > _IDLE_S / _LONGEST_S else _LONGEST_S
        return min(_LONGEST_S, max(by_work_s, self.late_s))

    def measured(self, *, worked_s: float, passed_s: float, late_s: float) -> None:
        """Take in a measurement.

        Args:
            worked_s: The processor time that the thread of the loop took, in s.
            passed_s: The time in which it took it, in s, > 0.
            late_s: By how much the loop came late to measure, in s.
        """
        self.utilisation += _WEIGHT * (min(1.0, worked_s / passed_s) - self.utilisation)
        self.late_s += _WEIGHT * (max(0.0, late_s) - self.late_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = self._clock
        began_s, worked_s = clock.monotonic_s(), clock.worked_s()
        while True:
            await asyncio.sleep(_MEASURE_EVERY_S)
            now_s, now_worked_s = clock.monotonic_s(), clock.worked_s()
            passed_s = max(_MEASURE_EVERY_S, now_s - began_s)
            self.measured(worked_s=now_worked_s - worked_s, passed_s=passed_s, late_s=passed_s - _MEASURE_EVERY_S)
            began_s, worked_s = now_s, now_worked_s


class Rounds:
    """When the next round of one kind may begin: a few after a pause at once, all others an interval apart.

    Args:
        pacing: Says how long the interval is.
    """

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._last_s = 0.0
        # As if every round had come an interval after the one before.
        self._even_s = 0.0

    def due_s(self) -> float:
        """When the next round may begin, by the clock of ``began``; in the past where it may begin now.

        It is never later than an interval after the last one, also where rounds began before they were due.
        """
        interval_s = self._pacing.interval_s
        return max(self.soonest_s, min(self._last_s + interval_s, self._even_s - _AT_ONCE * interval_s))

    @property
    def soonest_s(self) -> float:
        """When the next round may begin at the very soonest, where something cannot go on without it."""
        return self._last_s + _SHORTEST_S

    def began(self, now_s: float) -> None:
        """A round begins now, by a clock that never goes back, in s."""
        interval_s = self._pacing.interval_s
        self._last_s = now_s
        # Rounds that began before they were due, and those that were further apart, are not made up for later.
        self._even_s = min(max(self._even_s, now_s), now_s + _AT_ONCE * interval_s) + interval_s
