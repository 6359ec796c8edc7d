"""Position states that wait for a solver's engine, and come to stand when it has had the time to speak."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.engine.step import Stage
    from streams.process.clock import Clock
    from streams.valuing.engines import Engines


class StageRows(Protocol):
    """What releases write through."""

    def put_stage(self, partition: int, stage: Stage, /) -> None:
        """Write the rows of a stage, and those again that it rests on."""

    def flush(self) -> None:
        """Let what was written leave."""


class StateReleases:
    """Releases the states of the owned partitions when they are due.

    Args:
        rows: The tables.
        engines: Hold what waits in each owned partition.
        clock: Tells which states have waited long enough.
        fatal: Ends the process without a commit.
    """

    def __init__(self, rows: StageRows, engines: Engines, clock: Clock, fatal: Callable[[BaseException], None]) -> None:
        self._rows = rows
        self._engines = engines
        self._clock = clock
        self._fatal = fatal
        self._owned: set[int] = set()
        self._changed = asyncio.Event()
        self._releasing: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look again when the next state is due: a row was written."""
        self._changed.set()

    async def start(self, partition: int) -> None:
        """Release the states of a recovered partition, too."""
        self._owned.add(partition)
        if self._releasing is None:
            self._releasing = asyncio.create_task(self._release(), name="position states")
            self._releasing.add_done_callback(self._ended)
        self._changed.set()

    async def stop(self) -> None:
        """Release nothing more, in any partition; slices may still finish."""
        releasing, self._releasing = self._releasing, None
        self._owned = set()
        if releasing is not None:
            releasing.cancel()
            await asyncio.wait((releasing,))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    async def _release(self) -> None:
        while True:
            self._changed.clear()
            now_ms = self._clock.now_ms()
            due_ms: list[int] = []
            for partition in self._owned:
                for notices in self._engines[partition].notices:
                    for stage in notices.release(now_ms).stages:
                        self._rows.put_stage(partition, stage)
                    if notices.next_due_ms is not None:
                        due_ms.append(notices.next_due_ms)
            self._rows.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout((min(due_ms) - now_ms) / 1000 if due_ms else None):
                    await self._changed.wait()
