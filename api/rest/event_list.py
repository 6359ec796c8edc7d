"""Pages of events, of all accounts that the client may read or of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.http.keys import FEEDS
from api.rest.gzip_bodies import json_answer
from api.rest.known import expect_read, readable, row_of, unreadable_row
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page_of_rows
from api.rest.timeline import START, Timeline, chosen
from api.tables.turns import next_turn
from models.errors import BadRow
from models.ids import split_key
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiohttp import web

    from api.rest.known import AccountId
    from api.rest.query import Query
    from api.rest.timeline import Event, Place, Tags
    from api.tables.feeds import RowFeed
    from models.views import View

# Reading a full row takes some 200 µs.
_ROWS_BETWEEN_YIELDS = 3


class EventList:
    """The list of a table's events. Its timeline is made when all accounts' events are asked for the first time.

    Args:
        table: The table's name, which cursors hold too; it has one row an account.
        read: Reads the events of a row, given the row's key and the row.
        view: Makes the views of some of an account's events by number, given its key, its row and the numbers.
    """

    def __init__(
        self,
        table: str,
        read: Callable[[bytes, bytes], Iterable[Event]],
        view: Callable[[str, bytes, set[int]], Mapping[int, View]],
    ) -> None:
        self._table = table
        self._read = read
        self._view = view
        self._timeline: Timeline | None = None

    async def answer(
        self,
        request: web.Request,
        query: Query,
        *,
        one: AccountId | None,
        deployment: str | None,
        is_wanted: Callable[[Tags], bool],
        end: Place | None = None,
    ) -> web.Response:
        """Answer the page that is asked for.

        Args:
            request: The request.
            query: Has a limit and a cursor.
            one: The account whose events are asked for; None for all accounts.
            deployment: The deployment whose events are asked for; None for all.
            is_wanted: Tells by an event's tags whether it is wanted.
            end: The place before which events must be; None for no bound.
        """
        feed = request.app[FEEDS].by_table()[self._table]
        expect_read(feed, self._table)
        may_read, start, limit = readable(request), self._start(query), query.get(LIMIT) or LIMIT_DEFAULT

        def is_in_scope(key: bytes) -> bool:
            of = split_key(key)[0]
            return deployment in {None, of} and may_read(key, of)

        def is_shown(event: Event) -> bool:
            _, key, _, tags = event
            return is_wanted(tags) and is_in_scope(key)

        unreadable: set[bytes] = set()
        if one is None:
            self._timeline = self._timeline or Timeline(self._table, feed, self._read)
            events = await self._timeline.newest(start, end, is_shown, limit + 1)
            unreadable = await self._timeline.unreadable(is_in_scope)
        else:
            events = chosen(self._of(request, one, feed), start, end, is_shown, limit + 1)
        items = await self._views(events[:limit], feed.rows, unreadable)
        next_cursor = self._cursor(events[limit - 1]) if len(events) > limit else None
        return await json_answer(request, await page_of_rows(items, next_cursor, beside=len(unreadable)))

    def _of(self, request: web.Request, one: AccountId, feed: RowFeed) -> list[Event]:
        row = row_of(request, one, feed, self._table)
        try:
            return [] if row is None else sorted(self._read(one.key.encode(), row))
        except BadRow as error:
            raise unreadable_row(self._table, one.key, row or b"", error) from error

    async def _views(self, events: Sequence[Event], rows: Mapping[bytes, bytes], unreadable: set[bytes]) -> list[View]:
        """Make the views of events, as far as their rows still hold them; keys whose rows cannot be read are added."""
        numbers: dict[bytes, set[int]] = {}
        for _, key, number, _ in events:
            numbers.setdefault(key, set()).add(number)
        views: dict[bytes, Mapping[int, View]] = {}
        for at, (key, wanted) in enumerate(numbers.items(), start=1):
            row = rows.get(key)
            try:
                views[key] = {} if row is None else self._view(key.decode(), row, wanted)
            except BadRow as error:
                note_unreadable(self._table, key, row or b"", error)
                unreadable.add(key)
                views[key] = {}
            if at % _ROWS_BETWEEN_YIELDS == 0:
                await next_turn()
        return [
            {"account": key.decode(), "deployment": split_key(key)[0], **views[key][number]}
            for _, key, number, _ in events
            if number in views[key]
        ]

    def _start(self, query: Query) -> Place:
        match query.get(CURSOR):
            case None:
                return START
            case [str(name), int(at), str(key), int(number)] if name == self._table:
                return at, key.encode(), number + 1
            case _:
                raise bad_cursor()

    def _cursor(self, event: Event) -> str:
        at, key, number, _ = event
        return cursor_after([self._table, at, key.decode(), number])
