"""In which order a partition's tasks come, how often, and for how long nothing is to be done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine.schedule import Schedule, Task, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

FLUSH_S = 0.125
LOOK_S = 0.05
ALL = [Task.LOOK, Task.PRESS, Task.FLUSH, Task.SUM, Task.CATCH_UP]


@dataclass(frozen=True)
class Waiting:
    """What there is to do."""

    accounts: int = 10
    is_touched: bool = False
    is_behind: bool = False
    sums_due_s: float | None = None


def cycle(schedule: Schedule, now_s: float, work: Waiting, *, age_s: float = 1.0) -> tuple[list[Task], Wait]:
    """The tasks of a cycle that takes no time and leaves the work as it is, and the wait that ends it."""
    tasks = []
    while isinstance(task := schedule.next_task(now_s, age_s, work), Task):
        tasks.append(task)
    return tasks, task


def looked_at(now_s: float, *, flush_s: float = FLUSH_S) -> Schedule:
    """A schedule that has just looked, pressed and flushed."""
    schedule = Schedule(flush_s)
    tasks, _ = cycle(schedule, now_s, Waiting(is_touched=True, is_behind=True))
    assert [Task.LOOK, Task.PRESS, Task.FLUSH, Task.CATCH_UP] == tasks
    return schedule


def test_each_task_that_is_due_comes_once_a_cycle_and_in_order() -> None:
    everything = Waiting(is_touched=True, is_behind=True, sums_due_s=99.0)

    assert (ALL, Wait(100.0, or_touched=False)) == cycle(Schedule(FLUSH_S), 100.0, everything)


def test_where_nothing_is_due_a_touch_or_the_next_look_ends_the_wait() -> None:
    schedule = looked_at(100.0)

    assert ([], Wait(100.0 + LOOK_S, or_touched=True)) == cycle(schedule, 100.01, Waiting())


def test_sums_that_are_due_before_the_next_look_end_the_wait() -> None:
    schedule = looked_at(100.0)

    assert ([], Wait(100.02, or_touched=True)) == cycle(schedule, 100.01, Waiting(sums_due_s=100.02))
    assert ([], Wait(100.0 + LOOK_S, or_touched=True)) == cycle(schedule, 100.01, Waiting(sums_due_s=101.0))
    assert ([Task.SUM], Wait(100.02, or_touched=False)) == cycle(schedule, 100.02, Waiting(sums_due_s=100.02))


def test_what_is_touched_waits_for_the_next_multiple_of_the_time_between_flushes() -> None:
    schedule = looked_at(100.0625)
    touched = Waiting(is_touched=True)

    assert ([], Wait(100.125, or_touched=False)) == cycle(schedule, 100.07, touched)
    assert ([], Wait(100.125, or_touched=False)) == cycle(schedule, 100.1, touched)
    assert ([Task.LOOK, Task.FLUSH], Wait(100.25, or_touched=False)) == cycle(schedule, 100.126, touched)


def test_what_is_touched_long_after_the_last_flush_is_flushed_at_once_and_then_at_multiples_again() -> None:
    schedule = looked_at(100.0)
    touched = Waiting(is_touched=True)

    assert Task.FLUSH in cycle(schedule, 107.3, touched)[0]
    assert ([], Wait(107.375, or_touched=False)) == cycle(schedule, 107.31, touched)


def test_partitions_that_began_at_different_times_flush_at_the_same() -> None:
    touched = Waiting(is_touched=True)
    waits = {cycle(looked_at(began_s), 100.12, touched)[1] for began_s in (100.0, 100.03, 100.11)}

    assert {Wait(100.125, or_touched=False)} == waits


@pytest.mark.parametrize(("age_s", "every_s"), [(0.1, LOOK_S), (1.0, LOOK_S), (60.0, 3.0)])
def test_rows_are_looked_at_twenty_times_within_their_greatest_age_but_not_without_end(
    age_s: float, every_s: float
) -> None:
    schedule = Schedule(FLUSH_S)
    assert ([Task.LOOK], Wait(100.0 + every_s, or_touched=True)) == cycle(schedule, 100.0, Waiting(), age_s=age_s)

    assert every_s == schedule.look_every_s
    assert [] == cycle(schedule, 100.0 + every_s * 0.99, Waiting(), age_s=age_s)[0]
    assert [Task.LOOK] == cycle(schedule, 100.0 + every_s, Waiting(), age_s=age_s)[0]


@pytest.mark.parametrize(("accounts", "every_s"), [(10, LOOK_S), (1_000_000, 2.0)])
def test_those_that_wait_are_pressed_the_less_often_the_more_accounts_there_are(accounts: int, every_s: float) -> None:
    schedule = Schedule(FLUSH_S)
    behind = Waiting(accounts=accounts, is_behind=True)
    assert Task.PRESS in cycle(schedule, 100.0, behind)[0]

    assert Task.PRESS not in cycle(schedule, 100.0 + every_s * 0.99, behind)[0]
    assert Task.PRESS in cycle(schedule, 100.0 + every_s, behind)[0]


def test_nobody_is_pressed_while_nobody_waits() -> None:
    assert [Task.LOOK] == cycle(Schedule(FLUSH_S), 100.0, Waiting(accounts=10))[0]


def test_where_accounts_wait_the_next_cycle_follows_at_once() -> None:
    schedule = looked_at(100.0)

    assert ([Task.CATCH_UP], Wait(100.01, or_touched=False)) == cycle(schedule, 100.01, Waiting(is_behind=True))


def test_what_comes_up_after_its_turn_waits_for_the_next_cycle() -> None:
    schedule = looked_at(100.0)
    assert Task.SUM == schedule.next_task(100.2, 60.0, Waiting(sums_due_s=100.2))
    now_due = Waiting(is_touched=True, is_behind=False)

    assert Wait(100.125, or_touched=False) == schedule.next_task(100.2, 60.0, now_due)
    assert Task.FLUSH == schedule.next_task(100.2, 60.0, now_due)


def test_a_cycle_begins_with_its_first_task_however_long_its_tasks_take() -> None:
    schedule = Schedule(FLUSH_S)
    everything = Waiting(is_touched=True, is_behind=True, sums_due_s=99.0)
    for at, task in enumerate(ALL):
        assert task is schedule.next_task(100.0 + at, 1.0, everything)
        assert 100.0 == schedule.cycle_s
    assert Wait(105.0, or_touched=False) == schedule.next_task(105.0, 1.0, everything)

    assert Task.LOOK is schedule.next_task(106.0, 1.0, everything)
    assert 106.0 == schedule.cycle_s


# Times in binary fractions, so that multiples of FLUSH_S are met exactly.
seconds = st.integers(0, 300).map(lambda parts: parts / 256)
works = st.builds(
    Waiting,
    accounts=st.sampled_from((0, 10, 1_000_000)),
    is_touched=st.booleans(),
    is_behind=st.booleans(),
    sums_due_s=st.one_of(st.none(), st.integers(0, 10 * 256).map(lambda parts: 100 + parts / 256)),
)
ages = st.sampled_from((0.1, 1.0, 60.0))


@settings(deadline=None)
@given(st.lists(st.tuples(seconds, works), max_size=60), ages)
def test_whatever_the_clock_and_the_work_cycles_are_in_order_and_never_go_round_for_nothing(
    steps: Sequence[tuple[float, Waiting]], age_s: float
) -> None:
    schedule, now_s = Schedule(FLUSH_S), 100.0
    tasks: list[Task] = []
    flushed: list[float] = []

    def take(task: Task) -> None:
        tasks.append(task)
        if task is Task.FLUSH:
            # A flush belongs to the cycle that it is part of, which may have begun in the interval before.
            flushed.append(schedule.cycle_s // FLUSH_S)

    for passed_s, work in steps:
        now_s += passed_s
        step = schedule.next_task(now_s, age_s, work)
        if isinstance(step, Task):
            take(step)
            continue
        assert tasks == sorted(set(tasks), key=ALL.index)
        has_caught_up, tasks = Task.CATCH_UP in tasks, []
        after = schedule.next_task(now_s, age_s, work)
        if isinstance(after, Task):
            take(after)
        else:
            # Nothing was due. The wait before it was over already only where accounts had waited until just now.
            assert after.until_s > now_s
            assert step.until_s > now_s or has_caught_up
    assert len(flushed) == len(set(flushed))


@settings(deadline=None)
@given(seconds, works, ages)
def test_no_wait_lasts_beyond_what_will_be_due(passed_s: float, work: Waiting, age_s: float) -> None:
    schedule, now_s = Schedule(FLUSH_S), 100.0 + passed_s
    _, wait = cycle(schedule, now_s, work, age_s=age_s)
    quiet = replace(work, is_behind=False)
    tasks, wait = cycle(schedule, now_s, quiet, age_s=age_s)

    if work.sums_due_s is not None and work.sums_due_s <= now_s:
        assert ([Task.SUM], Wait(now_s, or_touched=False)) == (tasks, wait)
    elif work.is_touched:
        assert ([], False, 0) == (tasks, wait.or_touched, wait.until_s % FLUSH_S)
        assert now_s < wait.until_s <= now_s + FLUSH_S
    else:
        look_s = now_s + schedule.look_every_s
        until_s = look_s if work.sums_due_s is None else min(look_s, work.sums_due_s)
        assert ([], Wait(until_s, or_touched=True)) == (tasks, wait)
