"""The newest records of a key by an instant: the log is read backwards, further each time, until one is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.kafka.partitions import partition_of
from streams.replay.bounded_log import OutOfRetention, Place
from streams.replay.log_window import held_for, resolve_times

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from streams.replay.bounded_log import Log, Span

# How far back is looked at first; each further attempt goes four times as far.
_FIRST_BACK_MS = 600_000
_FURTHER = 4


class WindowBack(NamedTuple):
    """A window of one partition; ``since_ms`` is where it begins, Unix ms, None where it has all that is held."""

    vector: Mapping[Place, Span]
    since_ms: int | None


async def windows_back(log: Log, topic: str, key: bytes, at_ms: int, *, late_ms: int = 0) -> AsyncGenerator[WindowBack]:
    """Yield windows that end behind an instant and begin further back each time, the last one with all that is held.

    Args:
        log: Where the topic is.
        topic: Its full name.
        key: The key, which says in which partition is looked.
        at_ms: The instant, Unix ms.
        late_ms: How long after the instant a record of it may have been written: windows end so much later, as far as
            the log is held.

    Raises:
        ReplayError: The log cannot be read.
    """
    held = await log.held([topic])
    parts = {place: held_for(one, None, at_ms + 1) for place, one in held.items()}
    ends_ms = [one.until_ms for one in parts.values() if one.until_ms is not None]
    end_ms = max(at_ms + 1, min([at_ms + late_ms + 1, *ends_ms]))
    place, back_ms = Place(topic, partition_of(key, len(held))), _FIRST_BACK_MS
    while True:
        since_ms: int | None = at_ms - back_ms
        try:
            span = (await resolve_times(log, [topic], since_ms, end_ms))[place]
        except OutOfRetention:
            # What is held may have become less meanwhile.
            span, since_ms = (await resolve_times(log, [topic], None, end_ms))[place], None
        if span.begin <= parts[place].begin:
            since_ms = None
        yield WindowBack({place: span}, since_ms)
        if since_ms is None:
            return
        back_ms *= _FURTHER
