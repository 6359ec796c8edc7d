from __future__ import annotations

import pytest

from streams.pace import Pace


def test_few_accounts_are_shown_at_once() -> None:
    assert 0.1 == Pace(60).age_s(200)


def test_more_accounts_grow_older_as_a_fifth_of_the_workers_time_allows() -> None:
    pace = Pace(60)
    pace.cost_s = 100e-6

    assert 5.0 == pytest.approx(pace.age_s(10_000))


def test_the_bound_is_kept_as_long_as_it_can_be_and_is_what_it_takes_from_then_on() -> None:
    pace = Pace(60)
    pace.cost_s = 100e-6

    assert 60 == pace.age_s(200_000)
    assert 250 == pytest.approx(pace.age_s(1_000_000))


def test_the_cost_follows_what_is_measured_and_an_empty_turn_says_nothing() -> None:
    pace = Pace(60)
    before = pace.cost_s
    pace.valued(0, 1.0)
    unchanged = pace.cost_s
    for _ in range(200):
        pace.valued(10, 10 * 500e-6)

    assert before == unchanged
    assert 500e-6 == pytest.approx(pace.cost_s, rel=0.01)
