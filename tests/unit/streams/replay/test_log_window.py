"""Windows: what users write, the offsets it comes to, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replay.bounded_log import BadWindow, Held, OutOfRetention, Place, Span
from streams.replay.log_window import check_offsets, read_instant, read_offsets, resolve_times, write_offsets
from tests.support.listed_log import ListedLog, record

NOW_MS = 1_795_000_000_000
TICKS, OTHER = Place("ticks", 0), Place("ticks", 1)
RECORDS = [record("ticks", 0, offset, 1_000 * offset) for offset in range(10, 20)]


def log() -> ListedLog:
    """Offsets 10 to 19 of one partition are held, of another everything, which is nothing yet."""
    return ListedLog(RECORDS, {TICKS: Held(10, 20, 10_000), OTHER: Held(0, 0, None)})


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("now", NOW_MS),
        ("-15m", NOW_MS - 900_000),
        ("-2d", NOW_MS - 172_800_000),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T02:00:00+02:00", 0),
    ],
)
def test_an_instant_is_a_time_with_its_zone_or_relative_to_now(text: str, expected_ms: int) -> None:
    assert expected_ms == read_instant(text, NOW_MS)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-20T10:30:00", "15m", "-15", "-1w"])
def test_what_is_no_instant_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(BadWindow, match=r"2026-11-20T10:30:00Z"):
        read_instant(text, NOW_MS)


async def test_a_window_by_time_begins_at_its_beginning_and_ends_before_its_end() -> None:
    assert {TICKS: Span(12, 15), OTHER: Span(0, 0)} == await resolve_times(log(), ["ticks"], 12_000, 15_000)
    assert {TICKS: Span(13, 20), OTHER: Span(0, 0)} == await resolve_times(log(), ["ticks"], 12_001, None)
    assert {TICKS: Span(10, 20), OTHER: Span(0, 0)} == await resolve_times(log(), ["ticks"], None, None)


async def test_a_window_of_no_time_holds_nothing_and_is_no_error() -> None:
    assert {TICKS: Span(12, 12), OTHER: Span(0, 0)} == await resolve_times(log(), ["ticks"], 12_000, 12_000)


async def test_an_inverted_window_is_refused() -> None:
    with pytest.raises(BadWindow, match="begins before it ends"):
        await resolve_times(log(), ["ticks"], 15_000, 12_000)


async def test_a_window_that_begins_before_what_is_held_is_refused_with_the_earliest_time() -> None:
    with pytest.raises(OutOfRetention, match=r"ticks:0 is held since 1970-01-01T00:00:10\.000Z only"):
        await resolve_times(log(), ["ticks"], 9_999, None)


async def test_a_window_that_ends_behind_a_capture_is_refused() -> None:
    captured = ListedLog(RECORDS, {TICKS: Held(10, 20, 10_000, 20_000)})

    with pytest.raises(OutOfRetention, match=r"until 1970-01-01T00:00:20\.000Z only"):
        await resolve_times(captured, ["ticks"], 12_000, 20_001)


@pytest.mark.parametrize(
    ("span", "error", "said"),
    [
        (Span(15, 12), BadWindow, "15-12"),
        (Span(9, 12), OutOfRetention, r"offset 9 of ticks:0, found 10, of 1970-01-01T00:00:10\.000Z"),
        (Span(12, 21), BadWindow, "up to 20"),
    ],
)
async def test_offsets_that_cannot_be_read_are_refused(span: Span, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        await check_offsets(log(), {TICKS: span})
    with pytest.raises(BadWindow, match="no partition 7"):
        await check_offsets(log(), {Place("ticks", 7): Span(0, 0)})


_PLACES = st.builds(Place, st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True), st.integers(0, 99))
_SPANS = st.tuples(st.integers(0, 10**12), st.integers(1, 10**6)).map(lambda pair: Span(pair[0], sum(pair)))


@given(st.dictionaries(_PLACES, _SPANS, min_size=1))
def test_offsets_that_were_printed_are_read_again(vector: dict[Place, Span]) -> None:
    assert vector == read_offsets(write_offsets(vector))


@pytest.mark.parametrize("text", ["", "ticks:0", "ticks:0:1", "ticks:0:1-2;ticks:1:1-2", "ticks:0:1-2,ticks:0:2-3"])
def test_what_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(BadWindow):
        read_offsets(text)
