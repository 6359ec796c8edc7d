"""What records of ``served`` come to in the file of the bars, through ends in any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.codec import encode_row
from models.errors import BadRow
from models.history import BAR_BYTES_MAX, DAY_S, HOUR_S, KEPT_S, MINUTE_S, SECOND_S, Candle, Reading, empty_bar
from models.history_records import HistoryRequest, bar_of_texts
from models.prices import FUTURE_MAX_MS
from models.served import totals_key
from streams.history.bar_store import BadStore, BarStore
from streams.history.history_requests import answer_of
from streams.history.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = b"main:0xa"
TOTALS = totals_key("main")
NOW_S = 1_800_000_000 // HOUR_S * HOUR_S
LATER_MS = (NOW_S + DAY_S) * 1_000


class World:
    """A keeper on a file, and the log that it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log: list[tuple[int, int, int, bytes, bytes]] = []
        self._ends: dict[int, int] = {}
        self.open()

    def open(self) -> None:
        self.store = BarStore(self.path)
        self.keeper = Keeper(self.store)

    def reopen(self) -> None:
        """End as by a kill, and begin again from what was committed."""
        self.store.close()
        self.open()
        for entry in self.log:
            partition, offset, *_ = entry
            if offset >= self.keeper.next_offset(partition):
                self.keeper.take(*entry, now_ms=LATER_MS)

    def shown(
        self, upnl: int | None, at_s: float, *, key: bytes = ALICE, term: int = 1, version: int = 1, partition: int = 0
    ) -> None:
        text = None if upnl is None else str(upnl)
        at_ms = round((NOW_S + at_s) * 1_000)
        body = {
            "upnl": text, "notional": "10", "equity": text, "positions": 1, "unpriced": 0, "as_of_ms": 0,
            "made_from": {"at_ms": at_ms},
        }  # fmt: skip
        offset = self._ends.get(partition, 0)
        self._ends[partition] = offset + 1
        row = encode_row(term, version, body)
        self.log.append((partition, offset, at_ms, key, row))
        self.keeper.take(partition, offset, at_ms, key, row, now_ms=LATER_MS)

    def commit(self, now_s: int = NOW_S) -> None:
        self.keeper.commit(now_s)

    def closes(self, step_s: int, key: bytes = ALICE) -> list[tuple[int, int | None]]:
        bars = self.store.bars(key.decode(), step_s, (0, 2 * NOW_S), 1_000)
        return [(bar.start_s - NOW_S, bar.upnl.close) for bar in bars]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "history.sqlite")
    yield made
    made.store.close()


def test_rows_go_into_bars_of_every_step(world: World) -> None:
    for at_s, upnl in ((0.1, 1), (0.9, 5), (1.0, 3), (61.0, 4)):
        world.shown(upnl, at_s)
    world.commit()

    assert [(0, 5), (1, 3), (61, 4)] == world.closes(SECOND_S)
    assert [(0, 3), (60, 4)] == world.closes(MINUTE_S)
    assert [(0, 4)] == world.closes(HOUR_S)
    found = world.store.bar((ALICE.decode(), MINUTE_S, NOW_S))
    assert found is not None
    assert Candle(1, 5, 1, 3) == found.upnl


