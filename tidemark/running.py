"""Runs one of the long-lived processes: it sets up signals, and ends the process properly."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

import uvloop

from streams.process.faults import EXIT_FAULT

if TYPE_CHECKING:
    from collections.abc import Coroutine


_log = logging.getLogger(__name__)

# Longer than the longest time that the manifests give a process to end in, 45 s for a replica that drains its sockets.
# Whoever started it without an orchestrator would else find it there for ever, waiting for a broker that is gone.
END_WITHIN_S = 60.0


class Stopped(RuntimeError):
    """A process stopped working though nobody told it to."""


def run_until_stopped(process: Coroutine[object, object, None], *, end_within_s: float = END_WITHIN_S) -> None:
    """Run ``process`` until it ends; SIGTERM and SIGINT cancel it, and then it has ended properly.

    Where it does not end then, it is ended with exit code 70, as by a kill.

    Args:
        process: What is to be run.
        end_within_s: How long it may take to end after a signal.

    Raises:
        Stopped: It was cancelled by something else, which is a fault.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_cancelled_by_signals(process, end_within_s))


async def _cancelled_by_signals(process: Coroutine[object, object, None], end_within_s: float) -> None:
    task = asyncio.ensure_future(process)
    is_told_to_stop = False

    def stop() -> None:
        nonlocal is_told_to_stop
        is_told_to_stop = True
        task.cancel()
        loop.call_later(end_within_s, _end, end_within_s)

    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    try:
        await task
    except asyncio.CancelledError as error:
        if not is_told_to_stop:
            msg = "expected the process to work until a signal, found that a part of it was cancelled"
            raise Stopped(msg) from error


def _end(waited_s: float) -> None:
    _log.error(
        "expected the process to end within %g s of being told to, found that it still waits, most likely for a broker "
        "that is gone; it is ended as it is, and what follows it begins as after a kill",
        waited_s,
    )
    os._exit(EXIT_FAULT)
