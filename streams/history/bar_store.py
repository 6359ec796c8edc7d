"""Bars in a file of SQLite, with how far the topic is in them: both change in one transaction."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from models.errors import TidemarkError
from models.history import HOUR_S, KEPT_S, pack_bar, unpack_bar
from streams.history.whole_or_nothing import whole_or_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from models.history import Bar

# A file of another layout is made anew from the topics.
_LAYOUT = 1
_TABLES = """
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE bars (
    series INTEGER NOT NULL, step INTEGER NOT NULL, start INTEGER NOT NULL, figures BLOB NOT NULL,
    PRIMARY KEY (series, step, start)
) WITHOUT ROWID;
CREATE TABLE unsaid (start INTEGER NOT NULL, series INTEGER NOT NULL, PRIMARY KEY (start, series)) WITHOUT ROWID;
CREATE TABLE places (
    number INTEGER PRIMARY KEY, next INTEGER NOT NULL, term INTEGER NOT NULL, since INTEGER NOT NULL,
    newest INTEGER NOT NULL
);
CREATE TABLE parts (deployment TEXT NOT NULL, number INTEGER NOT NULL, row BLOB NOT NULL,
    PRIMARY KEY (deployment, number)) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_BEGAN, _EPOCH, _RESTORED = "began", "epoch", "restored"
_UPSERT = """
INSERT INTO bars VALUES ((SELECT id FROM series WHERE name = ?), ?, ?, ?)
ON CONFLICT DO UPDATE SET figures = excluded.figures
"""
_OF = "series = (SELECT id FROM series WHERE name = ?) AND step = ?"


class BadStore(TidemarkError):
    """The file of the history cannot be used. Move it away: it is made anew from the topics."""


class Reached(NamedTuple):
    """How far a partition is in the bars.

    Attributes:
        next_offset: The offset to read next.
        term: The newest term of a row.
        since_ms: When the first row of that term was made, Unix ms.
        newest_ms: When the newest row was made, Unix ms.
    """

    next_offset: int = 0
    term: int = 0
    since_ms: int = 0
    newest_ms: int = 0


BarId = tuple[str, int, int]
"""The series, the step in s, and when the bar begins in Unix s."""


