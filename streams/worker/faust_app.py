"""The Faust app: agents, tables and what they share, wired once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import faust
from yarl import URL

from models.engine.pace import Pace
from models.engine.tables import TABLES
from models.heartbeats import WorkerBeat, worker_key
from streams.agents.accounts import AccountsAgent
from streams.agents.instruments import InstrumentsAgent
from streams.agents.marks import MarksAgent
from streams.agents.references import ReferencesAgent
from streams.agents.router import RouterAgent
from streams.agents.state_releases import StateReleases
from streams.agents.told import ToldAgent
from streams.kafka.partitions import partition_of
from streams.kafka.producer import start_producer
from streams.kafka.shared_consumer import BUSY_WAIT_MS, QUIET_WAIT_MS, SharedConsumer
from streams.kafka.topics import FIGURE_SETTINGS, INSTRUMENT_FACTS, PRICE_TICKS, routed_name, served_name, topic_name
from streams.process.cadence import Cadence
from streams.process.clock import SystemClock
from streams.process.memory import give_back_freed
from streams.process.overload import Overload
from streams.process.supervision import ended, supervised
from streams.replicas.heartbeat_writer import HeartbeatWriter
from streams.replicas.interest_reader import Interest
from streams.settings.figures import all_figure_settings
from streams.settings.venues import DEFAULT_KIND, log_missing_venues, venues_of
from streams.transport.assignor import SliceAssignor
from streams.transport.credentials import faust_credentials
from streams.transport.driver import SCHEME
from streams.transport.follower import ChangelogFollower
from streams.transport.ownership import Ownership
from streams.transport.publisher import Publisher
from streams.transport.recovery import SliceTableManager
from streams.transport.slice_worker import SliceWorker, crash
from streams.transport.slices import SliceSchema
from streams.transport.stall import StallWatch
from streams.transport.tables import Rows, RowTable
from streams.transport.terms import Terms
from streams.valuing.engines import Engines
from streams.valuing.flush import Flush
from streams.valuing.market_marks import MarketMarks
from streams.valuing.served_gap import ServedGap
from streams.worker.admin import AdminServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from aiokafka import AIOKafkaProducer
    from faust.types import TP, StreamT

    from models.engine.board import MarketId
    from models.engine.deployment import InstalledVenue
    from models.heartbeats import Beat
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.slices import Slice

# Ten heartbeats; a killed worker's partitions are taken over when this is over, a restarted one's at once.
_SESSION_TIMEOUT_S = 6.0
_HEARTBEAT_S = 0.6
_COMMIT_INTERVAL_S = 0.5
# Rows leave in batches of our own making; 256 KiB holds a slice's rows of one partition in one or two of them.
_BATCH_BYTES = 256 * 1024


class Resource(Protocol):
    """What a worker starts with itself and stops after its consumer."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class SliceAgent(Protocol):
    """What handles the slices of a topic."""

    async def handle(self, part: Slice) -> None:
        """Fold a slice that was begun; every row and output of it is written when this returns."""


