"""Run one of the long-lived processes: log lines, signals and the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import prometheus_client
import uvloop

from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from streams.settings import IngestSettings

_log = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Send log lines of INFO and above to stderr, and those of the Kafka client from WARNING on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    # It warns of every client that asks for a subprotocol of somebody else's.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def serve_metrics(settings: IngestSettings) -> None:
    """Serve ``/metrics`` of this process.

    Raises:
        BadSettings: Somebody else listens on the admin port.
    """
    try:
        server, _ = prometheus_client.start_http_server(settings.admin_port, settings.admin_host)
    except OSError as error:
        msg = f"ingest.admin_port: expected a free port on {settings.admin_host}, found {settings.admin_port}: {error}"
        raise BadSettings(msg) from error
    _log.info("metrics at http://%s:%d/metrics", settings.admin_host, server.server_port)


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
