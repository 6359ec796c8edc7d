"""Bookings in a file of SQLite, with how far the topic is in them: both change in one transaction."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from models.booking_requests import BOOKINGS_MAX, BookedLine
from models.bookings import GAP, NO_BLOCK, Booking, ends_position
from models.ids import split_key
from streams.history.bar_store import BadStore
from streams.history.whole_or_nothing import whole_or_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from models.booking_requests import Place
    from models.bookings import Booked, Unbooked

# A file of another layout or epoch is made anew from the topic, which has everything.
_LAYOUT = 3
_TABLES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, count INTEGER NOT NULL, cut INTEGER
);
CREATE TABLE bookings (
    series INTEGER NOT NULL, offset INTEGER NOT NULL, part INTEGER NOT NULL, number INTEGER NOT NULL,
    deployment TEXT NOT NULL, block INTEGER NOT NULL, time INTEGER NOT NULL, name TEXT NOT NULL, quote TEXT,
    is_end INTEGER NOT NULL, booking BLOB NOT NULL, PRIMARY KEY (series, offset, part, number)
) WITHOUT ROWID;
CREATE INDEX of_quote ON bookings (series, quote, offset, part, number) WHERE quote IS NOT NULL;
CREATE INDEX doubts ON bookings (series, offset, part, number) WHERE name IN ('gap', 'checkpoint');
CREATE INDEX ends ON bookings (series, offset, part, number) WHERE is_end;
CREATE INDEX of_block ON bookings (deployment, block) WHERE block >= 0;
CREATE TABLE unbooked (
    deployment TEXT NOT NULL, offset INTEGER NOT NULL, part INTEGER NOT NULL, ancestor INTEGER NOT NULL,
    PRIMARY KEY (deployment, offset, part)
) WITHOUT ROWID;
CREATE TABLE places (number INTEGER PRIMARY KEY, next INTEGER NOT NULL);
"""
_LINE = "offset, part, number, block, time, booking"
_OF_SERIES = "WHERE series = (SELECT id FROM series WHERE name = ?)"
_NEWEST_FIRST = "ORDER BY offset DESC, part DESC, number DESC"
# No record has as many bookings: what is numbered so is the gap of a record that cannot be read.
_UNREAD = 2**40
# What is beyond the bound is deleted only when it is so much, since that takes a search.
_SLACK = BOOKINGS_MAX // 10

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Booking).decode


