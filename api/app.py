"""The two applications: the public one, and the admin one with the metrics."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.access.addresses import ClientAddresses
from api.access.auth import Guard
from api.access.gate import AdminPort, Door, Gate, InProtocol, Public
from api.access.limits import TokenBuckets
from api.access.tokens import authenticator_of
from api.assets.webjars import DIRECTORY, Webjars
from api.dashboard.dashboard_routes import routes as dashboard_routes
from api.delivery.connections import Connections, SocketLimits
from api.delivery.hub import Hub
from api.delivery.inputs_writer import InputsWriter
from api.dialects.mounted_dialects import mount_dialects
from api.dialects.mounting import dialect_of
from api.dialects.native.directory import Directory
from api.dialects.native.pulse import Pulse
from api.dialects.native.socket import NativeEndpoint
from api.documents.document_routes import routes as documents_routes
from api.http import responses
from api.http.descriptors import affordable_connections
from api.http.health import healthz, readyz
from api.http.keys import (
    ACCOUNTS,
    ADDRESSES,
    CADENCE,
    CHARGED,
    CLOCK,
    CONNECTIONS,
    DIALECTS,
    EXPLANATIONS,
    FEEDS,
    FRESHNESS,
    FUNDING,
    GATE,
    HISTORY,
    HUB,
    KEPT,
    METRICS,
    OVERLOAD,
    PRICES,
    RECORDS,
    REPLAY_OF,
    REPLICA,
    SETTINGS,
    SOURCES,
    STANDINGS,
    TOTALS,
    VIEWS,
)
from api.http.metrics import ApiMetrics
from api.http.problems import errors_as_problems
from api.http.request_limits import RequestLimits
from api.rest.v1_routes import doors as rest_doors
from api.tables.deployment_totals import Totals
from api.tables.explanations import Explanations
from api.tables.freshness import Freshness
from api.tables.market_prices import MarketPrices
from api.tables.price_sources import Sources
from api.tables.ranking import Accounts
from api.tables.standing import Standings
from models.instants import rfc3339
from streams.kafka.single_records import Records
from streams.process.cadence import Cadence
from streams.process.overload import Overload
from streams.replicas.heartbeat_reader import Heartbeats
from streams.replicas.lease_holder import Leases
from streams.settings import BadSettings
from streams.settings.venues import account_views, log_missing_venues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from api.delivery.interest_writer import InterestSink
    from api.dialects.mounting import DialectPackage
    from api.tables.explanations import Explaining
    from api.tables.feeds import Feeds
    from api.tables.history import HistorySource
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.settings import Settings

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    feeds: Feeds,
    interest: InterestSink,
    *,
    clock: Clock,
    leases: Leases | None = None,
    records: RecordSink | None = None,
    heartbeats: Heartbeats | None = None,
    history: HistorySource | None = None,
    machine: Clock | None = None,
    explanations: Explaining | None = None,
    find_dialect: Callable[[str], DialectPackage | None] = dialect_of,
) -> web.Application:
    """Make the public application. It neither starts nor stops what it is given.

    Args:
        settings: What is served, and to whom.
        feeds: The tables.
        interest: Hears which accounts are watched.
        clock: Tells how old things are, and paces what limits count.
        leases: Count over all replicas; without them each such limit is counted on this replica alone.
        records: Takes records that clients send; by default it writes to the cluster, from the first record on.
        heartbeats: What processes say of themselves; later ones are added. By default nothing was ever heard.
        history: Tells how figures went; without it that is not known.
        machine: The machine's clock, where ``clock`` is that of a replay: tokens end by it, and every surface says of
            which instant it is a replay. None where nothing is replayed.
        explanations: Work out why they did; by default in processes beside this one.
        find_dialect: Finds the dialect of a kind; by default among those that are installed.

    Raises:
        BadSettings: No deployment is configured, or a dialect cannot be mounted as the settings say.
        BadPackage: What is installed as a dialect cannot be used.
    """
    if not settings.deployments:
        msg = "deployments: expected at least one to serve, found none; add a [deployments.NAME] section"
        raise BadSettings(msg)
    log_missing_venues(settings.deployments)
    addresses = ClientAddresses(settings.api.trusted_proxies)
    tokens_clock = machine or clock
    guard = _guard(settings, tokens_clock)
    gate = Gate(guard, addresses)
    metrics = ApiMetrics(settings, feeds, clock.now_ms)
    requests = RequestLimits(settings.api.limits, addresses, clock.monotonic_s, metrics.limited_requests)
    app = web.Application(
        middlewares=[
            responses.count_requests,
            responses.errors_as_json,
            errors_as_problems,
            requests.middleware(),
            responses.answer_preflight,
            gate.middleware,
        ]
    )
    app[SETTINGS], app[FEEDS], app[CLOCK], app[METRICS], app[GATE] = settings, feeds, clock, metrics, gate
    app[REPLAY_OF] = None if machine is None else lambda: rfc3339(clock.now_ms())
    app[RECORDS] = Records(settings) if records is None else records
    app[HISTORY] = history
    app[EXPLANATIONS] = Explanations(clock.monotonic_s) if explanations is None else explanations
    app[KEPT] = InputsWriter(app[RECORDS], settings.epoch, lambda outcome: metrics.kept_inputs.labels(outcome).inc())
    _provide(app, addresses, heartbeats or Heartbeats(), tokens_clock)
    leases = Leases(settings, clock) if leases is None else leases
    dialects = app[DIALECTS] = mount_dialects(
        app, interest=interest, leases=leases, guard=guard, addresses=addresses, find=find_dialect
    )
    app[FUNDING], app[CHARGED] = dialects.funding, dialects.charged
    directory = _directory(app, interest)
    _report(app, leases, directory)
    native = _native_endpoint(app, leases, directory, guard=guard, addresses=addresses)
    app.on_response_prepare.extend((responses.name_server, responses.set_headers, requests.tell))
    if app[REPLAY_OF] is not None:
        app.on_response_prepare.append(responses.name_replay)
    app.on_shutdown.append(_drain)
    _mount(app, native)
    app[FRESHNESS].listen(directory.wake_all_of_accounts)
    app.on_cleanup.append(_stop_keeping)
    app.cleanup_ctx.append(_waking(*dialects.waits, directory.wake_when_ready, app[FRESHNESS].watch))
    return app


def create_admin_app(public: web.Application) -> web.Application:
    """Make the application of the admin port, which reports on ``public``."""
    settings = public[SETTINGS]
    gate = Gate(_guard(settings, public[CLOCK]), ClientAddresses(settings.api.trusted_proxies), is_admin=True)
    app = web.Application(middlewares=[gate.middleware])
    app[SETTINGS] = settings
    app[FEEDS] = public[FEEDS]
    app[METRICS] = public[METRICS]
    app[CONNECTIONS] = public[CONNECTIONS]
    app[CLOCK] = public[CLOCK]
    app[FRESHNESS] = public[FRESHNESS]
    app[DIALECTS] = public[DIALECTS]
    routes = (web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", _metrics))
    gate.mount(app, (Door(route, AdminPort()) for route in routes))
    app.on_response_prepare.append(responses.name_server)
    app.on_startup.append(gate.expect_declared)
    return app


def _guard(settings: Settings, clock: Clock) -> Guard:
    refused_a_minute = settings.api.limits.failed_authentications_per_minute
    failures = TokenBuckets(refused_a_minute / 60, refused_a_minute)
    return Guard(authenticator_of(settings.auth, lambda: clock.now_ms() / 1000), failures, clock.monotonic_s)


def _provide(app: web.Application, addresses: ClientAddresses, heartbeats: Heartbeats, tokens_clock: Clock) -> None:
    """Put into the application what the handlers of several parts look things up in."""
    settings, feeds, clock_ms = app[SETTINGS], app[FEEDS], app[CLOCK].now_ms
    app[ADDRESSES] = addresses
    app[PRICES] = MarketPrices(settings, feeds)
    is_live = app[REPLAY_OF] is None
    app[FRESHNESS] = Freshness(settings, feeds, app[PRICES], heartbeats, clock_ms, has_broker=is_live)
    app[METRICS].tell_freshness(app[FRESHNESS])
    app[STANDINGS] = Standings(feeds, settings.topics.partitions, app[FRESHNESS], clock_ms)
    app[ACCOUNTS] = Accounts(feeds)
    app[TOTALS] = Totals(feeds)
    app[VIEWS] = account_views(settings)
    app[SOURCES] = Sources(feeds.marks, settings.fresh_ms_of, clock_ms)
    app[REPLICA] = uuid.uuid4().hex
    hub = app[HUB] = Hub()
    app[CADENCE] = Cadence(tokens_clock)
    overload = app[OVERLOAD] = Overload(app[CADENCE], (hub.writes,), tokens_clock)
    hub.is_overloaded = lambda: overload.is_on
    limits = settings.api.limits
    # An eighth of all connections is left for requests, health among them, which sockets cannot take.
    most = max(1, affordable_connections(limits.connections) * 7 // 8)
    sockets = SocketLimits(
        most, limits.connections_per_address, limits.messages_per_s, limits.messages_burst, addresses
    )
    app[CONNECTIONS] = Connections(app[HUB], app[METRICS], settings.api.drain_s, sockets, tokens_clock.now_ms)


def _directory(app: web.Application, interest: InterestSink) -> Directory:
    settings = app[SETTINGS]
    return Directory(
        settings.epoch,
        settings.deployments,
        app[FEEDS],
        totals=app[TOTALS],
        funding=app[FUNDING],
        hub=app[HUB],
        interest=interest,
        is_unsupported=lambda name: app[STANDINGS].open_gap(name) is not None,
        freshness=app[FRESHNESS],
        views=app[VIEWS],
    )


def _native_endpoint(
    app: web.Application, leases: Leases, directory: Directory, *, guard: Guard, addresses: ClientAddresses
) -> NativeEndpoint:
    settings, clock_ms = app[SETTINGS], app[CLOCK].now_ms
    return NativeEndpoint(
        settings,
        leases=leases,
        connections=app[CONNECTIONS],
        hub=app[HUB],
        directory=directory,
        pulse=Pulse(settings, app[FEEDS], app[SOURCES], app[FRESHNESS], clock_ms, replay_of=app[REPLAY_OF]),
        guard=guard,
        addresses=addresses,
        clock_ms=clock_ms,
    )


def _mount(app: web.Application, native: NativeEndpoint) -> None:
    """Serve every route, each with what it says it reads."""
    gate = app[GATE]
    app.on_startup.append(gate.expect_declared)
    health = web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/readyz/", readyz)
    gate.mount(app, (Door(route, Public()) for route in health))
    gate.mount(app, [Door(web.get("/v1/ws", native.serve, allow_head=False), InProtocol())])
    gate.mount(app, (Door(route, Public()) for route in (*dashboard_routes(), *Webjars(DIRECTORY).routes())))
    gate.mount(app, (Door(route, Public()) for route in documents_routes()))
    gate.mount(app, rest_doors(app[SETTINGS].deployments))
    app[DIALECTS].serve(app, gate)


def _report(app: web.Application, leases: Leases, directory: Directory) -> None:
    """Have the metrics report on leases, watched accounts and what is delivered."""
    metrics = app[METRICS]
    for collector in leases.collectors:
        metrics.registry.register(collector)
    metrics.watched_accounts.set_function(lambda: len({*app[DIALECTS].watched_accounts, *directory.watched_accounts}))
    metrics.deliver(app[HUB], directory)


async def _stop_keeping(app: web.Application) -> None:
    await app[KEPT].stop()
    await app[EXPLANATIONS].stop()


async def _drain(app: web.Application) -> None:
    await app[CONNECTIONS].drain()


def _waking(*waits: Callable[[], Awaitable[None]]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Wait for the tables beside the application, and then answer those who asked before they were read."""

    async def wake(_app: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(wait()) for wait in waits]
        for task in tasks:
            task.add_done_callback(_tell_if_failed)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return wake


def _tell_if_failed(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("what runs beside the application has ended", exc_info=task.exception())


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=generate_latest(request.app[METRICS].registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