class TidemarkApp(faust.App):  # type: ignore[misc]
    """Faust's app, and what its agents write through."""

    settings: Settings
    clock: Clock
    cadence: Cadence
    overload: Overload
    terms: Terms
    publisher: Publisher
    rows: Rows
    engines: Engines
    markets: MarketMarks
    pace: Pace
    state_releases: StateReleases
    interest: Interest
    ownership: Ownership
    follower: ChangelogFollower
    admin: AdminServer
    connected = False

    def compose(self, settings: Settings, clock: Clock) -> None:
        """Make the parts, each from those it uses; none is connected yet."""
        self.settings = settings
        self.clock = clock
        self.terms = Terms()
        self.cadence = Cadence(clock)
        self.publisher = Publisher(self.crash_now, self._acked, self.cadence, patient=(served_name(settings),))
        stores = {name: self.tables[name].data for name in TABLES}
        self.rows = Rows(settings, stores, self.publisher, self.terms, clock=clock, on_restated=self._restated)
        self.markets = MarketMarks(settings, clock, self.crash_now, self._moved, self._referred)
        self.engines = Engines(settings, self.rows, self.terms, self.markets.board)
        self._folded = tuple(name for name, one in settings.deployments.items() if one.is_installed)
        self.pace = Pace(settings.worker.unwatched_max_age_s)
        flush = Flush(
            settings, self.rows, self.engines, pace=self.pace, pacing=self.cadence, clock=clock, fatal=self.crash_now
        )
        self.overload = Overload(self.cadence, (flush.rounds, self.markets.late), clock)
        self.interest = Interest(settings, clock, self.engines.watch, self.engines.unwatch)
        busy = SharedConsumer(settings.bootstrap, BUSY_WAIT_MS, pacing=self.cadence, own_id=self._own_id)
        self.markets.marks.read_through(busy)
        seldom = SharedConsumer(settings.bootstrap, QUIET_WAIT_MS)
        for reader in (self.markets.names, self.markets.references, self.interest):
            reader.read_through(seldom)
        self.state_releases = StateReleases(self.rows, self.engines, clock, self.crash_now)
        gap = ServedGap(settings, self.rows, self.terms, self.crash_now)
        writers = self.engines, gap, flush, self.state_releases
        self.ownership = Ownership(settings, self.terms, self.rows, writers)
        self.follower = ChangelogFollower(settings.bootstrap, self.rows, self._own_id, self.crash_now)
        self.admin = AdminServer(settings.worker, self.status)
        # What is open when a start fails is closed by the stop that follows.
        self._resources = AsyncExitStack()

    async def on_start(self) -> None:
        """Connect the parts before the consumer joins the group."""
        await super().on_start()
        producer = await start_producer(
            self.settings.bootstrap,
            # Takes the worker least time; lz4 5 µs a row more (bench/BENCHMARKS.md, 7).
            compression="snappy",
            batch_bytes=_BATCH_BYTES,
        )
        self._resources.push_async_callback(producer.stop)
        self.publisher.start(producer)
        self._resources.push_async_callback(self.publisher.stop)
        self.ownership.start(producer)
        self._resources.push_async_callback(self.follower.stop)
        await self._keep_figure_settings(producer)
        self.connected = True
        await self._start_resource(self.markets)
        await self._start_resource(self.interest)
        works = {
            "interest": self.interest.closed(),
            "freed memory": give_back_freed(),
            "cadence": self.cadence.run(),
            "overload": self.overload.run(),
        }
        for name, work in works.items():
            self._resources.callback(supervised(work, name, self.crash_now).cancel)
        beats = HeartbeatWriter(self.settings, self.clock, self._beats)
        self._resources.push_async_callback(ended, supervised(beats.run(), "heartbeats", self.crash_now))
        await self._start_resource(StallWatch(self.settings.bootstrap, self._next_offsets, self.crash_now))
        await self._start_resource(self.admin)

    async def on_stop(self) -> None:
        """Stop the consumer within its bound, then the rest."""
        try:
            await super().on_stop()
        finally:
            await self._resources.aclose()

    async def _keep_figure_settings(self, producer: AIOKafkaProducer) -> None:
        """Put on record what the rows that this worker will write name as their settings."""
        topic = topic_name(self.settings, FIGURE_SETTINGS)
        for name, figures in all_figure_settings(self.settings).items():
            key = name.encode()
            partition = partition_of(key, self.settings.topics.partitions)
            await producer.send_and_wait(topic, figures, key=key, partition=partition)

    def crash_now(self, error: BaseException) -> None:
        """End the process without a commit."""
        crash(self._consumer, error)

    def status(self) -> dict[str, Any]:
        """What this worker says of itself."""
        lag: dict[str, int] = {}
        for tp, records in self.consumer.lag_records.items():
            lag[tp.topic] = lag.get(tp.topic, 0) + records
        engines, now_s = list(self.engines), self.clock.monotonic_s()
        return {
            "ready": bool(self.tables.actives_ready and not self.rebalancing),
            "overloaded": self.overload.is_on,
            "partitions": sorted(self.terms.partitions),
            "standbys": sorted(self.follower.standbys),
            "standby_lag_records": self.follower.standby_lag_records,
            "accounts": self.engines.accounts,
            "unwatched": {
                "max_age_s": self.pace.age_s(self.engines.accounts),
                "oldest_s": max((engine.valuing.oldest_s(now_s) for engine in engines), default=0.0),
                "waiting": sum(len(engine.valuing.deferred) for engine in engines),
            },
            "lag_records": lag,
            "unacked_records": self.rows.unacked,
            "oldest_mark_age_ms": self.markets.oldest_mark_age_ms(),
            "deployments": {
                deployment: {"head": mark.head, "unsupported_since": mark.unsupported_since, "reason": mark.reason}
                for engine in engines
                for deployment, mark in engine.watermarks
            },
        }

    def _beats(self, process: str, at_ms: int) -> dict[str, Beat]:
        """What this worker says of the partitions that it owns, once their rows are recovered."""
        if not self.tables.actives_ready or self.rebalancing:
            return {}
        now_s = self.clock.monotonic_s()
        behind_max_ms = round(self.pace.age_s(self.engines.accounts) * 1_000)
        return {
            worker_key(partition): WorkerBeat(
                process,
                at_ms,
                newest_mark_ms=self.markets.newest_mark_ms,
                behind_ms=round(self.engines[partition].valuing.oldest_s(now_s) * 1_000),
                behind_max_ms=behind_max_ms,
                overloaded=self.overload.is_on,
                folds=self._folded,
            )
            for partition in sorted(self.terms.partitions)
            if partition in self.engines
        }

    def _next_offsets(self) -> Mapping[TP, int] | None:
        return None if self._consumer is None else self._consumer.next_offsets

    async def _start_resource(self, resource: Resource) -> None:
        self._resources.push_async_callback(resource.stop)
        await resource.start()

    # These are called when everything is composed: the engines and the board need each other's owners.
    def _restated(self, table: str, partition: int, key: bytes) -> None:
        self.engines.restated(table, partition, key)

    def _moved(self, markets: Iterable[MarketId]) -> None:
        self.engines.move(markets)

    def _referred(self, deployment: str) -> None:
        self.engines.refer(deployment)

    def _own_id(self) -> int:
        return self.publisher.producer_id

    def _acked(self, topic: str, partition: int, rows: list[tuple[bytes, bytes]], first_offset: int) -> None:
        self.rows.acknowledged(topic, partition, rows, first_offset)
        self.markets.acknowledged(topic, rows)


