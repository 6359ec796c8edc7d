"""An epoch's mark and rate are the same whenever they are read, and however often the reader was cut off."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine.board import PriceSource, choose_mark
from models.prices import Mark
from models.symmio.epoch_prices import LOOK_BACK_MS, PASSED_MS, Chosen, SourceSaid, Unpriced, choose_at

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_MS = 1_744_070_400_000
KEYS = (b"first:AAA", b"second:AAA", b"book:AAA")
SOURCES = tuple(PriceSource(key, 5_000) for key in KEYS)
FINAL = {Unpriced.NO_MARK, Unpriced.NO_RATE}
# Ticks of one partition may be read so much later than those of another that were received at the same time.
JITTER_MS = 1_999


class Told(NamedTuple):
    """A tick: which source, how long after the one before of any source, how old its event is, and its rate's end."""

    source: int
    after_ms: int
    late_ms: int
    ends_ms: int


told = st.builds(
    Told,
    st.sampled_from((0, 0, 1, 2)),
    st.one_of(st.integers(0, 1_500), st.integers(0, 12_000)),
    st.integers(0, 1_500),
    st.sampled_from((0, 0, 0, 28_800_000, -1)),
)
logs = st.tuples(st.integers(-10_000, 0), st.lists(told, min_size=8, max_size=25))


def log_of(begin_ms: int, ticks: Sequence[Told]) -> list[tuple[bytes, Mark]]:
    """The ticks as they were received, in order."""
    at_ms, log, offsets = AT_MS + begin_ms, [], defaultdict[bytes, int](int)
    for tick in ticks:
        at_ms += tick.after_ms
        key = KEYS[tick.source]
        offsets[key] += 1
        event_ms = at_ms - tick.late_ms
        # The book says no rate. The interval ends with the instant, or later; after the instant the next one has begun.
        ends_ms = AT_MS + (28_800_000 if event_ms > AT_MS else tick.ends_ms)
        rate = None if key.startswith(b"book") else event_ms % 1_000
        log.append((key, Mark(1 + event_ms % 997, None, rate, ends_ms, event_ms, at_ms, offsets[key])))
    return log


def read(log: Sequence[tuple[bytes, Mark]], until_ms: int, behind_ms: Sequence[int]) -> Chosen | Unpriced:
    """What somebody chooses who has read each source up to another instant."""
    said = {key: SourceSaid(AT_MS) for key in KEYS}
    for key, mark in log:
        if mark.received_ms <= until_ms - behind_ms[KEYS.index(key)]:
            said[key].add(mark)
    return choose_at(SOURCES, said, AT_MS)


@settings(max_examples=400, deadline=None)
@given(logs, st.lists(st.tuples(*[st.integers(0, JITTER_MS)] * 3), min_size=1, max_size=3))
def test_what_is_chosen_once_is_chosen_at_every_later_instant_and_after_every_restart(
    log_parts: tuple[int, Sequence[Told]], behind: Sequence[tuple[int, int, int]]
) -> None:
    log = log_of(*log_parts)
    end_ms = log[-1][1].received_ms + JITTER_MS
    last = read(log, end_ms, (0, 0, 0))
    for behind_ms in behind:
        for _, mark in log:
            for until_ms in (mark.received_ms, mark.received_ms + JITTER_MS):
                found = read(log, until_ms, behind_ms)
                if isinstance(found, Chosen) or found in FINAL:
                    assert found == last


@settings(max_examples=300, deadline=None)
@given(logs, st.data())
def test_one_who_reads_on_chooses_what_one_who_reads_anew_does(
    log_parts: tuple[int, Sequence[Told]], data: st.DataObject
) -> None:
    log = log_of(*log_parts)
    said = {key: SourceSaid(AT_MS) for key in KEYS}
    at = 0
    while at < len(log):
        until = data.draw(st.integers(at + 1, len(log)))
        for key, mark in log[at:until]:
            said[key].add(mark)
        at = until
        anew = {key: SourceSaid(AT_MS) for key in KEYS}
        for key, mark in log[:until]:
            anew[key].add(mark)
        assert choose_at(SOURCES, anew, AT_MS) == choose_at(SOURCES, said, AT_MS)


@settings(max_examples=300, deadline=None)
@given(logs)
def test_the_mark_is_the_engines_choice_among_events_up_to_the_instant_and_the_rate_of_the_interval_that_ends_first(
    log_parts: tuple[int, Sequence[Told]],
) -> None:
    log = log_of(*log_parts)
    chosen = read(log, 2**62, (0, 0, 0))
    if not isinstance(chosen, Chosen):
        return
    counted: dict[bytes, list[Mark]] = defaultdict(list)
    passed_ms: dict[bytes, int] = {}
    for key, mark in log:
        if mark.event_ms > AT_MS + PASSED_MS:
            passed_ms.setdefault(key, mark.received_ms)
        elif key not in passed_ms and AT_MS - LOOK_BACK_MS <= mark.event_ms <= AT_MS:
            counted[key].append(mark)
    newest = {key: max(marks, key=lambda mark: mark.event_ms) for key, marks in counted.items() if key in passed_ms}
    until_ms = min(passed_ms[key] for key in newest) + 5_000
    in_time = {key: mark for key, mark in newest.items() if passed_ms[key] <= until_ms}
    used = choose_mark([(source, in_time.get(source.key)) for source in SOURCES], AT_MS)
    assert used is not None
    assert (used.key.encode(), used.event_ms) == (chosen.mark_key, chosen.mark.event_ms)
    first_end_ms = min(
        mark.next_funding_ms or 0
        for mark in counted[chosen.rate_key]
        if mark.funding_rate_e18 is not None and (mark.next_funding_ms or 0) >= AT_MS
    )
    assert first_end_ms == chosen.rate.next_funding_ms
