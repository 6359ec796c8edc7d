"""A window of topics as users name it: by topics and times, or by offsets alone."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from streams.replay.bounded_log import BadWindow, Place, Span
from streams.replay.key_filter import KeyFilter
from streams.replay.log_window import check_offsets, read_instant, read_offsets, resolve_times
from streams.replay.merging import merged
from streams.replay.named_topics import find_topic

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from streams.replay.bounded_log import Log, LogRecord
    from streams.settings import Settings


class NotNamed(BadWindow):
    """A window is named by topics and its beginning, or by offsets alone, and was named otherwise."""


class Window(NamedTuple):
    """A window of some topics.

    ``topics`` are full names in the order of their ranks; ``vector`` are the offsets. ``since_ms`` and ``until_ms`` are
    the instants, Unix ms, of a window by time; None of another.
    """

    topics: tuple[str, ...]
    vector: Mapping[Place, Span]
    since_ms: int | None
    until_ms: int | None

    @property
    def offsets(self) -> int:
        """How many offsets there are in it; of some there may be no record."""
        return sum(span.end - span.begin for span in self.vector.values())


async def resolve_window(
    log: Log, settings: Settings, named: Sequence[str], *, since: str | None, until: str | None, offsets: str | None,
    now_ms: int,
) -> Window:  # fmt: skip
    """Find the offsets that a window comes to.

    Args:
        log: The log.
        settings: Name the topics.
        named: Topics as the user names them; with ``offsets`` none.
        since: Beginning of the window by time.
        until: Its end; by default now.
        offsets: The window by offsets.
        now_ms: The instant now, Unix ms.

    Raises:
        NotNamed: What is given names no window, or two.
        ReplayError: It is no window of this log.
    """
    is_by_time = offsets is None and since is not None and named
    is_by_offsets = offsets is not None and since is None and until is None and not named
    if not (is_by_time or is_by_offsets):
        msg = "expected topics and the beginning of a window, or offsets alone"
        raise NotNamed(msg)
    if offsets is not None:
        vector = read_offsets(offsets)
        await check_offsets(log, vector)
        return Window(tuple(dict.fromkeys(place.topic for place in vector)), vector, None, None)
    topics = tuple(dict.fromkeys(find_topic(settings, one) for one in named))
    since_ms = read_instant(str(since), now_ms)
    until_ms = None if until is None else read_instant(until, now_ms)
    vector = await resolve_times(log, topics, since_ms, until_ms)
    # What is to come is not in it, whatever the end that was given.
    return Window(topics, vector, since_ms, now_ms if until_ms is None else min(until_ms, now_ms))


async def chosen_records(
    log: Log, window: Window, keys: Sequence[str], on_record: Callable[[LogRecord], None]
) -> AsyncGenerator[LogRecord]:
    """Yield the records of a window that have one of some keys, in the order of ``merged``.

    Args:
        log: Where they are.
        window: What is read.
        keys: The keys; ``NAME*`` for all that begin so, none for all.
        on_record: Is told each record that was read.

    Raises:
        BrokenOff: It cannot be read to its end.
    """
    wanted = KeyFilter(tuple(keys))
    async with log.reading(window.vector) as reading, aclosing(merged(reading, window.vector, window.topics)) as read:
        async for record in read:
            on_record(record)
            if wanted.takes(record.key):
                yield record
