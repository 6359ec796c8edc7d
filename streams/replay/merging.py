"""The deterministic merge of several places: by (time, rank of the topic, partition, offset)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

    from streams.replay.bounded_log import Log, LogRecord, Place, Reading, Span


class _Queue:
    """The records of a place that come next, in the order of the log, and when the turn of each is.

    A record does not overtake those before it in its place, so its turn is when the latest one up to it was made.

    Args:
        before: The queue that was before it; None of the first one of a place.
        records: At least one.
    """

    last_ms: int

    def __init__(self, before: _Queue | None, records: Sequence[LogRecord]) -> None:
        times_ms = np.fromiter((one.time_ms for one in records), np.int64, len(records))
        if before is not None:
            times_ms[0] = max(times_ms[0], before.last_ms)
        self._records = records
        self._turns_ms = np.maximum.accumulate(times_ms)
        self._at = 0
        self.last_ms = int(self._turns_ms[-1])

    @property
    def is_empty(self) -> bool:
        """Whether all of it was taken."""
        return self._at == len(self._records)

    def take(self, until_ms: int, side: Literal["left", "right"]) -> tuple[Sequence[LogRecord], npt.NDArray[np.int64]]:
        """Take the records whose turn is before an instant, Unix ms, or with ``right`` at it too, and their turns."""
        begin, self._at = self._at, int(np.searchsorted(self._turns_ms, until_ms, side))
        return self._records[begin : self._at], self._turns_ms[begin : self._at]


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
    async for records in _batches(reading, vector, topics):
        for record in records:
            yield record


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
        # One generator around another would cost each record as much as it takes to decode it.
        async for records in _batches(reading, vector, sorted({place.topic for place in vector})):
            for record in records:
                yield record


async def _batches(
    reading: Reading, vector: Mapping[Place, Span], topics: Sequence[str]
) -> AsyncGenerator[Sequence[LogRecord], None]:
    """Yield the records of ``merged`` by as many as may be yielded before anything is read on."""
    ranks = {topic: rank for rank, topic in enumerate(topics)}
    ranked = sorted(
        (place for place, span in vector.items() if span.begin < span.end),
        key=lambda place: (ranks[place.topic], place.partition),
    )
    queues: dict[Place, _Queue] = {}
    while ranked:
        over = await _fill(
            reading, [place for place in ranked if place not in queues or queues[place].is_empty], queues
        )
        ranked = [place for place in ranked if place not in over]
        if ranked:
            yield _take([queues[place] for place in ranked])


async def _fill(reading: Reading, places: Collection[Place], queues: dict[Place, _Queue]) -> Collection[Place]:
    """Read on until each of the places has a next record, or is over; return those that are over."""
    waiting, over = set(places), []
    while waiting:
        for place, records in (await reading.more(waiting)).items():
            waiting.discard(place)
            if records:
                queues[place] = _Queue(queues.get(place), records)
            else:
                over.append(place)
    return over


def _take(queues: Sequence[_Queue]) -> Sequence[LogRecord]:
    """Take, in order, what may be yielded before anything is read on: up to the last of the queue that ends first.

    Args:
        queues: In the order of their ranks; each has a next record.
    """
    # Of what has the same turn, places of a lower rank come first.
    until_ms, first = min((queue.last_ms, rank) for rank, queue in enumerate(queues))
    taken = [queue.take(until_ms, "right" if rank <= first else "left") for rank, queue in enumerate(queues)]
    records = [record for some, _ in taken for record in some]
    # The sort is stable: what has the same turn stays in the order of ranks and offsets.
    order = np.argsort(np.concatenate([turns_ms for _, turns_ms in taken]), kind="stable")
    return [records[at] for at in order.tolist()]