def test_what_was_committed_when_it_ended_and_what_was_not_come_to_the_same_bars(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other.sqlite")
    for at in range(40):
        for one in (world, other):
            one.shown(at * 7 % 11, at * 0.7)
        if at % 9 == 4:
            world.commit()
        if at % 7 == 3:
            world.reopen()
    world.commit()
    other.commit()

    for step_s in KEPT_S:
        bars = [one.store.bars(ALICE.decode(), step_s, (0, 2 * NOW_S), 1_000) for one in (world, other)]
        assert bars[0] == bars[1]
    other.store.close()


def test_bars_that_were_committed_are_the_same_when_the_whole_log_is_read_again(world: World) -> None:
    for at in range(20):
        world.shown(at * 7 % 11, at * 0.7)
    world.commit()
    before = world.store.bars(ALICE.decode(), MINUTE_S, (0, 2 * NOW_S), 1_000)
    world.keeper.restart(0, 0)
    for entry in world.log:
        world.keeper.take(*entry, now_ms=LATER_MS)
    world.commit()

    assert before == world.store.bars(ALICE.decode(), MINUTE_S, (0, 2 * NOW_S), 1_000)


def test_a_row_of_a_fenced_owner_was_never_shown_and_one_that_was_kept_late_was(world: World) -> None:
    world.shown(1, 10.0, term=1)
    world.shown(2, 20.0, term=2)
    world.shown(9, 21.0, term=1)
    world.shown(7, 11.0, term=1)
    world.commit()

    assert [(10, 1), (11, 7), (20, 2)] == world.closes(SECOND_S)
    found = world.store.bar((ALICE.decode(), MINUTE_S, NOW_S))
    assert found is not None
    assert Candle(1, 7, 1, 2) == found.upnl


def test_a_clock_that_goes_back_leaves_the_order_of_the_log(world: World) -> None:
    world.shown(1, 10.0)
    world.shown(2, 5.0)
    world.commit()

    assert [(10, 2)] == world.closes(SECOND_S)


def test_totals_are_the_sum_of_the_newest_parts_of_all_partitions_also_after_a_restart(world: World) -> None:
    world.shown(5, 1.0, key=TOTALS, partition=0)
    world.shown(7, 2.0, key=TOTALS, partition=1)
    world.commit()
    world.reopen()
    world.shown(1, 3.0, key=TOTALS, partition=0)
    world.commit()

    assert [(1, 5), (2, 12), (3, 8)] == world.closes(SECOND_S, TOTALS)


def test_totals_are_unknown_while_a_part_is(world: World) -> None:
    world.shown(5, 1.0, key=TOTALS, partition=0)
    world.shown(None, 1.5, key=TOTALS, partition=1)
    world.commit()

    assert [(1, None)] == world.closes(SECOND_S, TOTALS)


def test_a_row_that_cannot_be_read_is_refused_once_and_the_next_one_counts(world: World) -> None:
    with pytest.raises(BadRow):
        world.keeper.take(0, 0, 0, ALICE, b"no row", now_ms=LATER_MS)
    assert 1 == world.keeper.next_offset(0)
    world.shown(3, 1.0)
    world.commit()
    assert [(1, 3)] == world.closes(SECOND_S)


@pytest.mark.parametrize("key", [ALICE, TOTALS])
def test_a_row_of_a_clock_ahead_is_refused_and_moves_nothing_that_comes_after_it(world: World, key: bytes) -> None:
    world.shown(1, 1.0, key=key)
    now_ms = NOW_S * 1_000 + 2_000
    far = {"upnl": "9", "notional": "9", "equity": "9", "positions": 1, "unpriced": 0, "as_of_ms": 0}
    # Made long after it was written; made and written after now; before any time; by a term of its own, too.
    for offset, (at_ms, time_ms) in enumerate(
        [(now_ms + FUTURE_MAX_MS + 1, now_ms), (2**62, 2**62), (-1, now_ms), (now_ms + 2 * FUTURE_MAX_MS, 2**62)]
    ):
        row = encode_row(7, 1, {**far, "made_from": {"at_ms": at_ms}})
        with pytest.raises(BadRow, match="compare the clocks"):
            world.keeper.take(0, 1 + offset, time_ms, key, row, now_ms=now_ms)
    old = encode_row(7, 1, far)
    with pytest.raises(BadRow, match="compare the clocks"):
        world.keeper.take(0, 5, 2**62, key, old, now_ms=now_ms)
    world._ends[0] = 6
    world.shown(3, 2.0, key=key)
    world.commit()

    assert [(1, 1), (2, 3)] == world.closes(SECOND_S, key)
    assert [(0, 3)] == world.closes(HOUR_S, key)
    assert 7 == world.keeper.next_offset(0)


def test_a_row_of_a_clock_a_minute_ahead_counts(world: World) -> None:
    body = {"upnl": "9", "notional": "9", "equity": "9", "made_from": {"at_ms": NOW_S * 1_000 + FUTURE_MAX_MS}}
    world.keeper.take(0, 0, NOW_S * 1_000, ALICE, encode_row(1, 1, body), now_ms=NOW_S * 1_000)
    world.commit()

    assert [(FUTURE_MAX_MS // 1_000, 9)] == world.closes(SECOND_S)


def test_seconds_are_kept_for_a_day_minutes_for_a_month_and_hours_for_ever(world: World) -> None:
    for days in (40, 10, 0):
        world.shown(days, -days * DAY_S)
    world.commit()

    assert [0] == [upnl for _, upnl in world.closes(SECOND_S)]
    assert [10, 0] == [upnl for _, upnl in world.closes(MINUTE_S)]
    assert [40, 10, 0] == [upnl for _, upnl in world.closes(HOUR_S)]


def test_hours_wait_until_the_topic_has_them_and_again_when_they_change(world: World) -> None:
    world.shown(1, 0.0)
    world.commit()
    assert [] == world.store.unsaid_hours(NOW_S, 10)
    hours = world.store.unsaid_hours(NOW_S + 1, 10)
    assert [(ALICE.decode(), 1)] == [(series, bar.upnl.close) for series, bar in hours]
    world.store.said(hours)
    assert [] == world.store.unsaid_hours(NOW_S + 1, 10)

    world.shown(2, 5.0)
    world.commit()
    assert [2] == [bar.upnl.close for _, bar in world.store.unsaid_hours(NOW_S + 1, 10)]


def test_another_epoch_goes_on_with_the_bars_and_begins_its_topic_anew(world: World) -> None:
    world.store.begin_epoch(1)
    world.keeper = Keeper(world.store)
    world.shown(1, 0.0)
    world.commit()
    world.store.begin_epoch(1)
    assert 1 == Keeper(world.store).next_offset(0)
    world.store.begin_epoch(2)

    assert 0 == Keeper(world.store).next_offset(0)
    assert [(0, 1)] == world.closes(HOUR_S)


def test_an_account_takes_no_more_than_is_stated(world: World) -> None:
    bars = {
        (ALICE.decode(), SECOND_S, at): empty_bar(at).then(Reading(2**130 - at, -(2**130) + at, 2**130))
        for at in range(20_000)
    }
    with world.store.transaction():
        world.store.put_bars(bars)
    world.store.close()

    # A row of SQLite has some bytes of its own, and pages are not full.
    assert world.path.stat().st_size <= len(bars) * BAR_BYTES_MAX * 2
    world.open()


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(BadStore, match="move the file away"):
        BarStore(path)


def test_what_still_holds_is_said_where_only_longer_bars_of_it_are_left(world: World) -> None:
    world.shown(7, 0.0)
    world.commit(now_s := NOW_S + 2 * DAY_S)
    request = HistoryRequest("r", ALICE.decode(), SECOND_S, now_s - 60, now_s, 100)

    answer = answer_of(world.store, request, now_s)

    assert [] == answer.bars
    assert answer.before is not None
    assert 7 == bar_of_texts(answer.before).upnl.close


def test_an_answer_has_the_window_what_came_before_it_and_from_when_on_there_is_any(world: World) -> None:
    for at in range(10):
        world.shown(at, at)
    world.commit()
    request = HistoryRequest("1", ALICE.decode(), SECOND_S, NOW_S + 3, NOW_S + 8, 3)
    answer = answer_of(world.store, request, NOW_S)

    assert [3, 4, 5] == [bar_of_texts(bar).upnl.close for bar in answer.bars]
    assert answer.before is not None
    assert 2 == bar_of_texts(answer.before).upnl.close
    assert (True, NOW_S) == (answer.has_more, answer.held_from_s)


def test_what_is_held_begins_with_what_was_shown_first_and_not_with_its_hour(world: World) -> None:
    world.shown(1, 1_234.5)
    world.commit()

    assert NOW_S + 1_234 == world.store.began_s


def test_days_are_made_of_hours(world: World) -> None:
    midnight = NOW_S // DAY_S * DAY_S - NOW_S
    for hours, upnl in ((1, 5), (20, 9), (30, 2)):
        world.shown(upnl, midnight + hours * HOUR_S)
    world.commit()
    request = HistoryRequest("1", ALICE.decode(), DAY_S, NOW_S + midnight, NOW_S + midnight + 3 * DAY_S, 10)
    bars = [bar_of_texts(bar) for bar in answer_of(world.store, request, NOW_S).bars]

    assert [Candle(5, 9, 5, 9), Candle(2, 2, 2, 2)] == [bar.upnl for bar in bars]
    assert [0, DAY_S] == [bar.start_s - NOW_S - midnight for bar in bars]


def test_what_is_kept_no_longer_is_not_said_to_be_held(world: World) -> None:
    world.shown(1, -40 * DAY_S)
    world.commit()
    request = HistoryRequest("1", ALICE.decode(), MINUTE_S, 0, NOW_S, 10)

    assert NOW_S - 30 * DAY_S == answer_of(world.store, request, NOW_S).held_from_s


def test_an_hour_that_changes_while_it_is_being_said_is_said_again(world: World) -> None:
    world.shown(1, 0.0)
    world.commit()
    on_their_way = world.store.unsaid_hours(NOW_S + 1, 10)
    world.shown(9, 1.0)
    world.commit()

    world.store.said(on_their_way)

    again = world.store.unsaid_hours(NOW_S + 1, 10)
    assert [9] == [bar.upnl.close for _, bar in again]
    world.store.said(again)
    assert [] == world.store.unsaid_hours(NOW_S + 1, 10)


@pytest.mark.parametrize("key", [b"", b"\xff", b"main:\xff", b"main", TOTALS + b"\xff"])
def test_a_record_under_a_key_that_nothing_shown_has_is_passed_over(tmp_path: Path, key: bytes) -> None:
    world = World(tmp_path / "bars.sqlite")
    world.shown(1, 0)
    with pytest.raises(BadRow, match="expected a row of valuations or of totals"):
        world.shown(2, 1, key=key)
    world.shown(3, 2)
    world.keeper.commit(NOW_S)

    assert 3 == world.keeper.next_offset(0)
    bars = world.store.bars(ALICE.decode(), SECOND_S, (NOW_S, NOW_S + 10), 10)
    assert [1, 3] == [bar.upnl.close for bar in bars]
    world.store.close()
