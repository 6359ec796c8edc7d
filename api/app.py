"""The two applications: the public one, and the admin one with the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api import responses
from api.dashboard.board import Board
from api.dashboard.routes import routes as dashboard_routes
from api.dialects.symmio import upnl_ws
from api.dialects.symmio.answers import Answers
from api.dialects.symmio.routes import routes as symmio_routes
from api.health import healthz, readyz
from api.keys import ANSWERS, BOARD, CLOCK_MS, FEEDS, METRICS, SETTINGS, SOCKETS, UPNL_INTERVAL_S
from api.metrics import ApiMetrics
from api.sockets import Sockets
from streams.clock import now_ms
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.feeds import Feeds
    from api.interest import InterestSink
    from streams.settings import Settings

# First parts of root paths: a deployment of that name would be shadowed by them.
_RESERVED_NAMES = {"ws", "api", "upnl-ws", "upnl-a", "dashboard", "status", "accounts", "healthz", "readyz"}


def create_app(
    settings: Settings,
    feeds: Feeds,
    interest: InterestSink,
    *,
    upnl_interval_s: float = upnl_ws.INTERVAL_S,
    clock_ms: Callable[[], int] = now_ms,
) -> web.Application:
    """Make the public application. It neither starts nor stops ``feeds`` and ``interest``.

    Raises:
        BadSettings: No deployment is configured, or one has the name of a path of ours.
    """
    _check_deployments(settings)
    app = web.Application(middlewares=[responses.count_requests, responses.errors_as_json, responses.answer_preflight])
    app[SETTINGS] = settings
    app[FEEDS] = feeds
    app[ANSWERS] = Answers(feeds, settings.topics.partitions, clock_ms, interest)
    app[BOARD] = Board(feeds)
    app[METRICS] = ApiMetrics(settings, feeds, clock_ms)
    app[METRICS].watched_accounts.set_function(lambda: app[ANSWERS].accounts_watched)
    app[SOCKETS] = Sockets()
    app[UPNL_INTERVAL_S] = upnl_interval_s
    app[CLOCK_MS] = clock_ms
    app.on_response_prepare.append(responses.set_headers)
    app.on_shutdown.append(_drain)
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes(dashboard_routes())
    app.add_routes(symmio_routes(tuple(settings.deployments)))
    return app


def create_admin_app(public: web.Application) -> web.Application:
    """Make the application of the admin port, which reports on ``public``."""
    app = web.Application()
    app[SETTINGS] = public[SETTINGS]
    app[FEEDS] = public[FEEDS]
    app[METRICS] = public[METRICS]
    app[SOCKETS] = public[SOCKETS]
    app[CLOCK_MS] = public[CLOCK_MS]
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", _metrics)])
    return app


async def _drain(app: web.Application) -> None:
    await app[SOCKETS].drain()


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=generate_latest(request.app[METRICS].registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def _check_deployments(settings: Settings) -> None:
    if not settings.deployments:
        msg = "deployments: expected at least one to serve, found none; add a [deployments.NAME] section"
        raise BadSettings(msg)
    for name in settings.deployments:
        if name in _RESERVED_NAMES:
            msg = f"deployments.{name}: expected a name that is no path of the api, found {name!r}; choose another"
            raise BadSettings(msg)
