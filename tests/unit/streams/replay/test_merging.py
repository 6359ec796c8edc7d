"""The merge: one order, whatever order the places are handed out in."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from streams.replay.bounded_log import LogRecord, Place, Span
from streams.replay.merging import merged
from tests.support.listed_log import ListedLog, record

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPICS = ("ticks", "blocks")


async def read(log: ListedLog, vector: dict[Place, Span]) -> list[LogRecord]:
    async with log.reading(vector) as reading:
        return [one async for one in merged(reading, vector, TOPICS)]


def all_of(records: Sequence[LogRecord]) -> dict[Place, Span]:
    return {one.place: Span(0, 1_000) for one in records}


def one_by_one(records: Sequence[LogRecord]) -> list[LogRecord]:
    """The order as it is defined: of the next ones of all places, the least comes first."""
    by_offset = sorted(records, key=lambda one: one.offset)
    left = {place: [one for one in by_offset if one.place == place] for place in all_of(records)}
    found = []
    while left:
        heads = [queue[0] for queue in left.values()]
        found.append(min(heads, key=lambda one: (one.time_ms, TOPICS.index(one.topic), one.partition, one.offset)))
        left[found[-1].place].pop(0)
        left = {place: queue for place, queue in left.items() if queue}
    return found


_RECORDS = st.lists(
    st.builds(record, st.sampled_from(TOPICS), st.integers(0, 2), st.integers(0, 40), st.integers(1, 20)),
    max_size=40,
    unique_by=lambda one: (one.place, one.offset),
)


@given(_RECORDS, st.integers(0, 1_000), st.integers(0, 1_000))
async def test_the_order_is_the_same_however_records_are_handed_out(
    records: list[LogRecord], one: int, other: int
) -> None:
    vector = all_of(records)

    first = await read(ListedLog(records, draws=Random(one)), vector)

    assert first == await read(ListedLog(records, draws=Random(other)), vector)
    assert one_by_one(records) == first


async def test_records_come_by_time_then_topic_then_partition_and_a_place_keeps_its_own_order() -> None:
    records = [
        record("blocks", 0, 0, 5),
        record("ticks", 1, 0, 5),
        record("ticks", 0, 0, 5),
        # It was made early and written late: nothing overtakes what stands before it in its partition.
        record("ticks", 0, 1, 1),
        record("blocks", 0, 1, 2),
    ]

    found = await read(ListedLog(records), all_of(records))

    assert [("ticks", 0, 0), ("ticks", 0, 1), ("ticks", 1, 0), ("blocks", 0, 0), ("blocks", 0, 1)] == [
        (one.topic, one.partition, one.offset) for one in found
    ]


async def test_only_the_spans_are_read() -> None:
    records = [record("ticks", 0, offset, offset) for offset in range(10)]

    found = await read(ListedLog(records), {Place("ticks", 0): Span(3, 6), Place("ticks", 1): Span(4, 4)})

    assert [3, 4, 5] == [one.offset for one in found]