class BookingStore:
    """The bookings of all accounts, the newest ``BOOKINGS_MAX`` of each.

    Args:
        path: The file; it is made where there is none.
        epoch: The epoch whose bookings they are.
        most: How many are held of an account.

    Raises:
        BadStore: The file is no store.
    """

    def __init__(self, path: Path, epoch: int, most: int = BOOKINGS_MAX) -> None:
        self._most = most
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, isolation_level=None)
        # What is read beside the loop, by one thread at a time, does not see what is half written.
        self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._reading = Lock()
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            (layout,) = self._base.execute("PRAGMA user_version").fetchone()
            (found_epoch,) = self._base.execute("PRAGMA application_id").fetchone()
            if (layout, found_epoch) != (_LAYOUT, epoch):
                self._begin_anew(epoch)
        except sqlite3.DatabaseError as error:
            msg = f"expected a file of SQLite at {path}, found none that can be used ({error}): move the file away"
            raise BadStore(msg) from error

    def _begin_anew(self, epoch: int) -> None:
        tables = [name for (name,) in self._base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        dropped = "".join(f"DROP TABLE {name};" for name in tables)
        heads = f"PRAGMA user_version = {_LAYOUT}; PRAGMA application_id = {epoch};"
        self._base.executescript(f"BEGIN; {dropped} {_TABLES} {heads} COMMIT;")

    def close(self) -> None:
        """Close the file, as soon as nobody reads any more."""
        with self._reading:
            self._reader.close()
        self._base.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read in the block is as of one instant; threads come one after the other."""
        with self._reading:
            self._reader.execute("BEGIN")
            try:
                yield
            finally:
                self._reader.execute("COMMIT")

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is written in the block, or nothing of it."""
        return whole_or_nothing(self._base)

    def next_offsets(self) -> Mapping[int, int]:
        """The offset that each partition goes on from."""
        return dict(self._base.execute("SELECT number, next FROM places"))

    def put_next(self, offsets: Mapping[int, int]) -> None:
        """Take note of the offset that partitions go on from."""
        self._base.executemany("INSERT OR REPLACE INTO places VALUES (?, ?)", offsets.items())

    def book(self, series: str, booked: Booked) -> None:
        """Write the bookings of a record, unless its block has left the chain or they stand there already.

        Args:
            series: The account.
            booked: The bookings.
        """
        deployment, _ = split_key(series.encode())
        offset, part = booked.position
        gone = self._base.execute(
            "SELECT 1 FROM unbooked WHERE deployment = ? AND (offset, part) > (?, ?) AND ancestor < ? LIMIT 1",
            (deployment, offset, part, booked.block),
        )
        if booked.block >= 0 and gone.fetchone() is not None:
            return
        # What it had at its first booking was booked nowhere: a worker of before folded it.
        cut_ms = None if booked.is_beginning else max(0, booked.time_ms - 1)
        self._base.execute("INSERT OR IGNORE INTO series (name, count, cut) VALUES (?, 0, ?)", (series, cut_ms))
        (number,) = self._base.execute("SELECT id FROM series WHERE name = ?", (series,)).fetchone()
        before = self._base.total_changes
        self._base.executemany(
            "INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (number, offset, part, at, deployment, booked.block, booked.time_ms, *_cells(one))
                for at, one in enumerate(booked.bookings, booked.first)
            ),
        )
        self._count(number, self._base.total_changes - before)

    def cannot_read(self, series: str, offset: int, time_ms: int, place: str) -> None:
        """Book a gap in place of a record that cannot be read, right behind the newest booking of the account.

        Where it belongs is not known: behind what came before it, and before what comes next.

        Args:
            series: The account.
            offset: The record's offset in its partition of ``bookings``.
            time_ms: When the record was written, Unix ms: it is no newer, and maybe the first of the account.
            place: The record, in words.
        """
        deployment, _ = split_key(series.encode())
        self._base.execute("INSERT OR IGNORE INTO series (name, count, cut) VALUES (?, 0, ?)", (series, time_ms))
        (number,) = self._base.execute("SELECT id FROM series WHERE name = ?", (series,)).fetchone()
        behind = self._base.execute(
            f"SELECT offset, part, time FROM bookings WHERE series = ? {_NEWEST_FIRST} LIMIT 1",  # noqa: S608 - a text of ours
            (number,),
        ).fetchone()
        newest = behind or (0, -1, time_ms)
        gap = Booking(GAP, f"a record of bookings cannot be read: {place}")
        before = self._base.total_changes
        self._base.execute(
            "INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, *newest[:2], _UNREAD + offset, deployment, NO_BLOCK, newest[2], *_cells(gap)),
        )
        self._count(number, self._base.total_changes - before)

    def series_of(self, deployment: str) -> list[str]:
        """The accounts of a deployment that have bookings."""
        # ``;`` is the character behind ``:``.
        span = f"{deployment}:", f"{deployment};"
        return [name for (name,) in self._base.execute("SELECT name FROM series WHERE name > ? AND name < ?", span)]

    def unbook(self, deployment: str, unbooked: Unbooked) -> None:
        """Delete what was booked for blocks that left the chain; what of it comes later is not booked.

        Args:
            deployment: The deployment.
            unbooked: Which blocks.
        """
        place = (*unbooked.position, unbooked.ancestor)
        known = self._base.execute("INSERT OR IGNORE INTO unbooked VALUES (?, ?, ?, ?)", (deployment, *place))
        if not known.rowcount:
            # Every partition says it.
            return
        gone = self._base.execute(
            "DELETE FROM bookings WHERE deployment = ? AND block > ? AND block >= 0 AND (offset, part) < (?, ?) "
            "RETURNING series",
            (deployment, unbooked.ancestor, *unbooked.position),
        ).fetchall()
        self._base.executemany("UPDATE series SET count = count - 1 WHERE id = ?", gone)

    def lines(
        self, series: str, names: Sequence[str], span_ms: tuple[int, int], before: Place, most: int
    ) -> list[BookedLine]:
        """Bookings of an account, newest first.

        Args:
            series: The account.
            names: Those wanted, none for all.
            span_ms: They are of the first instant or later, and before the second, Unix ms.
            before: They stand before this place.
            most: How many at most.
        """
        wanted = f"AND name IN ({', '.join('?' * len(names))})" if names else ""
        return self._lines(series, "", wanted, (*before, *span_ms, *names), most)

    def ends(self, series: str, span_ms: tuple[int, int], before: Place, most: int) -> list[BookedLine]:
        """The bookings that left nothing open of a position; arguments are those of ``lines``."""
        return self._lines(series, "INDEXED BY ends", "AND is_end", (*before, *span_ms), most)

    def of_position(self, series: str, end: BookedLine) -> Iterator[BookedLine]:
        """The bookings of a position that was closed, newest first; they are read one by one.

        At some venues the next position in a market has the id of the one before: that one's are none of them. So all
        positions of an account have together no more than the account has.

        Args:
            series: The account.
            end: The booking that left nothing open of it.
        """
        found = self._reader.execute(
            # Left to itself SQLite reads the primary key, which has all bookings of the account.
            f"SELECT is_end, {_LINE} FROM bookings INDEXED BY of_quote {_OF_SERIES} AND quote = ? "  # noqa: S608 - texts of ours
            f"AND (offset, part, number) <= (?, ?, ?) {_NEWEST_FIRST}",
            (series, _text(end.booking.quote), *end.place),
        )
        for is_end, *row in found:
            line = _line(row)
            if is_end and line.place != end.place:
                return
            yield line

    def is_doubted(self, series: str, since: Place, until: Place) -> bool:
        """Whether an account was not known, or read anew, between two places.

        Args:
            series: The account.
            since: The one place.
            until: The other place, after it.
        """
        doubts = f"SELECT 1 FROM bookings INDEXED BY doubts {_OF_SERIES} AND name IN ('gap', 'checkpoint')"  # noqa: S608 - texts of ours
        # A record that cannot be read may be a further part of the very record that the one or the other is of. The two
        # are asked for apart: SQLite 3.40 finds neither where they stand in one condition.
        found = self._reader.execute(
            f"{doubts} AND (offset, part, number) > (?, ?, ?) AND (offset, part, number) < (?, ?, ?) UNION ALL "
            f"{doubts} AND (offset, part) BETWEEN (?, ?) AND (?, ?) AND number >= ? LIMIT 1",
            (series, *since, *until, series, *since[:2], *until[:2], _UNREAD),
        )
        return found.fetchone() is not None

    def cut_ms(self, series: str) -> int | None:
        """Until when bookings of an account are not held any more, Unix ms; None where all are."""
        found = self._reader.execute("SELECT cut FROM series WHERE name = ?", (series,)).fetchone()
        return None if found is None else found[0]

    def _lines(
        self, series: str, index: str, wanted: str, values: tuple[int | str, ...], most: int
    ) -> list[BookedLine]:
        query = (
            f"SELECT {_LINE} FROM bookings {index} {_OF_SERIES} "  # noqa: S608 - texts of ours
            f"AND (offset, part, number) < (?, ?, ?) AND time >= ? AND time < ? {wanted} {_NEWEST_FIRST} LIMIT ?"
        )
        return [_line(row) for row in self._reader.execute(query, (series, *values, most))]

    def _count(self, number: int, more: int) -> None:
        """Count bookings of an account, and delete the oldest where they are too many."""
        (count,) = self._base.execute(
            "UPDATE series SET count = count + ? WHERE id = ? RETURNING count", (more, number)
        ).fetchone()
        if count <= self._most + min(_SLACK, self._most):
            return
        place = self._base.execute(
            f"SELECT offset, part, number, time FROM bookings WHERE series = ? {_NEWEST_FIRST} LIMIT 1 OFFSET ?",  # noqa: S608
            (number, self._most),
        ).fetchone()
        gone = self._base.execute(
            "DELETE FROM bookings WHERE series = ? AND (offset, part, number) <= (?, ?, ?)", (number, *place[:3])
        )
        self._base.execute(
            "UPDATE series SET count = count - ?, cut = MAX(COALESCE(cut, 0), ?) WHERE id = ?",
            (gone.rowcount, place[3], number),
        )


def _cells(one: Booking) -> tuple[str, str | None, bool, bytes]:
    return one.name, _text(one.quote), ends_position(one), _encode(one)


def _text(quote: int | str | None) -> str | None:
    return None if quote is None else str(quote)


def _line(row: Sequence[Any]) -> BookedLine:
    offset, part, number, block, time_ms, booking = row
    return BookedLine((offset, part, number), block, time_ms, _decode(booking))
