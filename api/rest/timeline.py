"""The events of all accounts, newest first, kept sorted so that a page takes no longer the more events there are."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

from api.tables.backlog import Backlog
from api.tables.turns import next_turn
from models.errors import BadRow
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from api.tables.feeds import RowFeed

# Reading a row and sorting it in takes some 30 µs, or 300 µs for a full one.
_ROWS_BETWEEN_YIELDS = 10
# Looking at an event takes some 1 µs.
_EVENTS_BETWEEN_YIELDS = 500

Tags = tuple[int | str, ...]
"""What events are filtered by."""

# Plain tuples, which the garbage collector passes over; with objects it would stop everything for 100 ms and more.
Event = tuple[int, bytes, int, Tags]
"""Something that happened to an account. In ascending order the newest event comes first.

It holds minus its time in the unit of its table, the account's key, minus its number among the account's events, and
its tags."""

Place = tuple[()] | tuple[int] | tuple[int, bytes, int]
"""A place between events: before all of them, before those of a time, or before one event of an account."""

START: Place = ()


class Timeline:
    """The events of a table's rows. Rows that changed are read when it is asked, not when they come.

    Args:
        table: The table.
        feed: Its rows, of which an account has one.
        read: Reads the events of a row, given the row's key and the row.
    """

    def __init__(self, table: str, feed: RowFeed, read: Callable[[bytes, bytes], Iterable[Event]]) -> None:
        self._table = table
        self._rows = feed.rows
        self._read = read
        self._backlog = Backlog(feed, _ROWS_BETWEEN_YIELDS)
        self._events_of: dict[bytes, tuple[Event, ...]] = {}
        self._ordered: SortedList[Event] = SortedList()
        self._unreadable: set[bytes] = set()

    async def newest(
        self, start: Place, end: Place | None, is_wanted: Callable[[Event], bool], most: int
    ) -> list[Event]:
        """Choose the newest wanted events between two places.

        Args:
            start: Where to begin; ``START`` begins with the newest of all.
            end: The place before which to end; None goes on to the oldest.
            is_wanted: Tells which events are wanted.
            most: How many are returned at most, at least 1.

        Returns:
            The events, newest first.
        """
        await self._backlog.catch_up(self._reread)
        found: list[Event] = []
        while True:
            first = self._ordered.bisect_left(start)
            events = list(self._ordered.islice(first, first + _EVENTS_BETWEEN_YIELDS))
            found += chosen(events, START, end, is_wanted, most - len(found))
            is_over = len(events) < _EVENTS_BETWEEN_YIELDS or (end is not None and events[-1] >= end)
            if is_over or len(found) == most:
                return found
            start = after(events[-1])
            await next_turn()

    async def unreadable(self, is_wanted: Callable[[bytes], bool]) -> set[bytes]:
        """Choose the rows that could not be read when the timeline was last asked, by their keys.

        Args:
            is_wanted: Tells by its key whether a row is wanted.
        """
        found = set()
        for number, key in enumerate(tuple(self._unreadable), start=1):
            if is_wanted(key):
                found.add(key)
            if number % _EVENTS_BETWEEN_YIELDS == 0:
                await next_turn()
        return found

    def _reread(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._reread_one(key)

    def _reread_one(self, key: bytes) -> None:
        row = self._rows.get(key)
        self._unreadable.discard(key)
        try:
            events = () if row is None else tuple(self._read(key, row))
        except BadRow as error:
            note_unreadable(self._table, key, row or b"", error)
            self._unreadable.add(key)
            events = ()
        before, now = set(self._events_of.pop(key, ())), set(events)
        for event in before - now:
            self._ordered.remove(event)
        for event in now - before:
            self._ordered.add(event)
        if events:
            self._events_of[key] = events


def after(event: Event) -> Place:
    """Return the place behind an event."""
    at, key, number, _ = event
    return at, key, number + 1


def chosen(
    events: Sequence[Event], start: Place, end: Place | None, is_wanted: Callable[[Event], bool], most: int
) -> list[Event]:
    """Choose the first wanted events between two places of a sorted sequence.

    Args:
        events: In ascending order, which is the newest first.
        start: Where to begin.
        end: The place before which to end; None goes on to the last one.
        is_wanted: Tells which events are wanted.
        most: How many are returned at most, at least 0.
    """
    until = len(events) if end is None else bisect_left(events, end)
    return list(islice(filter(is_wanted, islice(events, bisect_left(events, start), until)), most))
