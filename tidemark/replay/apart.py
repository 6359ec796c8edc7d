"""A reading that runs in a thread of its own, and ends when whoever waits for it is interrupted."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def read_apart(
    run: Callable[[Callable[[], Coroutine[None, None, T]]], T],
    reading: Callable[[Callable[[object], None]], Coroutine[None, None, T]],
) -> T:
    """Run a reading to its end, in a thread: in a notebook a loop runs already, so the reading has one of its own.

    Args:
        run: Runs it, on a loop that it makes.
        reading: Reads; it is handed what it has to tell of each record.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the reading has ended.
    """
    interruption = _Interruption()
    with ThreadPoolExecutor(1, thread_name_prefix="replay") as thread:
        try:
            return thread.submit(run, lambda: interruption.guard(reading)).result()
        except KeyboardInterrupt:
            interruption.end()
            raise


class _Interruption:
    """Ends a reading from another thread: at its next record, since one of files need never wait, or where it waits."""

    def __init__(self) -> None:
        self._is_over = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[object] | None] | None = None

    async def guard(self, reading: Callable[[Callable[[object], None]], Coroutine[None, None, T]]) -> T:
        self._running = asyncio.get_running_loop(), asyncio.current_task()
        self._expect_wanted(None)
        return await reading(self._expect_wanted)

    def end(self) -> None:
        self._is_over = True
        if self._running is None:
            return
        loop, task = self._running
        if task is not None:
            # The loop is closed where the reading has ended by itself meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

    def _expect_wanted(self, _: object) -> None:
        if self._is_over:
            raise asyncio.CancelledError
