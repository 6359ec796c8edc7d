"""The admin port of an ingest or of the funder: alive, and metrics."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import prometheus_client
from aiohttp import web

from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from streams.settings import IngestSettings

_log = logging.getLogger(__name__)


async def with_admin_port(settings: IngestSettings, process: Coroutine[object, object, None]) -> None:
    """Do the work of a process, and serve ``/healthz`` and ``/metrics`` for as long as it works.

    The port is served by the loop that does the work, so a process whose loop is stuck answers no probe.

    Args:
        settings: Where to listen.
        process: The work.

    Raises:
        BadSettings: The port is taken.
    """
    with closing(process):
        async with _listening(settings):
            await process


@asynccontextmanager
async def _listening(settings: IngestSettings) -> AsyncIterator[None]:
    server = web.Application()
    server.router.add_get("/healthz", _healthz)
    server.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        host, port = settings.admin_host, settings.admin_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            msg = f"ingest.admin_port: expected to listen on {host}:{port}, found: {error.strerror}; set another port"
            raise BadSettings(msg) from error
        _log.info("admin port at http://%s:%d", *runner.addresses[0][:2])
        yield
    finally:
        await runner.cleanup()


async def _healthz(request: web.Request) -> web.Response:
    del request
    return web.Response(text="ok\n")


async def _metrics(request: web.Request) -> web.Response:
    del request
    headers = {"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
    return web.Response(body=prometheus_client.generate_latest(), headers=headers)
