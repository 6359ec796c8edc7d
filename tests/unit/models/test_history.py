"""Bars of what was shown: how they are folded, made coarser, and packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadRow
from models.history import (
    BAR_BYTES_MAX,
    NOTHING,
    Bar,
    Candle,
    Reading,
    coarser,
    empty_bar,
    pack_bar,
    start_of,
    unpack_bar,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

amounts = st.one_of(st.none(), st.integers(-(2**131) + 1, 2**131 - 1))
readings = st.lists(st.builds(Reading, amounts, amounts, amounts), min_size=1, max_size=20)


def folded(start_s: int, found: Iterable[Reading]) -> Bar:
    bar = empty_bar(start_s)
    for reading in found:
        bar = bar.then(reading)
    return bar


def test_a_bar_has_the_first_highest_lowest_and_last_value() -> None:
    bar = folded(60, [Reading(5, 1), Reading(9, 1), Reading(-2, 1), Reading(3, 1)])

    assert Bar(60, Candle(5, 9, -2, 3), Candle(1, 1, 1, 1), NOTHING) == bar


def test_what_is_unknown_at_the_end_has_no_close_and_what_was_known_before_stays() -> None:
    assert Candle(5, 5, 5, None) == folded(0, [Reading(5, None), Reading(None, None)]).upnl
    assert Candle(5, 7, 5, 7) == folded(0, [Reading(5, 0), Reading(None, 0), Reading(7, 0)]).upnl


def test_a_late_reading_widens_a_bar_and_is_not_its_last() -> None:
    assert Candle(5, 9, 5, 5) == folded(0, [Reading(5, 0)]).widened(Reading(9, 0)).upnl


@given(readings)
def test_folding_the_same_readings_again_changes_nothing(found: list[Reading]) -> None:
    once = folded(0, found)
    twice = once
    for reading in found:
        twice = twice.then(reading)

    assert once == twice


@given(readings, st.integers(1, 19))
def test_bars_made_coarser_are_those_of_all_their_readings(found: list[Reading], cut: int) -> None:
    parts = [part for part in (found[:cut], found[cut:]) if part]
    bars = [folded(at, part) for at, part in enumerate(parts)]

    assert [folded(0, found)] == list(coarser(bars, 60))


def test_coarser_bars_begin_at_their_own_steps_and_leave_out_spans_without_any() -> None:
    bars = [folded(at, [Reading(at, 1)]) for at in (59, 60, 61, 200)]

    assert [(0, 59), (60, 61), (180, 200)] == [(bar.start_s, bar.upnl.close) for bar in coarser(bars, 60)]


@given(readings)
def test_a_packed_bar_is_read_as_it_was_and_takes_no_more_than_is_stated(found: list[Reading]) -> None:
    bar = folded(7, found)
    packed = pack_bar(bar)

    assert bar == unpack_bar(7, packed)
    assert len(packed) <= BAR_BYTES_MAX


def test_an_amount_beyond_all_money_is_kept_as_unknown() -> None:
    assert NOTHING == unpack_bar(0, pack_bar(folded(0, [Reading(10**60, 1)]))).upnl


def test_a_bar_of_usual_figures_takes_some_forty_bytes_and_a_hundred_where_they_moved() -> None:
    e18 = 10**18
    found = [Reading(1_234 * e18 + at, 100_000 * e18 + at, 20_000 * e18 + at) for at in (0, 10**15, 5 * 10**14)]

    assert len(pack_bar(folded(0, found))) <= 110
    assert len(pack_bar(folded(0, found[:1]))) <= 45


@pytest.mark.parametrize("packed", [b"", b"\x80" * 12, b"\x01" * 11])
def test_what_is_no_bar_is_refused(packed: bytes) -> None:
    with pytest.raises(BadRow, match="12 numbers"):
        unpack_bar(0, packed)


def test_an_instant_lies_in_the_bar_that_began_before_it() -> None:
    assert (3_600, 3_660, 3_661) == tuple(start_of(3_661_999, step_s) for step_s in (3_600, 60, 1))
