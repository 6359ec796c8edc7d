"""The input board of a process, followed through feeds: marks, which market is priced by which, and references."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from models.engine.board import InputBoard
from models.engine.stored_rows import readable
from models.engine.tables import MARKETS, MARKS, REFERENCES
from models.prices import decode_mark
from models.references import used_of_row
from streams.kafka.feed import Feed
from streams.process.overload import Waits
from streams.process.supervision import supervised
from streams.process.unreadable_rows import note_unreadable
from streams.settings.venues import venues_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.engine.board import MarketId
    from models.prices import Mark
    from streams.process.clock import Clock
    from streams.settings import Settings

# Staleness is seen within this time of a limit of some seconds.
_AGE_CHECK_S = 0.5


class MarketMarks:
    """Keeps a ``board`` as the tables say, and as marks grow stale; what cannot be read of them is unknown.

    ``marks``, ``names`` and ``references`` are the feeds of the tables ``marks``, ``markets`` and ``references``.
    ``newest_mark_ms`` is when the newest mark was received, in Unix ms; 0 before the first. ``late`` says how old the
    newest of those was that came together.

    Args:
        settings: Say where the prices of each deployment's markets come from.
        clock: Tells which marks are stale.
        fatal: Called with the error of a feed that ended.
        on_moved: Called with the markets whose mark, or whose staleness, is another than before.
        on_referred: Called with a deployment of which a reference is another than before.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        fatal: Callable[[BaseException], None],
        on_moved: Callable[[Iterable[MarketId]], None],
        on_referred: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._fatal = fatal
        self._on_moved = on_moved
        self._on_referred = on_referred
        self._venues = venues_of(settings)
        self._marks: dict[bytes, Mark] = {}
        self._watching: list[asyncio.Task[None]] = []
        self.newest_mark_ms = 0
        self.late = Waits()
        self.board = InputBoard(self._marks.get)
        self.marks = Feed.of(settings, MARKS, clock)
        self.marks.listen(self._marks_moved)
        self.names = Feed.of(settings, MARKETS, clock)
        self.names.listen(self._names_changed)
        self.references = Feed.of(settings, REFERENCES, clock)
        self.references.listen(self._references_changed)

    async def start(self) -> None:
        """Read the changelogs to their ends, then follow."""
        await asyncio.gather(*(feed.start() for feed in self._feeds))
        for feed in self._feeds:
            await feed.wait_ready()
        self._watching = [
            supervised(self._watch_ages(), "mark ages", self._fatal),
            supervised(self.names.closed(), "markets feed", self._fatal),
            supervised(self.marks.closed(), "marks feed", self._fatal),
            supervised(self.references.closed(), "references feed", self._fatal),
        ]

    async def stop(self) -> None:
        """Disconnect."""
        for task in self._watching:
            task.cancel()
        for feed in self._feeds:
            await feed.stop()

    def acknowledged(self, topic: str, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Use the marks that this worker has written as soon as the broker has them, instead of reading them back.

        Whoever else values by them reads them from the changelog, which has them by then.

        Args:
            topic: The full name of the topic that the rows were written to; of others than marks nothing is taken.
            rows: Keys and rows, those of a partition in the order of the log.
        """
        if topic == self.marks.topic:
            self.marks.take_written(rows)

    @property
    def _feeds(self) -> tuple[Feed, ...]:
        return self.names, self.references, self.marks

    def oldest_mark_age_ms(self) -> int | None:
        """Age of the oldest mark in use, None where none is."""
        now_ms = self._clock.now_ms()
        ages = [now_ms - self._marks[used.key.encode()].received_ms for used in self.board.in_use]
        return max(ages, default=None)

    async def _watch_ages(self) -> None:
        while True:
            await asyncio.sleep(_AGE_CHECK_S)
            self._say(self.board.choose_all(self._clock.now_ms()))

    def _marks_moved(self, keys: Sequence[bytes]) -> None:
        newest_ms, now_ms = 0, self._clock.now_ms()
        for key in keys:
            row = self.marks.rows.get(key)
            if row is not None:
                mark = readable(note_unreadable, MARKS, key, row, decode_mark)
                if mark is None:
                    self._marks.pop(key, None)
                    continue
                self._marks[key] = mark
                newest_ms = max(newest_ms, mark.received_ms)
        if newest_ms > self.newest_mark_ms:
            # What was there at the start, and what is written again, is old for other reasons.
            if self.marks.is_ready:
                self.late.note((now_ms - newest_ms) / 1_000)
            self.newest_mark_ms = newest_ms
        self._say(self.board.choose(self.board.priced_by(keys), now_ms))

    def _names_changed(self, keys: Sequence[bytes]) -> None:
        changed: list[MarketId] = []
        for key in keys:
            row = self.names.rows.get(key)
            market = None
            if row is not None:
                market = self.board.put_row(key, row, self._settings.deployments, note_unreadable)
            if market is not None:
                changed.append(market)
        self._say(self.board.choose(changed, self._clock.now_ms()))

    def _references_changed(self, keys: Sequence[bytes]) -> None:
        changed: dict[str, None] = {}
        for key in keys:
            row = self.references.rows.get(key)
            used = None
            if row is not None:
                used = readable(note_unreadable, REFERENCES, key, row, partial(used_of_row, self._venues, key))
            changed[self.board.refer(key, used)] = None
        for deployment in changed:
            self._on_referred(deployment)

    def _say(self, moved: Sequence[MarketId]) -> None:
        if moved:
            self._on_moved(moved)
