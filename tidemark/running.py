"""Runs one of the long-lived processes: it sets up logs and signals, and ends the process properly."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

import uvloop

from tidemark.log_secrets import HidingFormatter, secrets_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from streams.settings import Settings


class Stopped(RuntimeError):
    """A process stopped working though nobody told it to."""


def log_to_stderr(settings: Settings) -> None:
    """Write log lines of INFO and above to stderr, of the Kafka client only from WARNING on; none has our secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(HidingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", secrets_of(settings)))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    # aiohttp warns of every client that asks for a subprotocol it does not know.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


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
