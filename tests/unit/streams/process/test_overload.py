"""When a process says that it has more to do than it can, and when no longer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from streams.process.clock import SystemClock
from streams.process.overload import Overload, Waits


@dataclass
class Late:
    """A loop that is as late as the test says."""

    late_s: float = 0.0


class SetClock(SystemClock):
    """A clock that moves when the test says."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def monotonic_s(self) -> float:
        return self.at_s


class World:
    """A process that is looked at every half second."""

    def __init__(self) -> None:
        self.clock, self.late, self.waits = SetClock(), Late(), Waits()
        self.overload = Overload(self.late, (self.waits, Waits()), self.clock)

    def after(self, seconds: float) -> bool:
        """Whether it is overloaded when so much time has passed."""
        for _ in range(round(seconds * 2)):
            self.clock.at_s += 0.5
            self.overload.look()
        return self.overload.is_on


def test_a_process_that_keeps_up_is_not_overloaded() -> None:
    world = World()
    world.late.late_s = 0.09
    world.waits.note(0.9)

    assert not world.after(0.5)


@pytest.mark.parametrize(("late_s", "waited_s"), [(0.1, 0.0), (0.0, 1.0)])
def test_a_loop_that_is_late_or_work_that_waits_is_overload_at_once(late_s: float, waited_s: float) -> None:
    world = World()
    world.late.late_s = late_s
    world.waits.note(waited_s)

    assert world.after(0.5)


def test_it_is_over_by_itself_when_all_has_been_well_below_the_bound_for_a_while() -> None:
    world = World()
    world.late.late_s = 0.2
    assert world.after(10)
    world.late.late_s = 0.06
    assert world.after(60)
    world.late.late_s = 0.04

    assert world.after(4)
    assert not world.after(1.5)


def test_the_longest_wait_since_the_last_look_counts_and_is_counted_once() -> None:
    world = World()
    for waited_s in (0.1, 1.5, 0.2):
        world.waits.note(waited_s)
    assert world.after(0.5)

    assert not world.after(6)
