"""The api's process: it follows tables from Kafka and serves the public and the admin port, until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from aiokafka.errors import KafkaConnectionError, KafkaError

from api.app import create_admin_app, create_app
from api.delivery.interest_writer import InterestSender, kafka_outlet
from api.http.descriptors import affordable_connections
from api.http.keys import CADENCE, DIALECTS, OVERLOAD
from api.http.listening import BoundedRunner, admin_door, public_door
from api.tables.feeds import Feeds
from api.tables.history import HistoryAnswers
from models.engine.tables import MARKS, SERVED_TABLES, VALUATIONS
from models.errors import TidemarkError
from streams.kafka.feed import Feed
from streams.kafka.reader import TopicReader
from streams.kafka.shared_consumer import BUSY_WAIT_MS, QUIET_WAIT_MS, SharedConsumer, TopicMissing
from streams.kafka.single_records import Records
from streams.process.garbage import collect_rarely
from streams.process.supervision import waited_out
from streams.replicas.heartbeat_reader import HeartbeatReader, Heartbeats
from streams.replicas.lease_holder import Leases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable

    from api.dialects.mounting import Resource
    from api.http.door import Door
    from streams.process.cadence import Pacing
    from streams.process.clock import Clock
    from streams.settings import Bootstrap, Settings

logger = logging.getLogger(__name__)

# The rows of these change with the ticks; all else is read by another consumer, which asks less often.
_BUSY_TABLES = frozenset({VALUATIONS, MARKS})
# Requests are answered in ms. One that takes longer than this is cut, so that everything ends within 5 s.
_SHUTDOWN_TIMEOUT_S = 1.0
# A broker is back within seconds; trying more often would only fill the log.
_RETRY_S = 1.0


class PortTaken(TidemarkError):
    """An address cannot be listened on. Stop what holds it, or set another port."""


class FeedEnded(TidemarkError):
    """A feed failed while following its changelog. Start the process again; it reads everything anew."""


async def run(settings: Settings, clock: Clock) -> None:
    """Serve until cancelled; then websockets are closed and requests finish, and at last feeds stop.

    Sockets are accepted from the start, even while Kafka cannot be reached or a table is still being read. The workers
    hear which accounts are watched, and when the feeds stop, that none are.

    Raises:
        BadSettings: ``kafka`` is not set, or no deployment is.
        PortTaken: A port cannot be listened on.
        FeedEnded: A feed failed.
    """
    bootstrap = settings.bootstrap
    collect_rarely()
    followed = {table: Feed.of(settings, table, clock) for table in SERVED_TABLES}
    interest = InterestSender(settings.topics.partitions, partial(kafka_outlet, settings), clock.now_ms)
    leases = Leases(settings, clock)
    records = Records(settings)
    heartbeats = Heartbeats()
    history = HistoryAnswers(settings, records, clock)
    app = create_app(
        settings,
        Feeds(*followed.values()),
        interest,
        clock=clock,
        leases=leases,
        records=records,
        heartbeats=heartbeats,
        history=history,
    )
    admin = create_admin_app(app)
    _say_if_bounded(settings.api.limits.connections)
    heard = HeartbeatReader(settings, heartbeats, clock)
    readers = (*followed.values(), *app[DIALECTS].resources, heard, history)
    _share_consumers(bootstrap, [followed[table] for table in _BUSY_TABLES], readers, app[CADENCE])
    try:
        async with (
            asyncio.TaskGroup() as tasks,
            listening(admin, admin_door(admin), "admin_port", settings.api.admin_host, settings.api.admin_port),
            listening(app, public_door(app), "port", settings.api.host, settings.api.port),
        ):
            for reader in readers:
                tasks.create_task(_follow(reader), name=f"follow {reader.topic}")
            tasks.create_task(app[CADENCE].run(), name="cadence")
            tasks.create_task(app[OVERLOAD].run(), name="overload")
            tasks.create_task(_tell(interest), name="tell interest")
            tasks.create_task(_keep(leases), name="keep leases")
            # Until told to end. Then sockets are drained first, and who still has one is shown what is new meanwhile.
            await asyncio.Event().wait()
    except ExceptionGroup as group:
        # The first failure cancelled the other tasks, so it is the cause.
        raise group.exceptions[0] from None
    finally:
        await records.stop()


def _share_consumers(
    bootstrap: Bootstrap, busy: Collection[TopicReader], readers: Iterable[Resource], pacing: Pacing
) -> None:
    """Let readers of topics share two consumers, one for those that are busy and one for all others.

    Each fetch costs this process and the broker half a millisecond each, for one topic as for many. What a topic is
    read by besides, as by a second dialect of one kind, keeps a consumer of its own.
    """
    often, seldom = SharedConsumer(bootstrap, BUSY_WAIT_MS, pacing=pacing), SharedConsumer(bootstrap, QUIET_WAIT_MS)
    shared: set[str] = set()
    for reader in readers:
        if isinstance(reader, TopicReader) and not reader.is_committed_only and reader.topic not in shared:
            shared.add(reader.topic)
            reader.read_through(often if reader in busy else seldom)


def _say_if_bounded(asked: int) -> None:
    most = affordable_connections(asked)
    if most < asked:
        logger.warning(
            "api.limits.connections: expected files for %d connections, found %d; raise the limit on open files",
            asked,
            most,
        )


async def _follow(feed: Resource) -> None:
    said = ""
    try:
        while True:
            try:
                await feed.start()
            except (KafkaConnectionError, TopicMissing) as error:
                # A line a second for each table would say no more.
                if str(error) != said:
                    said = str(error)
                    logger.warning("feed waits topic=%s error=%s", feed.topic, said)
                await asyncio.sleep(_RETRY_S)
            else:
                break
        await feed.closed()
    except KafkaError as error:
        msg = f"feed of {feed.topic} ended: {error!r}; start the api again"
        raise FeedEnded(msg) from error
    finally:
        await feed.stop()


async def _keep(leases: Leases) -> None:
    leases.start()
    try:
        await leases.closed()
    finally:
        await leases.stop()


async def _tell(interest: InterestSender) -> None:
    interest.start()
    try:
        await interest.closed()
    finally:
        await interest.stop()


@asynccontextmanager
async def listening(app: web.Application, door: Door, setting: str, host: str, port: int) -> AsyncIterator[None]:
    """Serve an application for as long as the block lasts.

    At the end its sockets are closed in good order, whoever cancels meanwhile.

    Args:
        app: The application.
        door: Lets its clients in.
        setting: The setting of ``api`` that says the port.
        host: Where it listens.
        port: Where it listens.

    Raises:
        PortTaken: It cannot listen there.
    """
    runner = BoundedRunner(app, door, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            msg = f"expected to listen on {host}:{port}, found: {error.strerror}; set another api.{setting}"
            raise PortTaken(msg) from error
        logger.info("listening on=%s address=http://%s:%d", setting, host, port)
        yield
    finally:
        # A feed that fails meanwhile cancels whoever waits for that: clients that were not closed yet would be cut off
        # without a word.
        await waited_out(runner.cleanup())
