"""The newest records of a key: read backwards, until nothing that is held further back could be newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.codec import encode_row
from streams.kafka.partitions import partition_of
from streams.kafka.topics import served_name
from streams.replay.bounded_log import Held, LogRecord, Place, Span
from streams.replay.looking_back import windows_back
from streams.replay.served_at import served_at
from streams.settings import Settings
from tests.support.listed_log import ListedLog, all_read, record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

AT_MS = 10_000_000
TICKS = Place("ticks", 0)
KEY = b"golden:0xa"
SHOWN = {
    "status": "valued", "stale": 0, "unpriced": 0, "upnl": "1", "notional": "1", "equity": "1",
    "available_balance": "1", "as_of_ms": 0,
}  # fmt: skip


class Shrinking(ListedLog):
    """A log of which a segment is deleted after each question what is held."""

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        found = await super().held(topics)
        self._held = {place: Held(one.begin + 1, one.end, one.since_ms) for place, one in found.items()}
        return found


async def windows_of(log: ListedLog, *, late_ms: int = 0) -> Sequence[Span]:
    return [one.vector[TICKS] async for one in windows_back(log, "ticks", b"k", AT_MS, late_ms=late_ms)]


async def test_it_ends_with_what_is_held_though_that_becomes_less_meanwhile() -> None:
    records = [record("ticks", 0, offset, 8_000_000 + 100_000 * offset) for offset in range(10, 20)]
    log = Shrinking(records, {TICKS: Held(10, 20, 9_000_000)})

    assert [Span(14, 20), Span(13, 20)] == await windows_of(log)


async def test_what_may_have_been_written_late_is_in_the_window_as_far_as_it_is_held() -> None:
    records = [record("ticks", 0, offset, AT_MS - 2_000 + 1_000 * offset) for offset in range(10)]
    assert [Span(0, 3)] == await windows_of(ListedLog(records))
    assert [Span(0, 5)] == await windows_of(ListedLog(records), late_ms=2_000)
    captured = ListedLog(records, {TICKS: Held(0, 10, None, until_ms=AT_MS + 2_000)})
    assert [Span(0, 4)] == await windows_of(captured, late_ms=60_000)


async def test_a_late_row_of_an_older_term_is_not_what_was_shown_though_the_current_one_is_a_window_further_back() -> (
    None
):
    settings = Settings(topics={"partitions": 1})  # type: ignore[arg-type]
    topic = served_name(settings)
    assert not partition_of(KEY, 1)
    rows = [(AT_MS - 610_000, 3, 7), (AT_MS - 590_000, 2, 9)]
    log = ListedLog(
        LogRecord(time_ms, topic, 0, offset, KEY, encode_row(term, version, {**SHOWN, "upnl": str(term)}))
        for offset, (time_ms, term, version) in enumerate(rows)
    )

    shown = await served_at(log, settings, KEY, AT_MS, on_record=lambda _: None, on_unreadable=all_read)

    assert shown is not None
    assert ("3", 0) == (shown.body["upnl"], shown.record.offset)


async def test_a_row_that_cannot_be_read_is_told_and_the_one_before_it_is_what_was_shown() -> None:
    settings = Settings(topics={"partitions": 1})  # type: ignore[arg-type]
    topic = served_name(settings)
    values = [encode_row(3, 1, SHOWN), encode_row(3, 2, {"upnl": "9"}), b"nonsense"]
    log = ListedLog(LogRecord(AT_MS - 1, topic, 0, offset, KEY, value) for offset, value in enumerate(values))
    told: list[int] = []

    shown = await served_at(
        log, settings, KEY, AT_MS, on_record=lambda _: None, on_unreadable=lambda one, _: told.append(one.offset)
    )

    assert shown is not None
    assert (0, {1, 2}) == (shown.record.offset, set(told))
