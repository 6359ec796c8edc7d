"""The marks of before an epoch began."""

from __future__ import annotations

from models.prices import Mark
from streams.funder.funding_inputs import Samples

KEY = b"venue:AAA"


def mark(event_ms: int) -> Mark:
    return Mark(event_ms, None, event_ms, None, event_ms, event_ms, event_ms)


def test_the_last_mark_before_the_epoch_stands_when_later_ones_come() -> None:
    samples = Samples()
    for event_ms in (99_000, 99_999, 100_000, 100_001, 112_000):
        samples.add(KEY, mark(event_ms))
    assert mark(99_999) == samples.before(KEY, 100_000)


def test_the_newest_stands_where_none_is_known_from_before() -> None:
    samples = Samples()
    samples.add(KEY, mark(105_000))
    samples.add(KEY, mark(125_000))
    assert mark(125_000) == samples.before(KEY, 100_000)
    assert samples.before(b"other:AAA", 100_000) is None
