"""The worker's admin port: alive, ready, status, metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import prometheus_client
from aiohttp import web

from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import WorkerSettings

_LAG = prometheus_client.Gauge("tidemark_worker_lag_records", "Records not handed to an agent yet.", ("topic",))
_OWNED = prometheus_client.Gauge("tidemark_worker_partitions", "Partitions this worker owns.")
_STANDBYS = prometheus_client.Gauge("tidemark_worker_standby_partitions", "Partitions this worker stands by for.")
_STANDBY_LAG = prometheus_client.Gauge(
    "tidemark_worker_standby_lag_records", "Changelog records of standby partitions not applied yet."
)
_ACCOUNTS = prometheus_client.Gauge("tidemark_worker_accounts", "Accounts in the owned partitions.")
_UNSUPPORTED = prometheus_client.Gauge(
    "tidemark_deployment_unsupported_since_block",
    "First block whose logs are not supported, 0 where all are.",
    ("deployment",),
)
_MAX_AGE = prometheus_client.Gauge(
    "tidemark_unwatched_max_age_seconds",
    "Greatest age that a row that nobody watches may have while it is out of date.",
)
_OLDEST = prometheus_client.Gauge(
    "tidemark_unwatched_oldest_seconds",
    "For how long the row that is out of date for longest has been so, 0 where none is.",
)
_WAITING = prometheus_client.Gauge("tidemark_unwatched_waiting_accounts", "Accounts to be valued when none is urgent.")
_UNACKED = prometheus_client.Gauge("tidemark_worker_unacked_records", "Records written and not acknowledged yet.")
_MARK_AGE = prometheus_client.Gauge(
    "tidemark_oldest_mark_age_seconds", "Age of the oldest mark in use; NaN where none is."
)


class AdminServer:
    """Serves ``/healthz``, ``/readyz``, ``/status`` and ``/metrics`` of one worker.

    Args:
        settings: Where to listen.
        status: What the worker says of itself: ``ready``, ``overloaded``, ``partitions``, ``standbys``,
            ``standby_lag_records``, ``accounts``, ``unwatched`` (``max_age_s``, ``oldest_s``, ``waiting``),
            ``lag_records`` by topic, ``unacked_records``, ``oldest_mark_age_ms`` and ``deployments``, each with
            ``unsupported_since``, a block or null.
    """

    def __init__(self, settings: WorkerSettings, status: Callable[[], dict[str, Any]]) -> None:
        self._settings = settings
        self._status = status
        self.server = web.Application()
        self.server.router.add_get("/healthz", self._healthz)
        self.server.router.add_get("/readyz", self._readyz)
        self.server.router.add_get("/status", self._answer_status)
        self.server.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(self.server, access_log=None)

    async def start(self) -> None:
        """Listen on loopback, or wherever the settings say.

        Raises:
            BadSettings: The port is taken, or the host is none of this machine.
        """
        host, port = self._settings.admin_host, self._settings.admin_port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            msg = f"worker.admin_port: expected to listen on {host}:{port}, found: {error.strerror}; set another port"
            raise BadSettings(msg) from error

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        del request
        status = self._status()
        return web.json_response(status, status=200 if status["ready"] else 503)

    async def _answer_status(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._status())

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        status = self._status()
        for topic, records in status["lag_records"].items():
            _LAG.labels(topic).set(records)
        _OWNED.set(len(status["partitions"]))
        _STANDBYS.set(len(status["standbys"]))
        _STANDBY_LAG.set(status["standby_lag_records"])
        _ACCOUNTS.set(status["accounts"])
        unwatched = status["unwatched"]
        _MAX_AGE.set(unwatched["max_age_s"])
        _OLDEST.set(unwatched["oldest_s"])
        _WAITING.set(unwatched["waiting"])
        _UNACKED.set(status["unacked_records"])
        for deployment, known in status["deployments"].items():
            _UNSUPPORTED.labels(deployment).set(known["unsupported_since"] or 0)
        age_ms = status["oldest_mark_age_ms"]
        _MARK_AGE.set(math.nan if age_ms is None else age_ms / 1000)
        return web.Response(body=prometheus_client.generate_latest(), content_type="text/plain")
