"""The Faust app: agents, tables and what they share, wired once."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import faust
from aiokafka import AIOKafkaProducer
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from streams.agents.accounts import AccountsAgent
from streams.agents.marks import MarksAgent
from streams.agents.router import RouterAgent
from streams.books import Books
from streams.flush import Flush
from streams.health import AdminServer
from streams.markets import Markets
from streams.tables import Rows, RowTable
from streams.topics import CHAIN_BLOCKS, PRICE_TICKS, TABLES, account_events_name, topic_name
from streams.transport.assignor import SliceAssignor
from streams.transport.consumer import SliceConsumer
from streams.transport.ownership import Ownership
from streams.transport.process import SliceWorker, crash
from streams.transport.publisher import Publisher
from streams.transport.recovery import SliceTableManager
from streams.transport.slices import SliceSchema

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from streams.settings import Settings
    from streams.transport.slices import Slice

_log = logging.getLogger(__name__)

# Ten heartbeats; a killed worker's partitions are taken over when this is over, a restarted one's at once.
_SESSION_TIMEOUT_S = 6.0
_HEARTBEAT_S = 0.6
_COMMIT_INTERVAL_S = 0.5
# Rows leave in batches of our own making; 256 KiB holds a slice's rows of one partition in one or two of them.
_BATCH_BYTES = 256 * 1024


class SliceTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = SliceConsumer


class TidemarkApp(faust.App):  # type: ignore[misc]
    """Faust's app with the things every agent writes through."""

    settings: Settings
    publisher: Publisher
    rows: Rows
    ownership: Ownership
    connected = False
    markets: Markets
    books: Books

    async def on_start(self) -> None:
        """Start what agents need before the consumer joins the group."""
        await super().on_start()
        settings = self.settings
        self._resources = AsyncExitStack()
        self.kafka_producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
        )
        await self._start_resource(self.kafka_producer)
        self.publisher = Publisher(self.kafka_producer, self.crash_now, self._acked)
        self._resources.push_async_callback(self.publisher.stop)
        self.rows = Rows(settings, {name: self.tables[name] for name in TABLES}, self.publisher)
        self.markets = Markets(settings, self.crash_now)
        self.books = Books(self.rows)
        self.flush = Flush(settings, self.rows, self.markets, self.books, self.crash_now)
        self.ownership = Ownership(settings, self.kafka_producer, self.rows, (self.books, self.flush))
        self.rows.ownership = self.ownership
        self.connected = True
        await self._start_resource(self.markets)
        await self._start_resource(AdminServer(self))

    async def on_stop(self) -> None:
        """Stop the consumer within its bound, then the rest."""
        await super().on_stop()
        await self._resources.aclose()

    async def _start_resource(self, resource: AIOKafkaProducer | Markets | AdminServer) -> None:
        self._resources.push_async_callback(resource.stop)
        await resource.start()

    def crash_now(self, error: BaseException) -> None:
        """End the process without a commit."""
        crash(self._consumer, error)

    def _acked(self, topic: str, partition: int, records: list[tuple[bytes, bytes]], offset: int) -> None:
        self.rows.acknowledged(topic, partition, records, offset)


def create_app(settings: Settings) -> TidemarkApp:
    """Build the app; nothing is connected before its worker starts."""
    data_dir = settings.data_dir / "worker" / (settings.worker.instance_id or "0")
    data_dir.mkdir(parents=True, exist_ok=True)
    app = TidemarkApp(
        settings.app_id,
        broker=[URL(f"kafka://{server}") for server in settings.bootstrap.split(",")],
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
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker.instance_id,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_HEARTBEAT_S,
        broker_commit_interval=_COMMIT_INTERVAL_S,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.settings = settings
    app.transport = SliceTransport(app.conf.broker, app, loop=None)
    app.producer_transport = app.transport
    for name in TABLES:
        app.Table(name, partitions=settings.topics.partitions, key_type=bytes, value_type=bytes)
    for agent, topic in (
        (MarksAgent(app), topic_name(settings, PRICE_TICKS)),
        (RouterAgent(app), topic_name(settings, CHAIN_BLOCKS)),
        (AccountsAgent(app), account_events_name(settings)),
    ):
        source = app.topic(topic, schema=SliceSchema(key_type=bytes, value_type=bytes))
        app.agent(source, name=type(agent).__name__)(_handler(agent))
    return app


def _handler(agent: MarksAgent | RouterAgent | AccountsAgent) -> Callable[[AsyncIterable[Slice]], Awaitable[None]]:
    async def handle(stream: AsyncIterable[Slice]) -> None:
        async for part in stream:
            if part.begin():
                await agent.handle(part)
                part.done()

    return handle
