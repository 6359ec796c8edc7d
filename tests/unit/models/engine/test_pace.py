from __future__ import annotations

import pytest

from models.engine.pace import Pace


def test_few_accounts_are_shown_at_once() -> None:
    assert 0.1 == Pace(60).age_s(200)


def test_more_accounts_grow_older_as_a_fifth_of_the_workers_time_allows() -> None:
    pace = Pace(60)
    pace.cost_s = 100e-6

    assert 5.0 == pytest.approx(pace.age_s(10_000))


def test_the_bound_is_kept_as_long_as_it_can_be_and_is_what_a_round_takes_from_then_on() -> None:
    pace = Pace(60)
    pace.cost_s = 100e-6

    assert 60 == pace.age_s(200_000)
    assert 1_000_000 * 150e-6 * 1.5 == pytest.approx(pace.age_s(1_000_000))


def test_a_round_takes_what_it_has_taken_while_accounts_waited() -> None:
    pace = Pace(60)
    for turn in range(10_000):
        pace.valued(10, 0.001, turn * 0.004, do_more_wait=True)

    assert 1_000_000 * 400e-6 * 1.5 == pytest.approx(pace.age_s(1_000_000), rel=0.05)


def test_time_in_which_nobody_waited_says_nothing_of_a_round() -> None:
    busy, calm = Pace(60), Pace(60)
    for turn in range(10_000):
        busy.valued(10, 0.001, turn * 0.002, do_more_wait=True)
        calm.valued(10, 0.001, turn * 1.002, do_more_wait=True)
        calm.valued(10, 0.001, turn * 1.002 + 0.002, do_more_wait=False)

    assert 1_000_000 * 200e-6 * 1.5 == pytest.approx(busy.age_s(1_000_000), rel=0.05)
    assert busy.age_s(1_000_000) == pytest.approx(calm.age_s(1_000_000), rel=0.05)


def test_a_worker_that_had_little_time_for_a_while_is_soon_as_fast_as_before() -> None:
    pace = Pace(60)
    for turn in range(1_000):
        pace.valued(10, 0.001, turn * 0.1, do_more_wait=turn < 999)
    slow_s = pace.age_s(1_000)
    for turn in range(30_000):
        pace.valued(10, 0.001, 100 + turn * 0.002, do_more_wait=turn % 10 != 9)

    assert 1_000 * 10e-3 * 1.5 == pytest.approx(slow_s, rel=0.05)
    assert 0.5 == pytest.approx(pace.age_s(1_000), rel=0.05)


def test_the_cost_follows_what_is_measured_and_a_turn_that_is_empty_or_was_not_measured_says_nothing() -> None:
    pace = Pace(60)
    before = pace.cost_s
    pace.valued(0, 1.0, 0.0, do_more_wait=False)
    pace.valued(10, None, 0.0, do_more_wait=False)
    unchanged = pace.cost_s
    for _ in range(200):
        pace.valued(10, 10 * 500e-6, 0.0, do_more_wait=False)

    assert before == unchanged
    assert 500e-6 == pytest.approx(pace.cost_s, rel=0.01)
