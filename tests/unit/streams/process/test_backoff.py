from __future__ import annotations

from streams.process.backoff import Backoff


def test_waits_are_spread_up_to_a_bound_that_doubles_to_its_highest() -> None:
    for attempt, bound_s in enumerate([1.0, 2.0, 4.0, 5.0, 5.0]):
        waits = []
        for _ in range(50):
            backoff = Backoff(1.0, 5.0)
            waits.append([backoff.next_s() for _ in range(attempt + 1)][-1])

        assert all(0 < wait <= bound_s for wait in waits)
        assert max(waits) - min(waits) > bound_s / 3


def test_a_success_begins_anew() -> None:
    backoff = Backoff(1.0, 64.0)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()

    assert backoff.next_s() <= 1.0
