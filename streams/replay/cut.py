"""A cut of the log: up to which offsets it is read, and when the newest of these records was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.replay.bounded_log import Held, Place, Span
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.replay.bounded_log import Log

# At the last offsets there may be no record, but the ends of transactions.
_TAIL = 100


class Cut(NamedTuple):
    """What was held of some topics; ``time_ms`` is when the newest record was made, Unix ms, 0 where there is none."""

    held: Mapping[Place, Held]
    time_ms: int

    def of(self, topic: str) -> dict[Place, Span]:
        """The offsets of a topic."""
        return {place: Span(one.begin, one.end) for place, one in self.held.items() if place.topic == topic}


async def cut_of(log: Log, topics: Sequence[str]) -> Cut:
    """Cut a log now.

    Args:
        log: The log.
        topics: Full names; what a record of one names stands below the cut of each topic behind it.

    Raises:
        NoSuchTopic: There is no such topic.
    """
    held: dict[Place, Held] = {}
    for topic in topics:
        held |= await log.held([topic])
    times = [await time_of_last(log, place, one) for place, one in held.items()]
    return Cut(held, max(times, default=0))


async def time_of_last(log: Log, place: Place, held: Held) -> int:
    """When the last record of a place was made, Unix ms; 0 where there is none.

    Args:
        log: Where it stands.
        place: The place.
        held: What is held of it, or of that the part that counts.
    """
    time_ms, begin = 0, held.end
    while time_ms == 0 and begin > held.begin:
        begin = max(held.begin, begin - _TAIL)
        async for record in read_merged(log, {place: Span(begin, held.end)}):
            time_ms = record.time_ms
    return time_ms


def write_cut(ends: Mapping[Place, int]) -> str:
    """Write the first offset of each place that is not read, ``TOPIC:PARTITION:END`` with commas between."""
    return ",".join(f"{place.topic}:{place.partition}:{end}" for place, end in sorted(ends.items()) if end)
