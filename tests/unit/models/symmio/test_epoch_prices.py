"""What an epoch is charged at, tick by tick."""

from __future__ import annotations

import pytest

from models.engine.board import PriceSource
from models.prices import Mark
from models.symmio.epoch_prices import Chosen, SourceSaid, Unpriced, choose_at

AT_MS = 1_744_070_400_000
ONE, BOOK = b"one:AAA", b"book:AAA"
SOURCES = (PriceSource(ONE, 5_000), PriceSource(BOOK, 5_000))
HOURS_8_MS = 28_800_000


def tick(event_s: float, rate: int | None = 7, ends_ms: int | None = AT_MS, price: int | None = None) -> Mark:
    """A tick of an event so many seconds after the instant, received 20 ms later; its price says when it was."""
    event_ms = AT_MS + round(event_s * 1_000)
    return Mark(price or event_ms, None, rate, ends_ms, event_ms, event_ms + 20, event_ms)


def chosen(one: list[Mark], book: list[Mark]) -> Chosen | Unpriced:
    said = {ONE: SourceSaid(AT_MS), BOOK: SourceSaid(AT_MS)}
    for key, ticks in ((ONE, one), (BOOK, book)):
        for mark in ticks:
            said[key].add(mark)
    return choose_at(SOURCES, said, AT_MS)


def marked_s(one: list[Mark], book: list[Mark]) -> tuple[bytes, float]:
    """The source of the mark that is chosen, and when it was, in s after the instant."""
    found = chosen(one, book)
    assert isinstance(found, Chosen)
    return found.mark_key, (found.mark.event_ms - AT_MS) / 1_000


def rated(one: list[Mark]) -> int | None:
    found = chosen(one, [])
    assert isinstance(found, Chosen)
    return found.rate.funding_rate_e18


def test_a_tick_of_the_very_instant_counts_and_later_ones_do_not() -> None:
    assert (ONE, 0) == marked_s([tick(-1), tick(0), tick(0.001), tick(2.001)], [])


def test_nothing_is_settled_before_an_event_of_more_than_two_seconds_after_the_instant() -> None:
    assert chosen([tick(-1), tick(1), tick(2)], []) is Unpriced.NOT_PASSED
    assert (ONE, -1) == marked_s([tick(-1), tick(1), tick(2.001)], [])


def test_a_tick_that_comes_when_the_instant_is_passed_changes_nothing() -> None:
    assert (ONE, -1) == marked_s([tick(-1), tick(2.001), tick(-0.5)], [])


def test_a_feed_that_was_silent_about_the_instant_is_charged_at_its_last_word_once_it_is_back() -> None:
    before = [tick(-8), tick(-7)]
    assert chosen(before, []) is Unpriced.NOT_PASSED
    assert (ONE, -7) == marked_s([*before, tick(6, ends_ms=AT_MS + HOURS_8_MS), tick(14)], [])


def test_a_source_that_was_fresh_at_the_instant_goes_before_one_that_was_not() -> None:
    book = [tick(-0.2, rate=None), tick(2.1, rate=None)]
    assert (BOOK, -0.2) == marked_s([tick(-7), tick(6)], book)


def test_a_source_that_is_gone_is_waited_for_seven_seconds_after_another_one_has_passed() -> None:
    rate_only = [tick(-1), tick(2.1)]
    sources = (SOURCES[1], SOURCES[0])
    said = {ONE: SourceSaid(AT_MS), BOOK: SourceSaid(AT_MS)}
    said[BOOK].add(tick(-0.5, rate=None))
    for mark in (*rate_only, tick(9.1)):
        said[ONE].add(mark)
    assert choose_at(sources, said, AT_MS) is Unpriced.NOT_PASSED
    said[ONE].add(tick(9.2))
    found = choose_at(sources, said, AT_MS)
    assert isinstance(found, Chosen)
    assert (ONE, rate_only[0]) == (found.mark_key, found.mark)
    # It comes back: that is too late to change anything.
    said[BOOK].add(tick(9.3, rate=None))
    assert found == choose_at(sources, said, AT_MS)


def test_what_is_older_than_five_minutes_does_not_count() -> None:
    assert (ONE, -300) == marked_s([tick(-300), tick(3), tick(11)], [])
    assert chosen([tick(-300.001), tick(3)], [tick(3)]) is Unpriced.NO_MARK


def test_the_rate_is_that_of_the_interval_that_ends_with_the_instant() -> None:
    assert 1 == rated([tick(-2, 1), tick(-1, 2, AT_MS + HOURS_8_MS), tick(0, 3, AT_MS + HOURS_8_MS), tick(3)])
    assert 2 == rated([tick(-2, 1), tick(-1, 2), tick(0, 3, AT_MS + HOURS_8_MS), tick(3)])


def test_in_the_midst_of_an_interval_it_is_the_newest_rate() -> None:
    middle_ms = AT_MS + HOURS_8_MS // 2
    assert 2 == rated([tick(-2, 1, middle_ms), tick(-1, 2, middle_ms), tick(3, 3, middle_ms)])


@pytest.mark.parametrize("ends_ms", [None, 0])
def test_a_source_that_says_no_interval_is_taken_at_its_newest_rate(ends_ms: int | None) -> None:
    assert 2 == rated([tick(-2, 1, ends_ms), tick(-1, 2, ends_ms), tick(3)])


def test_the_rate_of_an_interval_that_was_over_before_the_instant_is_none() -> None:
    assert chosen([tick(-2, 1, AT_MS - 1), tick(3)], [tick(3, None)]) is Unpriced.NO_RATE


def test_a_rate_may_come_of_another_source_than_the_mark() -> None:
    found = chosen([tick(-7), tick(3)], [tick(-1, None), tick(3, None)])
    assert isinstance(found, Chosen)
    assert (BOOK, ONE, 7) == (found.mark_key, found.rate_key, found.rate.funding_rate_e18)
