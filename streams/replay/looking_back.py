"""The newest records of a key by an instant: the log is read backwards, further each time, until one is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.partitions import partition_of
from streams.replay.bounded_log import OutOfRetention, Place
from streams.replay.log_window import held_for, resolve_times

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from streams.replay.bounded_log import Log, Span

# How far back is looked at first; each further attempt goes four times as far.
_FIRST_BACK_MS = 600_000
_FURTHER = 4


async def windows_back(log: Log, topic: str, key: bytes, at_ms: int) -> AsyncGenerator[Mapping[Place, Span]]:
    """Yield windows that end behind an instant and begin further back each time, the last one with all that is held.

    Args:
        log: Where the topic is.
        topic: Its full name.
        key: The key, which says in which partition is looked.
        at_ms: The instant, Unix ms.

    Raises:
        ReplayError: The log cannot be read.
    """
    held = await log.held([topic])
    place, back_ms = Place(topic, partition_of(key, len(held))), _FIRST_BACK_MS
    while True:
        try:
            span = (await resolve_times(log, [topic], at_ms - back_ms, at_ms + 1))[place]
        except OutOfRetention:
            span = (await resolve_times(log, [topic], None, at_ms + 1))[place]
        yield {place: span}
        if span.begin <= held_for(held[place], None, at_ms + 1).begin:
            return
        back_ms *= _FURTHER
