"""The deterministic merge of several places: by (time, rank of the topic, partition, offset)."""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from streams.replay.bounded_log import LogRecord, Place

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from streams.replay.bounded_log import Log, Reading, Span

_Head = tuple[int, int, int, int, Place]


async def merged(
    reading: Reading, vector: Mapping[Place, Span], topics: Sequence[str]
) -> AsyncGenerator[LogRecord, None]:
    """Yield the records of a vector in one order that depends on nothing but the records.

    Of each place they come in the order of the log; among the next ones of all places, the one with the least (time,
    rank of its topic, partition, offset) comes first. Only what was fetched and not yet yielded is in memory.

    Args:
        reading: Reads the vector.
        vector: What is read.
        topics: Full names in the order of their ranks; of what bears the same time, an earlier topic's comes first.

    Raises:
        BrokenOff: The vector cannot be read to its end.
    """
    ranks = {topic: rank for rank, topic in enumerate(topics)}
    queues: dict[Place, list[LogRecord]] = {}
    waiting = {place for place, span in vector.items() if span.begin < span.end}
    heap: list[_Head] = []
    await _fill(reading, waiting, queues)
    heap = [_head(queue[-1], ranks) for queue in queues.values()]
    heapify(heap)
    while heap:
        place = heap[0][-1]
        queue = queues[place]
        yield queue.pop()
        if not queue:
            del queues[place]
            await _fill(reading, {place}, queues)
        if place in queues:
            heapreplace(heap, _head(queues[place][-1], ranks))
        else:
            heappop(heap)


async def read_merged(log: Log, vector: Mapping[Place, Span]) -> AsyncGenerator[LogRecord, None]:
    """Yield the records of a vector in the order of ``merged``, topics ranked by their names.

    Args:
        log: Where they are.
        vector: What is read; all of it is held.

    Raises:
        BrokenOff: The vector cannot be read to its end.
    """
    if all(span.begin >= span.end for span in vector.values()):
        # A consumer that is stopped while it still connects leaves its connection open.
        return
    async with log.reading(vector) as reading:
        async for record in merged(reading, vector, sorted({place.topic for place in vector})):
            yield record


async def _fill(reading: Reading, waiting: set[Place], queues: dict[Place, list[LogRecord]]) -> None:
    """Read on until each of the places has a next record, or is over. Queues are reversed: the next one is the last."""
    while waiting:
        for place, records in (await reading.more(waiting)).items():
            waiting.discard(place)
            if records:
                queues[place] = list(reversed(records))


def _head(record: LogRecord, ranks: Mapping[str, int]) -> _Head:
    return record.time_ms, ranks[record.topic], record.partition, record.offset, record.place
