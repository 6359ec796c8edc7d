"""The subtotals of one partition: when they are gone on with, and for how long at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from models.engine.step import Served, Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.engine.totals import Totals
    from streams.process.clock import Clock

_EVERY_S = 1.0
# Of the worker's time, for the sums of all its partitions together. Where all accounts are watched there are as many
# sums to write as accounts.
_SHARE = 0.1
# Accounts that fill memory are counted whatever the time is.
_AT_ONCE_S = 0.0


class SumRows(Protocol):
    """What sums write through."""

    def put(self, partition: int, write: Write, /) -> None:
        """Write a row."""

    def put_served(self, partition: int, served: Served, /) -> None:
        """Keep what is no row of its own."""

    def flush(self) -> None:
        """Let what was written leave."""


class Sums:
    """Takes turns at the rounds of ``Totals``: a round a second, or fewer where rounds take long.

    ``due_s`` is when the sums are to be written next, by the clock's ``monotonic_s``.

    Args:
        partition: The partition that is owned.
        totals: Its totals.
        rows: The tables.
        clock: Tells when a round is due, and what turns have taken.
        partitions: Tells how many partitions share the worker's time, this one among them.
    """

    def __init__(
        self, partition: int, totals: Totals, rows: SumRows, clock: Clock, partitions: Callable[[], int]
    ) -> None:
        self._partition = partition
        self._totals = totals
        self._rows = rows
        self._clock = clock
        self._partitions = partitions
        self._spent_s = 0.0
        self.due_s = clock.monotonic_s() + _EVERY_S

    @property
    def next_turn_s(self) -> float | None:
        """When to take the next turn, None where nothing waits for one."""
        if self._totals.is_full:
            return _AT_ONCE_S
        return self.due_s if self._totals.is_waiting else None

    def turn(self, for_s: float) -> None:
        """Go on with the round for so long at the most; ``due_s`` is in the future when the sums are written."""
        began_s = self._clock.monotonic_s()
        is_due = began_s >= self.due_s
        is_over = self._round(began_s + for_s, is_due=is_due) and is_due
        self._spent_s += self._clock.monotonic_s() - began_s
        self._rows.flush()
        if is_over:
            self.due_s = began_s + max(_EVERY_S, self._spent_s * self._partitions() / _SHARE)
            self._spent_s = 0.0

    def _round(self, until_s: float, *, is_due: bool) -> bool:
        """Go on with the round until a time; tell whether nothing of it is left."""
        for write in self._totals.round(self._clock.now_ms(), is_due=is_due):
            match write:
                case Write():
                    self._rows.put(self._partition, write)
                case Served():
                    self._rows.put_served(self._partition, write)
                case None:
                    pass
            if self._clock.monotonic_s() >= until_s:
                return False
        return True
