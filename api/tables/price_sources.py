"""Whether each source of prices still speaks, judged by the newest mark from it."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING

from models.codec import decode_row
from models.errors import BadRow
from models.freshness import Steady
from models.ids import split_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api.tables.feeds import RowFeed

# A venue that is silent for this long is away; for less it may have paused.
_SILENT_AFTER_MS = 60_000


class SourceState(StrEnum):
    """``live``; ``stale``: its newest mark is older than marks may be, or was just now; ``silent``: for a minute."""

    LIVE = "live"
    STALE = "stale"
    SILENT = "silent"


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
        self._received_ms: dict[str, int] = {}
        self._steady: defaultdict[str, Steady] = defaultdict(Steady)
        self._note(marks.rows)
        marks.listen(self._note)

    def ages_ms(self) -> dict[str, int]:
        """Return by source how long ago its newest mark was received, in ms."""
        now_ms = self._clock_ms()
        return {source: max(0, now_ms - at_ms) for source, at_ms in sorted(self._received_ms.items())}

    def states(self) -> dict[str, SourceState]:
        """Return by source whether it speaks."""
        return {source: self._state(source, age_ms) for source, age_ms in self.ages_ms().items()}

    def _state(self, source: str, age_ms: int) -> SourceState:
        seen_stale = age_ms > self._fresh_ms(source)
        if not self._steady[source].is_stale(seen_stale=seen_stale, now_ms=self._clock_ms()):
            return SourceState.LIVE
        return SourceState.STALE if age_ms <= _SILENT_AFTER_MS else SourceState.SILENT

    def _note(self, keys: Iterable[bytes]) -> None:
        # One mark of each source is enough, since the marks of a batch were received together.
        for source, key in {split_key(key)[0]: key for key in keys}.items():
            row = self._marks.rows.get(key)
            try:
                at_ms = 0 if row is None else decode_row(row).body["received_ms"]
            except (BadRow, KeyError):
                continue
            self._received_ms[source] = max(at_ms, self._received_ms.get(source, 0))
