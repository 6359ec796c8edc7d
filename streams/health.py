"""The worker's admin port: alive, ready, status, metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import prometheus_client
from aiohttp import web

from streams.clock import now_ms

if TYPE_CHECKING:
    from streams.app import TidemarkApp

_LAG = prometheus_client.Gauge("tidemark_worker_lag_records", "Records not handed to an agent yet.", ("topic",))
_OWNED = prometheus_client.Gauge("tidemark_worker_partitions", "Partitions this worker owns.")
_ACCOUNTS = prometheus_client.Gauge("tidemark_worker_accounts", "Accounts in the owned partitions.")
_UNACKED = prometheus_client.Gauge("tidemark_worker_unacked_records", "Records written and not acknowledged yet.")
_MARK_AGE = prometheus_client.Gauge(
    "tidemark_oldest_mark_age_seconds", "Age of the oldest mark in use; NaN where none is."
)


class AdminServer:
    """Serves ``/healthz``, ``/readyz``, ``/status`` and ``/metrics`` of one worker."""

    def __init__(self, app: TidemarkApp) -> None:
        self._app = app
        server = web.Application()
        server.router.add_get("/healthz", self._healthz)
        server.router.add_get("/readyz", self._readyz)
        server.router.add_get("/status", self._status)
        server.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(server, access_log=None)

    async def start(self) -> None:
        """Listen on loopback, or wherever the settings say."""
        settings = self._app.settings.worker
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.admin_host, settings.admin_port).start()

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    def status(self) -> dict[str, Any]:
        """What the worker would say of itself."""
        app = self._app
        lag: dict[str, int] = {}
        for tp, records in app.consumer.lag_records.items():
            lag[tp.topic] = lag.get(tp.topic, 0) + records
        unsupported = {
            deployment: {"since_block": mark.unsupported_since, "reason": mark.reason}
            for book in app.books.all()
            for deployment, mark in book.watermarks.items()
            if mark.unsupported_since is not None
        }
        return {
            "ready": bool(app.tables.actives_ready and not app.rebalancing),
            "partitions": sorted(app.ownership.partitions),
            "accounts": sum(len(book.accounts) for book in app.books.all()),
            "lag_records": lag,
            "unacked_records": app.rows.unacked,
            "oldest_mark_age_ms": app.markets.oldest_mark_age_ms(),
            "unsupported": unsupported,
            "at_ms": now_ms(),
        }

    async def _healthz(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        del request
        status = self.status()
        return web.json_response(status, status=200 if status["ready"] else 503)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self.status())

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        status = self.status()
        for topic, records in status["lag_records"].items():
            _LAG.labels(topic).set(records)
        _OWNED.set(len(status["partitions"]))
        _ACCOUNTS.set(status["accounts"])
        _UNACKED.set(status["unacked_records"])
        age_ms = status["oldest_mark_age_ms"]
        _MARK_AGE.set(math.nan if age_ms is None else age_ms / 1000)
        return web.Response(body=prometheus_client.generate_latest(), content_type="text/plain")
