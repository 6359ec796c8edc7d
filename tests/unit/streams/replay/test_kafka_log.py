"""What a cluster is asked for: of what it counts itself and nobody reads, nothing is taken for a record."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka.structs import OffsetAndTimestamp, TopicPartition

from streams.kafka.topics import PRICE_TICKS, bookings_name, served_name, topic_name
from streams.replay import kafka_log
from streams.replay.bounded_log import Held, OutOfRetention, Place, Span
from streams.replay.kafka_log import KafkaLog, Kept
from streams.replay.log_window import resolve_times
from streams.replay.named_topics import kept_at_least
from streams.settings import Settings
from streams.settings.kafka_client import Bootstrap
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

NOW_MS = 1_000_000
DAY_MS = 86_400_000
PLACE = Place("t", 0)


class Entry(NamedTuple):
    """What a broker has at an offset; of what is not committed, and of markers, a reader is handed nothing."""

    offset: int
    timestamp: int
    is_read: bool = True
    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes | None], ...] = ()


def filler(offset: int) -> Entry:
    return Entry(offset, 0, is_read=False)


def marker(offset: int) -> Entry:
    return Entry(offset, NOW_MS, is_read=False)


class ToldConsumer:
    """Answers as a broker does, which searches all that it has, and hands out two entries of each place at a time.

    ``waits`` are the questions for what is not there, which a broker lets wait.
    """

    waits = 0

    def __init__(self, entries: Mapping[TopicPartition, Sequence[Entry]]) -> None:
        self._entries = entries
        self._positions: dict[TopicPartition, int] = {}

    async def beginning_offsets(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._entries[tp][0].offset for tp in tps}

    async def end_offsets(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._entries[tp][-1].offset + 1 for tp in tps}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        found = {tp: next((one for one in self._entries[tp] if one.timestamp >= at), None) for tp, at in times.items()}
        return {tp: one and OffsetAndTimestamp(one.offset, one.timestamp) for tp, one in found.items()}

    def assign(self, tps: Collection[TopicPartition]) -> None:
        self._positions = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        pass

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def getmany(
        self, *tps: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Entry]]:
        del timeout_ms, max_records
        ToldConsumer.waits += all(self._positions[tp] > self._entries[tp][-1].offset for tp in tps)
        found = {}
        for tp in tps:
            some = [one for one in self._entries[tp] if one.offset >= self._positions[tp]][:2]
            self._positions[tp] = some[-1].offset + 1 if some else self._positions[tp]
            if read := [one for one in some if one.is_read]:
                found[tp] = read
        return found


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """What the broker has of the only partition."""
    given: list[Entry] = []
    monkeypatch.setattr(ToldConsumer, "waits", 0)

    @asynccontextmanager
    async def consumer(_bootstrap: Bootstrap, _topics: Iterable[str]) -> AsyncIterator[ToldConsumer]:
        yield ToldConsumer({TopicPartition(*PLACE): given})

    async def partitions(_log: KafkaLog, topics: Collection[str]) -> dict[str, list[int]]:
        return {topic: [PLACE.partition] for topic in topics}

    monkeypatch.setattr(kafka_log, "_consumer", consumer)
    monkeypatch.setattr(KafkaLog, "_partitions", partitions)
    return given


LOG = KafkaLog(Bootstrap("127.0.0.1:1"), {}, WallClock(lambda: NOW_MS))


async def find(time_ms: int, end: int) -> int:
    return (await LOG.find({PLACE: Held(0, end, None)}, time_ms))[PLACE]


async def test_a_search_by_time_in_a_restored_cluster_finds_the_records_that_it_found_before(
    entries: list[Entry],
) -> None:
    records = [Entry(offset, 1_000 * offset) for offset in range(40) if offset % 10 not in {4, 5, 6}]
    holes = [offset for offset in range(40) if offset % 10 in {4, 5, 6}]
    instants = range(0, 41_000, 500)
    # The cluster that was lost had its markers when its records were made.
    entries += sorted([*records, *(Entry(offset, 1_000 * offset, is_read=False) for offset in holes)])
    before = [await find(at_ms, 40) for at_ms in instants]
    # The one that was restored has fillers, and markers of the day on which it was.
    entries[:] = sorted([*records, *(marker(one) if one % 10 == 6 else filler(one) for one in holes)])

    assert before == [await find(at_ms, 40) for at_ms in instants]
    assert {7, 39, 40} < set(before)
    assert 35 == await find(34_500, 35)


async def test_a_log_is_held_since_its_first_record_and_not_since_a_filler_or_a_marker_before_it(
    entries: list[Entry],
) -> None:
    entries += [filler(5), filler(6), marker(7), *(Entry(offset, 1_000 * offset) for offset in range(8, 20))]

    assert {PLACE: Held(5, 20, 8_000)} == await LOG.held(["t"])
    with pytest.raises(OutOfRetention, match="held since"):
        await resolve_times(LOG, ["t"], 7_999, None)
    assert {PLACE: Span(9, 20)} == await resolve_times(LOG, ["t"], 8_500, None)


async def test_what_is_bounded_in_bytes_is_held_since_its_oldest_record_however_long_it_might_stay(
    entries: list[Entry],
) -> None:
    entries += [Entry(offset, 1_000 * offset) for offset in range(800, 900)]
    by_time, by_bytes = (
        KafkaLog(Bootstrap("127.0.0.1:1"), {"t": Kept(500_000, is_bounded=bounded)}, WallClock(lambda: NOW_MS))
        for bounded in (False, True)
    )

    assert {PLACE: Held(800, 900, 500_000)} == await by_time.held(["t"])
    assert {PLACE: Held(800, 900, 800_000)} == await by_bytes.held(["t"])
    with pytest.raises(OutOfRetention, match="t:0 is held since 1970-01-01T00:13:20"):
        await resolve_times(by_bytes, ["t"], 799_999, None)
    assert {PLACE: Span(800, 900)} == await resolve_times(by_bytes, ["t"], 800_000, None)


async def test_a_place_that_is_bounded_in_bytes_and_empty_was_emptied_by_time(entries: list[Entry]) -> None:
    entries += [filler(5), marker(6)]
    log = KafkaLog(Bootstrap("127.0.0.1:1"), {"t": Kept(400_000, is_bounded=True)}, WallClock(lambda: NOW_MS))
    assert {PLACE: Held(5, 7, NOW_MS - 400_000)} == await log.held(["t"])


def test_what_was_shown_is_bounded_in_bytes_and_prices_are_not() -> None:
    settings = Settings()
    kept = kept_at_least(settings)

    assert Kept(7 * DAY_MS) == kept[topic_name(settings, PRICE_TICKS)]
    assert Kept(30 * DAY_MS, is_bounded=True) == kept[served_name(settings)]
    assert bookings_name(settings) not in kept


async def test_a_log_without_records_is_held_from_now_on(entries: list[Entry]) -> None:
    entries += [filler(5), marker(6)]
    assert {PLACE: Held(5, 7, NOW_MS)} == await LOG.held(["t"])


async def test_nobody_waits_for_more_of_a_place_that_is_over(entries: list[Entry]) -> None:
    entries += [Entry(offset, 1_000 * offset) for offset in range(4)]
    read: list[int] = []
    async with LOG.reading({PLACE: Span(0, 4)}) as reading:
        while records := (await reading.more([PLACE]))[PLACE]:
            read += [one.offset for one in records]

    assert [0, 1, 2, 3] == read
    assert 0 == ToldConsumer.waits
