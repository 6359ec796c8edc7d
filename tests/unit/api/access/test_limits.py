"""Limits within one process, on a clock of the test's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.limits import Slots, TokenBucket, TokenBuckets


def let_through(bucket: TokenBucket, now_s: float, times: int) -> int:
    return sum(not bucket.take(now_s) for _ in range(times))


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    bucket = TokenBucket(per_s=10, burst=20)
    assert 20 == let_through(bucket, 100.0, 30)
    assert pytest.approx(0.1) == bucket.take(100.0)
    assert 5 == let_through(bucket, 100.5, 30)
    assert 20 == let_through(bucket, 200.0, 30)


def test_what_was_refused_costs_nothing() -> None:
    bucket = TokenBucket(per_s=1, burst=1)
    assert 0 == bucket.take(0.0)
    for _ in range(100):
        assert 1 == bucket.take(0.0)
    assert 0 == bucket.take(1.0)


def test_a_clock_that_goes_back_lets_nothing_through() -> None:
    bucket = TokenBucket(per_s=1, burst=1)
    bucket.take(10.0)
    assert 1 == bucket.take(5.0)


@given(st.lists(st.integers(0, 100), max_size=100))
def test_in_any_second_no_more_than_burst_and_rate_are_let_through(waits_ms: list[int]) -> None:
    bucket, passed, now_ms = TokenBucket(per_s=8, burst=4), [], 0
    for wait_ms in waits_ms:
        now_ms += wait_ms
        if not bucket.take(now_ms / 1_000):
            passed.append(now_ms)
    for since_ms in passed:
        assert len([at for at in passed if since_ms <= at < since_ms + 1_000]) <= 4 + 8


def test_each_key_has_its_own_bucket() -> None:
    buckets = TokenBuckets(per_s=1, burst=1)
    assert (0, 1, 0) == (buckets.take("a", 0.0), buckets.take("a", 0.0), buckets.take("b", 0.0))
    assert (1, 0) == (buckets.wait_s("a", 0.0), buckets.wait_s("c", 0.0))


def test_keys_that_are_as_good_as_new_are_forgotten() -> None:
    buckets = TokenBuckets(per_s=1, burst=2)
    for number in range(1_000):
        buckets.take(f"address {number}", number / 1_000)
    assert 900 < len(buckets)
    for number in range(1_000):
        buckets.take("one that stays", 100.0 + number)
    assert 1 == len(buckets)


def test_memory_is_bounded_and_the_longest_unused_is_forgotten_first() -> None:
    buckets = TokenBuckets(per_s=0.001, burst=1, keys_max=10)
    for number in range(50):
        buckets.take("busy", 0.0)
        buckets.take(f"address {number}", 0.0)
        assert len(buckets) <= 10
    assert 0 < buckets.wait_s("busy", 0.0)
    assert 0 == buckets.wait_s("address 0", 0.0)


def test_slots_are_taken_up_to_so_many_and_given_back() -> None:
    slots = Slots(2)
    assert (True, True, False, True) == tuple(map(slots.enter, "aaab"))
    slots.leave("a")
    assert slots.enter("a")
    for key in "aab":
        slots.leave(key)
    assert 0 == len(slots)


def test_what_has_passed_already_is_waited_for_until_it_is_made_up_for() -> None:
    bucket = TokenBucket(10, 20)

    assert 0 == bucket.spend(20, 0.0)
    assert 3.0 == bucket.spend(30, 0.0)
    assert 0 == bucket.spend(0, 3.0)