def tidemark_agents(settings: Settings, app: TidemarkApp) -> Sequence[tuple[SliceAgent, str]]:
    """The agents of a worker, each with the full name of its topic."""
    return (
        (MarksAgent(app.rows), topic_name(settings, PRICE_TICKS)),
        (InstrumentsAgent(app.rows), topic_name(settings, INSTRUMENT_FACTS)),
        *chain.from_iterable(venue_agents(settings, app, one) for one in venues_of(settings).installed),
    )


class AgentParts(Protocol):
    """What the agents of a venue write and fold through."""

    rows: Rows
    engines: Engines
    state_releases: StateReleases
    clock: Clock


def venue_agents(settings: Settings, parts: AgentParts, installed: InstalledVenue) -> Iterator[tuple[SliceAgent, str]]:
    """The agents of a venue, each with the full name of its topic.

    Args:
        settings: Say what its topics are called.
        parts: What they write and fold through.
        installed: The venue, with its deployments.
    """
    venue = installed.venue
    raw = topic_name(settings, venue.raw.name)
    accounts = AccountsAgent(installed, parts.rows, parts.engines, parts.state_releases, parts.clock)
    if venue.routed is None:
        yield accounts, raw
    else:
        routed = routed_name(settings, venue.routed)
        yield RouterAgent(installed, routed, parts.rows), raw
        yield accounts, routed
    if venue.told is not None:
        told = ToldAgent(venue.kind, parts.rows, parts.engines, parts.state_releases, parts.clock)
        yield told, topic_name(settings, venue.told.name)
    if venue.references is not None:
        yield ReferencesAgent(installed, parts.rows), topic_name(settings, venue.references.name)


def create_app(
    settings: Settings, agents: Callable[[Settings, TidemarkApp], Sequence[tuple[SliceAgent, str]]] = tidemark_agents
) -> TidemarkApp:
    """Build the app; nothing is connected before its worker starts."""
    log_missing_venues(settings.deployments)
    data_dir = settings.data_dir / "worker" / (settings.worker.instance_id or "0")
    data_dir.mkdir(parents=True, exist_ok=True)
    app = TidemarkApp(
        settings.app_id,
        broker=[URL(f"{SCHEME}://{server}") for server in settings.bootstrap.servers.split(",")],
        broker_credentials=faust_credentials(settings.bootstrap),
        store=URL(f"{settings.worker.store}://"),
        datadir=data_dir,
        autodiscover=False,
        Table=RowTable,
        TableManager=SliceTableManager,
        PartitionAssignor=SliceAssignor,
        Worker=SliceWorker,
        topic_partitions=settings.topics.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=settings.worker.standby_replicas,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=_instance_id(settings),
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_HEARTBEAT_S,
        broker_commit_interval=_COMMIT_INTERVAL_S,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    for name in TABLES:
        app.Table(name, partitions=settings.topics.partitions, key_type=bytes, value_type=bytes)
    app.compose(settings, SystemClock())
    for agent, topic in agents(settings, app):
        source = app.topic(topic, schema=SliceSchema(key_type=bytes, value_type=bytes))
        app.agent(source, name=f"{type(agent).__name__}.{topic}")(_handler(agent))
    return app


def _instance_id(settings: Settings) -> str | None:
    """Name a static member after what it reads, too.

    A static member that comes back is given what it had, whatever it subscribes to now. So a worker whose packages are
    others than before is another member, and the group is balanced anew when the session of the former is over.
    """
    instance_id = settings.worker.instance_id
    kinds = sorted({one.venue.kind for one in venues_of(settings).installed} - {DEFAULT_KIND})
    return instance_id if instance_id is None or not kinds else f"{instance_id}+{'+'.join(kinds)}"


def _handler(agent: SliceAgent) -> Callable[[StreamT[Slice]], Awaitable[None]]:
    async def handle(stream: StreamT[Slice]) -> None:
        # Slices are acknowledged by what they have written. Faust's own acknowledgements would be kept for its commits,
        # which are not made here: 130 bytes for each slice, for as long as the worker has its partition.
        stream.enable_acks = False
        async for part in stream:
            if part.begin():
                await agent.handle(part)
                part.done()

    return handle
