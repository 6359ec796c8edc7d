"""Runs one of the long-lived processes: it sets up signals, and ends the process properly."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Stopped(RuntimeError):
    """A process stopped working though nobody told it to."""


def run_until_stopped(process: Coroutine[object, object, None]) -> None:
    """Run ``process`` until it ends; SIGTERM and SIGINT cancel it, and then it has ended properly.

    Raises:
        Stopped: It was cancelled by something else, which is a fault.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_cancelled_by_signals(process))


async def _cancelled_by_signals(process: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(process)
    is_told_to_stop = False

    def stop() -> None:
        nonlocal is_told_to_stop
        is_told_to_stop = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    try:
        await task
    except asyncio.CancelledError as error:
        if not is_told_to_stop:
            msg = "expected the process to work until a signal, found that a part of it was cancelled"
            raise Stopped(msg) from error
