"""A log that is replayed: what stood in it up to an instant, and then on from record to record, as of that time.

Nothing of it reaches the cluster: rows are made by the engine in memory, and handed to whoever shows them.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from models.engine.tables import SERVED_TABLES
from models.instants import rfc3339
from streams.replay.bounded_log import BadWindow, Place, Span
from streams.replay.log_window import check_offsets, held_among, resolve_times
from streams.replay.marks_at import LOOK_EVERY_MS
from streams.replay.merging import read_merged
from streams.replay.replayed_deployment import begin_deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.replay.replay_clock import ReplayClock
    from streams.replay.replayed_deployment import ReplayedDeployment
    from streams.settings import Settings

# Folding as many records takes some ms; then others are let in.
_YIELD_EVERY = 500


class Moved(NamedTuple):
    """What a replay has come to since it was asked before.

    Attributes:
        rows: By table, keys and rows in the order in which they were written.
        records: By full name, what stood in topics that dialects read, in the order of the log.
    """

    rows: Mapping[str, Sequence[tuple[bytes, bytes]]]
    records: Mapping[str, Sequence[LogRecord]]


class ReplayWindow(NamedTuple):
    """From when until when a log is replayed, Unix ms; what was written at either instant counts."""

    since_ms: int
    until_ms: int


class ReplayedLog:
    """Stands at an instant, and goes on from there.

    Args:
        deployments: Each as of where the clock stands.
        told: The topics of dialects, by full name, with what stood in them by then.
        coming: Every record that follows, in order.
        clock: Stands where the replay begins.
        window: How far it goes.
    """

    def __init__(
        self,
        deployments: Sequence[ReplayedDeployment],
        told: Mapping[str, Sequence[LogRecord]],
        coming: AsyncIterator[LogRecord],
        clock: ReplayClock,
        window: ReplayWindow,
    ) -> None:
        self._deployments = deployments
        self._told = told
        self._coming = coming
        self._clock = clock
        self._next: LogRecord | None = None
        self._looked_ms = clock.at_ms
        self._rows: dict[str, list[tuple[bytes, bytes]]] = {}
        self.window = window
        self.taken = 0

    @property
    def doubts(self) -> Sequence[str]:
        """What the log cannot tell any more."""
        return [doubt for one in self._deployments for doubt in one.doubts]

    @property
    def is_over(self) -> bool:
        """Whether the end of the window is reached."""
        return self._clock.at_ms >= self.window.until_ms

    @property
    def next_ms(self) -> int:
        """When the next record was made, Unix ms; the end of the window where none is left."""
        return self.window.until_ms if self._next is None else max(self._next.time_ms, self._clock.at_ms)

    async def begin(self) -> Moved:
        """What stands where the replay begins; call it once, and first."""
        self._next = await anext(self._coming, None)
        rows = {
            table: [item for one in self._deployments for item in one.engine.tables.items(table)]
            for table in SERVED_TABLES
        }
        for one in self._deployments:
            one.engine.tables.listen(self._write)
        return Moved(rows, self._told)

    async def advance(self, until_ms: int) -> Moved:
        """Take every record that was made by an instant, and let the clock stand there.

        Args:
            until_ms: The instant, Unix ms, not before where it stands; the end of the window where it is later.

        Raises:
            BrokenOff: The log changed, or stopped answering.
        """
        until_ms = min(until_ms, self.window.until_ms)
        records: dict[str, list[LogRecord]] = {}
        while self._next is not None and self._next.time_ms <= until_ms:
            record = self._next
            # A record may stand behind one that was made later.
            self._look_until(record.time_ms)
            for one in self._deployments:
                one.take(record)
            if record.topic in self._told:
                records.setdefault(record.topic, []).append(record)
            self.taken += 1
            if self.taken % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            self._next = await anext(self._coming, None)
        self._look_until(until_ms)
        for one in self._deployments:
            one.look(until_ms)
        self._clock.at_ms = until_ms
        rows, self._rows = self._rows, {}
        return Moved(rows, records)

    def _write(self, table: str, key: bytes, row: bytes) -> None:
        self._rows.setdefault(table, []).append((key, row))

    def _look_until(self, at_ms: int) -> None:
        """Look at each full second before an instant, Unix ms: a mark may grow old, an alert come and go in between."""
        while self._looked_ms + LOOK_EVERY_MS < at_ms:
            self._looked_ms += LOOK_EVERY_MS - self._looked_ms % LOOK_EVERY_MS
            for one in self._deployments:
                one.look(self._looked_ms)


@asynccontextmanager
async def replaying(
    log: Log, settings: Settings, window: ReplayWindow, clock: ReplayClock, *, told: Collection[str],
    on_record: Callable[[LogRecord], None], checkpoints: Checkpoints | None = None,
) -> AsyncIterator[ReplayedLog]:  # fmt: skip
    """Bring all deployments to where a window begins, and replay it for as long as the block lasts.

    Args:
        log: Where the topics are.
        settings: Have the deployments.
        window: From when until when.
        clock: Stands at the beginning of the window.
        told: Full names of the topics that dialects read; one that the log has not is empty.
        on_record: Is told each record that was read before the beginning.
        checkpoints: Where checkpoints are; by default every record is folded.

    Raises:
        ReplayError: The window or the log is not one that can be replayed.
    """
    if window.until_ms < window.since_ms:
        found = f"{rfc3339(window.since_ms)} to {rfc3339(window.until_ms)}"
        msg = f"expected a window that begins before it ends, found {found}"
        raise BadWindow(msg)
    names = [name for name, one in settings.deployments.items() if one.is_installed]
    deployments = [
        await begin_deployment(log, settings, name, window.since_ms, on_record=on_record, checkpoints=checkpoints)
        for name in names
    ]
    held = await held_among(log, told)
    before: dict[str, list[LogRecord]] = {topic: [] for topic in told}
    async for record in read_merged(log, await resolve_times(log, held, None, window.since_ms + 1)):
        before[record.topic].append(record)
    vector = await _vector(log, {*held, *(topic for one in deployments for topic in one.topics)}, window)
    coming = read_merged(log, vector)
    try:
        yield ReplayedLog(deployments, before, coming, clock, window)
    finally:
        await coming.aclose()


async def _vector(log: Log, topics: Collection[str], window: ReplayWindow) -> Mapping[Place, Span]:
    # What is folded goes on exactly where it ended, also where a record was made before the one that it follows.
    begins = await resolve_times(log, topics, None, window.since_ms + 1)
    ends = await resolve_times(log, topics, None, window.until_ms + 1)
    spans = {place: Span(begins[place].end, ends[place].end) for place in ends}
    await check_offsets(log, spans)
    return spans