class BarStore:
    """The bars of all series.

    Args:
        path: The file; it is made where there is none.

    Raises:
        BadStore: The file is no store.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, isolation_level=None)
        try:
            # A transaction that a crash of the machine takes back is made again from the topic.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            (layout,) = self._base.execute("PRAGMA user_version").fetchone()
            if layout == 0:
                self._base.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_LAYOUT}; COMMIT;")
            elif layout != _LAYOUT:
                msg = f"expected history of layout {_LAYOUT} in {path}, found {layout}: move the file away"
                raise BadStore(msg)
        except sqlite3.DatabaseError as error:
            msg = f"expected a file of SQLite at {path}, found none that can be used ({error}): move the file away"
            raise BadStore(msg) from error
        self._pruned_to = 0

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is written in the block, or nothing of it."""
        return whole_or_nothing(self._base)

    def begin_epoch(self, epoch: int) -> None:
        """Bars go on, and offsets begin anew, where rows are of another epoch than before, which has its own topic."""
        with self.transaction():
            if self._fact(_EPOCH) != epoch:
                self._base.execute("DELETE FROM places")
                self._base.execute("DELETE FROM parts")
                self._put_fact(_EPOCH, epoch)

    @property
    def is_restored(self) -> bool:
        """Whether the bars of hours that the topic had were read."""
        return self._fact(_RESTORED) is not None

    def restored(self) -> None:
        """Take note that they were read."""
        self._put_fact(_RESTORED, 1)

    @property
    def began_s(self) -> int | None:
        """From when on there are bars, Unix s; None before the first."""
        return self._fact(_BEGAN)

    def reached(self) -> dict[int, Reached]:
        """How far each partition is in the bars."""
        return {number: Reached(*rest) for number, *rest in self._base.execute("SELECT * FROM places")}

    def parts(self) -> Iterator[tuple[str, int, bytes]]:
        """The newest part of each partition in the totals of each deployment."""
        yield from self._base.execute("SELECT deployment, number, row FROM parts")

    def bar(self, bar_id: BarId) -> Bar | None:
        """A bar, None where nothing was shown in its span."""
        found = self._base.execute(f"SELECT figures FROM bars WHERE {_OF} AND start = ?", bar_id).fetchone()  # noqa: S608 - a text of ours
        return None if found is None else unpack_bar(bar_id[2], found[0])

    def bars(self, series: str, step_s: int, span_s: tuple[int, int], most: int) -> list[Bar]:
        """The first bars of a window, in the order of time.

        Args:
            series: The account or deployment.
            step_s: Their step, in s.
            span_s: They begin at or after the first and before the second, Unix s.
            most: How many at most.
        """
        query = f"SELECT start, figures FROM bars WHERE {_OF} AND start >= ? AND start < ? ORDER BY start LIMIT ?"  # noqa: S608
        found = self._base.execute(query, (series, step_s, *span_s, most))
        return [unpack_bar(start_s, figures) for start_s, figures in found]

    def last_before(self, series: str, step_s: int, start_s: int) -> Bar | None:
        """The last bar of a step that begins before an instant.

        Args:
            series: The account or deployment.
            step_s: Its step, in s.
            start_s: The instant, Unix s.
        """
        query = f"SELECT start, figures FROM bars WHERE {_OF} AND start < ? ORDER BY start DESC LIMIT 1"  # noqa: S608
        found = self._base.execute(query, (series, step_s, start_s)).fetchone()
        return None if found is None else unpack_bar(*found)

    def put_bars(self, bars: Mapping[BarId, Bar], *, is_said: bool = False) -> None:
        """Write bars in place of those that stand there.

        Args:
            bars: The bars.
            is_said: Whether those of hours stand in the topic already.
        """
        if not bars:
            return
        names = {(series,) for series, _, _ in bars}
        self._base.executemany("INSERT OR IGNORE INTO series (name) VALUES (?)", names)
        self._base.executemany(_UPSERT, ((*bar_id, pack_bar(bar)) for bar_id, bar in bars.items()))
        if not is_said:
            hours = [(start_s, series) for series, step_s, start_s in bars if step_s == HOUR_S]
            self._base.executemany(
                "INSERT OR IGNORE INTO unsaid VALUES (?, (SELECT id FROM series WHERE name = ?))", hours
            )
        # A bar of an hour begins before what was shown in it; of restored hours there are no finer ones.
        finest_s = min(step_s for _, step_s, _ in bars)
        first_s = min(start_s for _, step_s, start_s in bars if step_s == finest_s)
        self._base.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = MIN(value, excluded.value)",
            (_BEGAN, first_s),
        )

    def put_reached(self, reached: Mapping[int, Reached]) -> None:
        """Take note of how far partitions are in the bars."""
        rows = ((number, *one) for number, one in reached.items())
        self._base.executemany("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?)", rows)

    def put_parts(self, parts: Iterable[tuple[str, int, bytes]]) -> None:
        """Write parts of totals, in the form of ``parts``."""
        self._base.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", parts)

    def unsaid_hours(self, before_s: int, most: int) -> list[tuple[str, Bar]]:
        """Bars of hours that the topic does not have as they are.

        Args:
            before_s: They begin before this instant, Unix s.
            most: How many at most.
        """
        query = (
            "SELECT name, unsaid.start, figures FROM unsaid JOIN series ON series.id = unsaid.series JOIN bars ON "
            "bars.series = unsaid.series AND bars.step = ? AND bars.start = unsaid.start "
            "WHERE unsaid.start < ? ORDER BY unsaid.start LIMIT ?"
        )
        found = self._base.execute(query, (HOUR_S, before_s, most))
        return [(name, unpack_bar(start_s, figures)) for name, start_s, figures in found]

    def said(self, hours: Iterable[tuple[str, Bar]]) -> None:
        """The topic has these bars of hours; one that is another by now has to be said again."""
        query = (
            "DELETE FROM unsaid WHERE start = ?1 AND series = (SELECT id FROM series WHERE name = ?2) AND EXISTS "
            "(SELECT 1 FROM bars WHERE series = unsaid.series AND step = ?3 AND start = ?1 AND figures = ?4)"
        )
        self._base.executemany(query, ((bar.start_s, name, HOUR_S, pack_bar(bar)) for name, bar in hours))

    def _fact(self, name: str) -> int | None:
        found = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def _put_fact(self, name: str, value: int) -> None:
        self._base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def prune(self, now_s: int, most: int) -> None:
        """Delete what is kept no longer, of the next series.

        Args:
            now_s: The time now, Unix s.
            most: Of how many series.
        """
        until = self._pruned_to + most
        for step_s, kept_s in KEPT_S.items():
            if kept_s is not None:
                span = (self._pruned_to, until, step_s, now_s - kept_s)
                # One seek a series: a span of series alone would read all of their bars.
                self._base.execute(
                    "DELETE FROM bars WHERE series IN (SELECT id FROM series WHERE id > ? AND id <= ?) "
                    "AND step = ? AND start < ?",
                    span,
                )
        (last,) = self._base.execute("SELECT MAX(id) FROM series").fetchone()
        self._pruned_to = 0 if last is None or until >= last else until
