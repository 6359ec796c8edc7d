"""What happened to all accounts, newest first, so that a page of it costs what is on it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from itertools import islice
from typing import TYPE_CHECKING

from api.tables.backlog import Backlog
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from api.tables.feeds import RowFeed

# Some 30 µs each, read and put in order; a full row of states takes 300 µs: a few ms between two chances for others.
_ROWS_BETWEEN_YIELDS = 20
# Some 1 µs each.
_EVENTS_BETWEEN_YIELDS = 5_000
# What comes or goes moves this many neighbours at the most, in less than 1 µs; smaller chunks would only be more.
_CHUNK_MAX = 2_000


Tags = tuple[int | str, ...]
"""What an event is chosen by."""

# The garbage collector passes over tuples of plain things; objects of a class would hold it up for 100 ms and more.
Event = tuple[int, bytes, int, Tags]
"""Something that happened to an account: minus its time, in the unit of its table, the account's key, minus its number
among those of the account, and its tags. Ascending, the newest comes first."""

Place = tuple[()] | tuple[int] | tuple[int, bytes, int]
"""Where a list is begun or left: before all events, those of a time, or one of an account."""

START: Place = ()


class Timeline:
    """The events that rows tell of. It follows a table from when it is made: who asks for nothing pays for nothing.

    Args:
        feed: A table of one row an account.
        read: The events of a row, by its key.
    """

    def __init__(self, feed: RowFeed, read: Callable[[bytes, bytes], Iterable[Event]]) -> None:
        self._rows = feed.rows
        self._read = read
        self._backlog = Backlog(feed, _ROWS_BETWEEN_YIELDS)
        self._events_of: dict[bytes, tuple[Event, ...]] = {}
        self._ordered = _Ordered()

    async def newest(
        self, start: Place, end: Place | None, is_wanted: Callable[[Event], bool], most: int
    ) -> list[Event]:
        """The first ``most`` wanted events from one place to before another; None: to the last one."""
        await self._backlog.catch_up(self._reread)
        found: list[Event] = []
        while True:
            events = self._ordered.run(start, _EVENTS_BETWEEN_YIELDS)
            found += chosen(events, START, end, is_wanted, most - len(found))
            is_over = len(events) < _EVENTS_BETWEEN_YIELDS or (end is not None and events[-1] >= end)
            if is_over or len(found) == most:
                return found
            start = after(events[-1])
            await asyncio.sleep(0)

    def _reread(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._reread_one(key)

    def _reread_one(self, key: bytes) -> None:
        row = self._rows.get(key)
        try:
            events = () if row is None else tuple(self._read(key, row))
        except BadRow:
            events = ()
        before, now = set(self._events_of.pop(key, ())), set(events)
        for event in before - now:
            self._ordered.remove(event)
        for event in now - before:
            self._ordered.add(event)
        if events:
            self._events_of[key] = events


def after(event: Event) -> Place:
    """The place behind an event."""
    at, key, number, _ = event
    return at, key, number + 1


def chosen(
    events: Sequence[Event], start: Place, end: Place | None, is_wanted: Callable[[Event], bool], most: int
) -> list[Event]:
    """The first ``most`` wanted of ascending events from one place to before another; None: to the last one."""
    until = len(events) if end is None else bisect_left(events, end)
    return list(islice(filter(is_wanted, islice(events, bisect_left(events, start), until)), most))


class _Ordered:
    """A sorted list in chunks, so that a change costs a chunk and not all that follows."""

    def __init__(self) -> None:
        self._chunks: list[list[Event]] = []
        self._lasts: list[Event] = []

    def add(self, event: Event) -> None:
        if not self._chunks:
            self._chunks, self._lasts = [[event]], [event]
            return
        at = min(bisect_left(self._lasts, event), len(self._chunks) - 1)
        chunk = self._chunks[at]
        insort(chunk, event)
        if len(chunk) > _CHUNK_MAX:
            half = len(chunk) // 2
            self._chunks[at : at + 1] = [chunk[:half], chunk[half:]]
            self._lasts[at : at + 1] = [chunk[half - 1], chunk[-1]]
        else:
            self._lasts[at] = chunk[-1]

    def remove(self, event: Event) -> None:
        at = bisect_left(self._lasts, event)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, event)]
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at]

    def run(self, start: Place, most: int) -> list[Event]:
        """Up to ``most`` events from a place on."""
        events: list[Event] = []
        at = bisect_left(self._lasts, start)
        while at < len(self._chunks) and len(events) < most:
            chunk = self._chunks[at]
            first = 0 if events else bisect_left(chunk, start)
            events += chunk[first : first + most - len(events)]
            at += 1
        return events
