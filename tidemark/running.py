"""Run one of the long-lived processes: log lines, signals and the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine


def log_to_stderr() -> None:
    """Send log lines of INFO and above to stderr, and those of the Kafka client from WARNING on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)


def run_until_stopped(process: Coroutine[object, object, None]) -> None:
    """Run ``process`` until it ends; SIGTERM and SIGINT cancel it, which is then a proper end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(asyncio.CancelledError):
        runner.run(_cancelled_by_signals(process))


async def _cancelled_by_signals(process: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(process)
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, task.cancel)
    await task
