"""A topic of which every record is known from its offset, and what an archive has of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from streams.archive import segment_file
from streams.archive.archive_check import check_archive
from streams.archive.archiving import archive_due, find_due
from streams.archive.topic_index import read_content
from streams.replay.bounded_log import Held, LogRecord, Place, Span
from streams.replay.merging import merged
from tests.support.listed_log import ListedLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from streams.archive.archive_store import ArchiveStore
    from streams.archive.topic_index import Segment
    from streams.replay.bounded_log import Log

TOPIC = "t"
PLACES = [Place(TOPIC, number) for number in range(3)]
# Offsets at which there is no record, as where a transaction ended.
MISSING = 5


def records_until(ends: Mapping[Place, int], begins: Mapping[Place, int] | None = None) -> list[LogRecord]:
    """What stands at these offsets, the same at each whenever it is asked for; the time of offset n is about n s."""
    found = []
    for place, end in ends.items():
        for offset in range((begins or {}).get(place, 0), end):
            draws = random.Random(offset * 7 + place.partition)
            if offset % MISSING == MISSING - 1:
                continue
            headers = (("trace", bytes([offset % 251, 255])), ("none", None)) if offset % 7 == 0 else ()
            value = None if offset % 11 == 0 else draws.randbytes(20)
            key = None if offset % 13 == 0 else f"k{offset % 4}".encode()
            found.append(LogRecord(offset * 1_000 + draws.randint(0, 3_000), *place, offset, key, value, headers))
    return found


def records_of(store: ArchiveStore, segment: Segment) -> list[LogRecord]:
    content = read_content(store, segment)
    place = Place(segment.topic, segment.partition)
    return [one for some in segment_file.read_segment(place, content) for one in some]


def log_of(end: int, begin: int = 0) -> ListedLog:
    """A cluster in which partition n ends n offsets later than it is said; the last one has nothing."""
    ends = {PLACES[0]: end, PLACES[1]: end + 1, PLACES[2]: 0}
    begins = dict.fromkeys(PLACES, begin)
    records = records_until(ends, begins)
    first_ms = min((one.time_ms for one in records), default=0)
    held = {
        place: Held(min(begins[place], ends[place]), ends[place], first_ms if begin and ends[place] else None)
        for place in PLACES
    }
    return ListedLog(records, held)


def make_small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a segment end after ten records."""
    monkeypatch.setattr(segment_file, "_MOST_RECORDS", 10)
    monkeypatch.setattr(segment_file, "_ROWS_AT_ONCE", 3)


async def archive(log: Log, store: ArchiveStore, until_ms: int) -> dict[Place, list[Span]]:
    """Archive what is older, and return what was gone before."""
    due = await find_due(log, store, TOPIC, until_ms)
    await archive_due(log, store, due, {"cleanup.policy": "delete"}, code="test", on_record=lambda _: None)
    return {place: list(spans) for place, spans in due.lost.items()}


async def read(log: Log, vector: Mapping[Place, Span] | None = None) -> list[LogRecord]:
    spans = vector or {place: Span(one.begin, one.end) for place, one in (await log.held([TOPIC])).items()}
    async with log.reading(spans) as reading:
        return [one async for one in merged(reading, spans, [TOPIC])]


def findings(store: ArchiveStore) -> tuple[list[str], list[str]]:
    report = check_archive(store, [], lambda _: None)
    return report.findings, report.left_over
