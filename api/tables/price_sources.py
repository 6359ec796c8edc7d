"""Whether each source of prices still speaks, and how late, judged by the newest mark from it."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from models.engine.stored_rows import readable
from models.engine.tables import MARKS
from models.freshness import Steady
from models.ids import split_key
from models.prices import decode_mark
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api.tables.feeds import RowFeed

# A venue that is silent for this long is away; for less it may have paused.
_SILENT_AFTER_MS = 60_000


class SourceState(StrEnum):
    """What is to be said of a source.

    ``live``; ``stale``: its newest mark is older than its marks may be, or came later than they may, or did just now;
    ``silent``: nothing came for a minute.
    """

    LIVE = "live"
    STALE = "stale"
    SILENT = "silent"


class Newest(NamedTuple):
    """Of a source's newest mark: when it was received, in Unix ms, how late that was, and by how much clocks differed.

    ``late_ms`` and ``clock_ahead_ms`` are those of ``models.prices.Mark``, None where they are not known.
    """

    received_ms: int
    late_ms: int | None
    clock_ahead_ms: int | None
    is_late: bool


class Sources:
    """The newest mark of each source.

    Args:
        marks: The table.
        fresh_ms: Returns how old the newest mark of a source may be, in ms, by the source's name.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, marks: RowFeed, fresh_ms: Callable[[str], int], clock_ms: Callable[[], int]) -> None:
        self._marks = marks
        self._fresh_ms = fresh_ms
        self._clock_ms = clock_ms
        self._newest: dict[str, Newest] = {}
        self._steady: defaultdict[str, Steady] = defaultdict(Steady)
        self._note(marks.rows)
        marks.listen(self._note)

    def ages_ms(self) -> dict[str, int]:
        """Return by source how long ago its newest mark was received, in ms."""
        now_ms = self._clock_ms()
        return {source: max(0, now_ms - mark.received_ms) for source, mark in sorted(self._newest.items())}

    def newest(self, source: str) -> Newest:
        """What is known of the newest mark of a source of which there is one."""
        return self._newest[source]

    def states(self) -> dict[str, SourceState]:
        """Return by source whether it speaks."""
        return {source: self._state(source, age_ms) for source, age_ms in self.ages_ms().items()}

    def _state(self, source: str, age_ms: int) -> SourceState:
        seen_stale = age_ms > self._fresh_ms(source) or self._newest[source].is_late
        if not self._steady[source].is_stale(seen_stale=seen_stale, now_ms=self._clock_ms()):
            return SourceState.LIVE
        return SourceState.STALE if age_ms <= _SILENT_AFTER_MS else SourceState.SILENT

    def _note(self, keys: Iterable[bytes]) -> None:
        # One mark of each source is enough, since the marks of a batch were received together.
        for source, key in {split_key(key)[0]: key for key in keys}.items():
            row = self._marks.rows.get(key)
            if row is None:
                continue
            mark = readable(note_unreadable, MARKS, key, row, decode_mark)
            if mark is None:
                continue
            known = self._newest.get(source)
            if known is None or mark.received_ms >= known.received_ms:
                self._newest[source] = Newest(mark.received_ms, mark.late_ms, mark.clock_ahead_ms, mark.is_late)
