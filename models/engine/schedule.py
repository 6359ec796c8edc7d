"""When a partition's accounts are looked at, valued and summed up: the order of its tasks, as a function of time."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# Rows that are out of date are looked for so often within their greatest age, and are found late by as much.
_LOOKS = 20
_LOOK_EVERY_LEAST_S = 0.05
# A look for accounts that wait and should not takes 5 ns an account; 2 µs an account between looks are 400 times that.
_PRESSING_EVERY_S_AN_ACCOUNT = 2e-6


class Task(Enum):
    """What a partition has to do, in the order in which it is done."""

    LOOK = auto()
    """Find the accounts whose rows have been out of date for too long."""
    PRESS = auto()
    """Find those that wait, and should not wait any longer."""
    FLUSH = auto()
    """Value what is urgent."""
    SUM = auto()
    """Go on with the subtotals."""
    CATCH_UP = auto()
    """Value some of what can wait."""


class Wait(NamedTuple):
    """There is nothing to do until an instant of the same clock, in s; before that only if something is touched."""

    until_s: float
    or_touched: bool


class Work(Protocol):
    """What there is to do in a partition."""

    @property
    def accounts(self) -> int:
        """How many accounts it has."""

    @property
    def is_touched(self) -> bool:
        """Whether anything is urgent."""

    @property
    def is_behind(self) -> bool:
        """Whether any account waits for a turn beside what is urgent."""

    @property
    def sums_due_s(self) -> float | None:
        """When subtotals are to be gone on with, None where nothing waits for it."""


class Schedule:
    """Says what to do next. Each task comes at most once a cycle, and in the same order.

    ``cycle_s`` is when the cycle began, ``look_every_s`` the time between two looks, ``flush_s`` that between two
    flushes, which may be set anew.

    Args:
        flush_s: The shortest time between two flushes, in s. They come at multiples of it, so that what all partitions
            write leaves in one request.
    """

    def __init__(self, flush_s: float) -> None:
        self.flush_s = flush_s
        self._flushed_s = 0.0
        self._looked_s = 0.0
        self._pressed_s = 0.0
        self._cycle: Iterator[Task] | None = None
        self._has_caught_up = False
        self.cycle_s = 0.0
        self.look_every_s = _LOOK_EVERY_LEAST_S

    def next_task(self, now_s: float, age_s: float, work: Work) -> Task | Wait:
        """The next thing to do.

        Args:
            now_s: The instant, by a clock that never goes back.
            age_s: How old the rows of unwatched accounts may grow, in s.
            work: What there is to do.
        """
        if self._cycle is None:
            self.cycle_s = now_s
            self.look_every_s = max(_LOOK_EVERY_LEAST_S, age_s / _LOOKS)
            self._cycle = self._tasks(now_s, work)
        task = next(self._cycle, None)
        if task is not None:
            return task
        self._cycle = None
        return self._wait(now_s, work)

    def _tasks(self, now_s: float, work: Work) -> Iterator[Task]:
        """Yield what is due in a cycle that begins at ``now_s``; a task is looked for when those before it are done."""
        if now_s >= self._looked_s + self.look_every_s:
            self._looked_s = now_s
            yield Task.LOOK
        if work.is_behind and now_s >= self._pressed_s + self._press_every_s(work):
            self._pressed_s = now_s
            yield Task.PRESS
        if work.is_touched and now_s >= self._flushed_s + self.flush_s:
            self._flushed_s = now_s - now_s % self.flush_s
            yield Task.FLUSH
        sums_due_s = work.sums_due_s
        if sums_due_s is not None and now_s >= sums_due_s:
            yield Task.SUM
        self._has_caught_up = work.is_behind
        if self._has_caught_up:
            yield Task.CATCH_UP

    def _press_every_s(self, work: Work) -> float:
        return max(_LOOK_EVERY_LEAST_S, work.accounts * _PRESSING_EVERY_S_AN_ACCOUNT)

    def _wait(self, now_s: float, work: Work) -> Wait:
        sums_due_s = work.sums_due_s
        if self._has_caught_up or (sums_due_s is not None and now_s >= sums_due_s):
            return Wait(now_s, or_touched=False)
        if work.is_touched:
            return Wait(self._flushed_s + self.flush_s, or_touched=False)
        look_s = self._looked_s + self.look_every_s
        return Wait(look_s if sums_due_s is None else min(look_s, sums_due_s), or_touched=True)
