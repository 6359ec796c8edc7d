"""How far apart rounds are: at once after a pause, even where one follows the other, further where there is no time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.process.cadence import Cadence, Rounds
from tests.support.clocks import LoopClock
from tests.support.pacing import Even


def measured(worked_s: float, late_s: float = 0.0) -> Cadence:
    """A cadence of a process that has worked so much of each second for long."""
    cadence = Cadence(LoopClock(0))
    for _ in range(100):
        cadence.measured(worked_s=worked_s, passed_s=1.0, late_s=late_s)
    return cadence


@pytest.mark.parametrize(
    ("worked_s", "late_s", "interval_s"),
    [(0.0, 0.0, 0.008), (0.5, 0.0, 0.016), (0.75, 0.0, 0.032), (1.0, 0.0, 0.05), (0.1, 0.03, 0.03), (0.1, 9.0, 0.05)],
)
def test_rounds_of_a_process_are_the_further_apart_the_busier_or_later_it_is_up_to_a_bound(
    worked_s: float, late_s: float, interval_s: float
) -> None:
    assert measured(worked_s, late_s).interval_s == pytest.approx(interval_s, rel=1e-3)


def test_rounds_come_closer_again_when_a_process_has_time_again() -> None:
    cadence = measured(1.0, 1.0)
    for _ in range(100):
        cadence.measured(worked_s=0.0, passed_s=1.0, late_s=0.0)

    assert cadence.interval_s == pytest.approx(0.008, rel=1e-3)


def times_of(events: list[float], interval_s: float) -> list[float]:
    """When rounds come, each for what has happened since the one before."""
    rounds, times = Rounds(Even(interval_s)), [-1.0]
    for at_s in events:
        if at_s > times[-1]:
            times.append(max(at_s, rounds.due_s()))
            rounds.began(times[-1])
    return times[1:]


def test_what_comes_after_a_pause_is_not_kept_waiting() -> None:
    assert [10.0, 10.003, 20.0, 20.003] == times_of([10.0, 10.003, 20.0, 20.003], 0.05)


def test_where_something_comes_all_the_time_rounds_are_an_interval_apart() -> None:
    times = times_of([10 + at / 1000 for at in range(2_000)], 0.01)

    assert len(times) == pytest.approx(200, abs=6)


@given(st.lists(st.integers(1, 60_000), max_size=200), st.sampled_from((0.002, 0.008, 0.05)))
def test_whatever_comes_when_no_round_is_later_than_an_interval_and_no_more_of_them_come_than_that_allows(
    gaps_us: list[int], interval_s: float
) -> None:
    rounds, now_s, last_s, times = Rounds(Even(interval_s)), 10.0, 0.0, []
    for gap_us in gaps_us:
        now_s += gap_us / 1e6
        due_s = max(now_s, rounds.due_s())
        assert due_s <= max(now_s, last_s + interval_s + 0.002) + 1e-9
        now_s = last_s = due_s
        rounds.began(now_s)
        times.append(now_s)

    for at, began_s in enumerate(times):
        within = [time for time in times[at:] if time < began_s + 20 * interval_s]
        assert len(within) <= 20 + 4


def test_rounds_that_could_not_wait_keep_no_later_round_waiting_for_longer_than_an_interval() -> None:
    rounds, now_s = Rounds(Even(0.05)), 10.0
    for _ in range(1_000):
        now_s += 0.01
        rounds.began(now_s)

    assert rounds.due_s() == pytest.approx(now_s + 0.05)
    # And after a pause the next ones come at once again.
    now_s += 1.0
    for _ in range(3):
        assert rounds.due_s() <= now_s
        rounds.began(now_s)
        now_s += 0.003


def test_a_round_is_due_by_the_interval_of_now_where_rounds_were_further_apart_before() -> None:
    cadence, now_s = measured(1.0), 10.0
    rounds = Rounds(cadence)
    for _ in range(20):
        now_s = max(now_s, rounds.due_s())
        rounds.began(now_s)
    for _ in range(100):
        cadence.measured(worked_s=0.0, passed_s=1.0, late_s=0.0)

    assert rounds.due_s() == pytest.approx(now_s + 0.008, abs=1e-4)
