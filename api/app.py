"""The two applications: the public one, and the admin one with the metrics."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access.addresses import ClientAddresses
from api.access.auth import Guard, authentication
from api.access.limits import TokenBuckets
from api.access.tokens import authenticator_of
from api.assets.webjars import DIRECTORY, Webjars
from api.dashboard.dashboard_routes import routes as dashboard_routes
from api.delivery.connections import Connections
from api.delivery.hub import Hub
from api.dialects.native.directory import Directory
from api.dialects.native.pulse import Pulse
from api.dialects.native.socket import NativeEndpoint
from api.dialects.symmio import upnl_ws
from api.dialects.symmio.account_answers import Answers
from api.dialects.symmio.legacy_routes import add_to as add_symmio_to
from api.dialects.symmio.live import Live
from api.documents.document_routes import PATHS as DOCUMENTS
from api.documents.document_routes import routes as documents_routes
from api.http import responses
from api.http.health import healthz, readyz
from api.http.keys import (
    ACCOUNTS,
    ANSWERS,
    CLOCK,
    CONNECTIONS,
    FEEDS,
    HUB,
    IS_WHITELIST_READ,
    METRICS,
    RECORDS,
    REPLICA,
    SETTINGS,
    SOURCES,
    STANDINGS,
    TOTALS,
)
from api.http.metrics import ApiMetrics
from api.http.problems import errors_as_problems
from api.rest.v1_routes import routes as rest_routes
from api.tables.deployment_totals import Totals
from api.tables.price_sources import Sources
from api.tables.ranking import Accounts
from api.tables.standing import Standings
from streams.kafka.single_records import Records
from streams.replicas.lease_holder import Leases
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

    from api.delivery.interest_writer import InterestSink
    from api.tables.feeds import Feeds
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.settings import Settings

# What needs no token: what says nothing of accounts, and the websocket that is told in its first message.
_PUBLIC = {"/", "/dashboard", "/assets/{library}/{path}", "/healthz", "/readyz", "/v1/ws", *DOCUMENTS}

# First parts of root paths: a deployment of that name would be shadowed by them.
_RESERVED_NAMES = {
    "ws",
    "api",
    "upnl-ws",
    "upnl-a",
    "assets",
    "docs",
    "v1",
    "dashboard",
    "status",
    "accounts",
    "healthz",
    "readyz",
}


def create_app(
    settings: Settings,
    feeds: Feeds,
    interest: InterestSink,
    *,
    clock: Clock,
    leases: Leases | None = None,
    records: RecordSink | None = None,
    whitelisted: Collection[bytes] = frozenset(),
    is_whitelist_read: Callable[[], bool] = lambda: True,
    upnl_interval_s: float = upnl_ws.INTERVAL_S,
) -> web.Application:
    """Make the public application. It neither starts nor stops what it is given.

    Args:
        settings: What is served, and to whom.
        feeds: The tables.
        interest: Is told which accounts are watched.
        clock: Tells how old things are, and paces what limits count.
        leases: Without them, limits that hold over all replicas hold on this one alone.
        records: Where clients' own records go; by default to the cluster, when the first one comes.
        whitelisted: Keys of the accounts that were put onto a whitelist, as they are now.
        is_whitelist_read: Whether these are all that there were at start.
        upnl_interval_s: From one frame of ``upnl-ws`` to the next.

    Raises:
        BadSettings: No deployment is configured, or one has the name of a path of ours.
    """
    _check_deployments(settings)
    clock_ms = clock.now_ms
    limits = settings.api.limits
    addresses = ClientAddresses(settings.api.trusted_proxies)
    failures = TokenBuckets(limits.failed_authentications_per_minute / 60, limits.failed_authentications_per_minute)
    guard = Guard(authenticator_of(settings.auth, lambda: clock_ms() / 1000), failures, clock.monotonic_s)
    keyed: set[str] = set()
    app = web.Application(
        middlewares=[
            responses.count_requests,
            responses.errors_as_json,
            errors_as_problems,
            responses.answer_preflight,
            authentication(guard, addresses, _PUBLIC, keyed),
        ]
    )
    app[SETTINGS] = settings
    app[FEEDS] = feeds
    app[STANDINGS] = Standings(feeds, settings.topics.partitions, clock_ms)
    app[ANSWERS] = Answers(app[STANDINGS], interest)
    app[ACCOUNTS] = Accounts(feeds)
    app[TOTALS] = Totals(feeds)
    app[SOURCES] = Sources(feeds.marks, settings.fresh_ms_of, clock_ms)
    app[REPLICA] = uuid.uuid4().hex
    app[METRICS] = ApiMetrics(settings, feeds, clock_ms)
    hub = app[HUB] = Hub()
    app[CONNECTIONS] = Connections(hub, app[METRICS], settings.api.drain_s)
    app[RECORDS] = Records(settings) if records is None else records
    app[IS_WHITELIST_READ] = is_whitelist_read
    app[CLOCK] = clock
    live = Live(app, addresses, whitelisted, upnl_interval_s)
    directory = Directory(
        settings.epoch,
        tuple(settings.deployments),
        feeds,
        totals=app[TOTALS],
        funding=live.board,
        hub=hub,
        interest=interest,
        is_unsupported=lambda name: app[STANDINGS].open_gap(name) is not None,
    )
    leases = Leases(settings, clock) if leases is None else leases
    for collector in leases.collectors:
        app[METRICS].registry.register(collector)
    native = NativeEndpoint(
        settings,
        leases=leases,
        connections=app[CONNECTIONS],
        hub=hub,
        directory=directory,
        pulse=Pulse(settings, feeds, app[SOURCES], clock_ms),
        guard=guard,
        addresses=addresses,
        clock_ms=clock_ms,
    )
    app[METRICS].watched_accounts.set_function(
        lambda: len({*app[ANSWERS].watched_accounts, *directory.watched_accounts})
    )
    app[METRICS].deliver(hub, directory)
    app.on_response_prepare.append(responses.set_headers)
    app.on_shutdown.append(_drain)
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes(dashboard_routes())
    app.add_routes(Webjars(DIRECTORY).routes())
    app.add_routes([web.get("/v1/ws", native.serve, allow_head=False)])
    app.add_routes(rest_routes())
    app.add_routes(documents_routes())
    add_symmio_to(app, live, keyed)
    app.cleanup_ctx.append(_waking(live.wake_when_warm, directory.wake_when_ready))
    return app


def create_admin_app(public: web.Application) -> web.Application:
    """Make the application of the admin port, which reports on ``public``."""
    app = web.Application()
    app[SETTINGS] = public[SETTINGS]
    app[FEEDS] = public[FEEDS]
    app[METRICS] = public[METRICS]
    app[CONNECTIONS] = public[CONNECTIONS]
    app[CLOCK] = public[CLOCK]
    app[IS_WHITELIST_READ] = public[IS_WHITELIST_READ]
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", _metrics)])
    return app


async def _drain(app: web.Application) -> None:
    await app[CONNECTIONS].drain()


def _waking(*waits: Callable[[], Awaitable[None]]) -> Callable[[web.Application], AsyncIterator[None]]:
    """What is told to those who asked before the tables were read."""

    async def wake(_app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(wait()) for wait in waits]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return wake


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
