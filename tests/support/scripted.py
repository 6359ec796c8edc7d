"""A worker's parts on a broker in memory and a virtual clock: what a script of records and instants comes to.

``python -m tests.support.scripted`` prints a digest of every table after every script; ``--write`` keeps them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sys
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from unittest.mock import patch

import orjson
from aiokafka import TopicPartition

from models.codec import decode_row
from models.engine.pace import Pace
from models.engine.tables import TABLES
from models.provenance import MADE_FROM
from streams.agents.instruments import InstrumentsAgent
from streams.agents.marks import MarksAgent
from streams.agents.state_releases import StateReleases
from streams.kafka.feed import Feed
from streams.kafka.partitions import partition_of
from streams.kafka.topics import INSTRUMENT_FACTS, INTEREST, PRICE_TICKS, changelog_name
from streams.replicas.interest_reader import Interest
from streams.settings import Settings, SymmioSettings, TopicSettings
from streams.settings.venues import venues_of
from streams.transport.publisher import Publisher
from streams.transport.slices import Slice
from streams.transport.stores import MemoryStore
from streams.transport.tables import Rows
from streams.transport.terms import Terms
from streams.valuing import market_marks as markets_module
from streams.valuing.engines import Engines
from streams.valuing.flush import Flush
from streams.valuing.market_marks import MarketMarks
from streams.worker.faust_app import venue_agents
from tests.support.clocks import LoopClock
from tests.support.fetched import Fetched
from tests.support.pacing import Even
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from streams.process.clock import Clock
    from streams.worker.faust_app import SliceAgent

SCRIPTS = Path(__file__).parents[1] / "data" / "scripts"
DIGESTS = SCRIPTS / "digests.json"
NAMES = ("golden", "forks", "demo")
PARTITIONS = 4
# Small, so that much of what happens lies in several slices; no divisor of anything else.
SLICE_RECORDS = 23
# From sending to acknowledgement, and from there to whoever reads.
BROKER_S = 0.002
# Between two requests.
_LINGER_S = 0.003
# A flush waits for a multiple of its interval, which may differ from now by a rounding error.
_LEAST_STEP_S = 1e-6
# Every row that is out of date has been written by then.
SETTLED_AFTER_S = 75.0


class Step(NamedTuple):
    """A line of a script: a record that the broker has at an instant, or, without a topic, a kill."""

    at_ms: int
    topic: str | None
    key: bytes
    value: bytes


class Script(NamedTuple):
    """What happens, and to which deployment."""

    settings: Settings
    steps: Sequence[Step]


Tables: TypeAlias = dict[str, dict[bytes, bytes]]


class Written(NamedTuple):
    """Where a batch stands, as a producer says it."""

    topic: str
    partition: int
    offset: int


def read_script(name: str) -> Script:
    """Read a file of ``tests/data/scripts``."""
    with gzip.open(SCRIPTS / f"{name}.jsonl.gz") as lines:
        head, *rest = (orjson.loads(line) for line in lines)
    settings = Settings(
        kafka="nowhere:1",
        data_dir=Path("unused"),
        topics=TopicSettings(partitions=PARTITIONS),
        deployments={head["deployment"]: SymmioSettings.model_validate(head["settings"])},
    )
    steps = [
        Step(line["at_ms"], line.get("topic"), line.get("key", "").encode(), line.get("value", "").encode())
        for line in rest
    ]
    return Script(settings, steps)


class MemoryBroker:
    """Topics in lists, and whoever waits for more of them."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self.logs: defaultdict[TopicPartition, list[Fetched]] = defaultdict(list)
        self.committed: dict[TopicPartition, int] = {}
        self.readers: defaultdict[str, list[Callable[[TopicPartition, Sequence[Fetched]], None]]] = defaultdict(list)

    def append(self, topic: str, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> int:
        tp, now_ms = TopicPartition(topic, partition), self._clock.now_ms()
        log = self.logs[tp]
        first = len(log)
        log += [Fetched(key, value, first + at, now_ms) for at, (key, value) in enumerate(rows)]
        for hear in self.readers[topic]:
            hear(tp, log[first:])
        return first

    def partitions(self, topic: str) -> Iterator[TopicPartition]:
        return (TopicPartition(topic, partition) for partition in range(PARTITIONS))


class Batch:
    """As a producer's; it takes whatever it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, bytes]] = []

    def append(self, *, key: bytes, value: bytes, timestamp: None) -> bool:
        del timestamp
        self.rows.append((key, value))
        return True

    def close(self) -> None:
        """Nothing follows."""


class MemoryProducer:
    """Batches arrive after a while; once the process is killed, nobody hears of it."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.is_killed = False

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Written]:
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Written] = loop.create_future()

        def arrive() -> None:
            first = self._broker.append(topic, partition, batch.rows)
            if not self.is_killed:
                sent.set_result(Written(topic, partition, first))

        loop.call_later(BROKER_S, arrive)
        return sent


class Table(NamedTuple):
    name: str


class MemoryFeed(Feed):
    """A feed of the broker in memory."""

    broker: MemoryBroker

    async def start(self) -> None:
        for tp in self.broker.partitions(self.topic):
            if records := self.broker.logs[tp]:
                self._take({tp: records})
        self.broker.readers[self.topic].append(self._hear)

    async def stop(self) -> None:
        self.broker.readers[self.topic].remove(self._hear)

    async def wait_ready(self) -> None:
        """Everything is read at the start."""

    async def closed(self) -> None:
        await asyncio.Event().wait()

    def _hear(self, tp: TopicPartition, records: Sequence[Fetched]) -> None:
        asyncio.get_running_loop().call_later(BROKER_S, self._take, {tp: records})


class Keeper:
    """Commits slices up to the first that is not complete."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._open: defaultdict[TopicPartition, list[Slice]] = defaultdict(list)
        self.is_killed = False

    def begin(self, part: Slice) -> bool:
        part.begun = True
        self._open[part.tp].append(part)
        return True

    def slice_done(self, part: Slice) -> None:
        if part.complete:
            self.slice_complete(part)

    def slice_complete(self, part: Slice) -> None:
        slices = self._open[part.tp]
        while slices and slices[0].complete and not self.is_killed:
            self._broker.committed[part.tp] = slices.pop(0).last_offset + 1


class Life:
    """A worker from its assignment to its kill."""

    def __init__(self, settings: Settings, broker: MemoryBroker, clock: LoopClock, term: int) -> None:
        self._settings, self._broker = settings, broker
        self.faults: list[BaseException] = []
        fail = self.faults.append
        self._producer = MemoryProducer(broker)
        self._keeper = Keeper(broker)
        terms = Terms()
        terms.hold(dict.fromkeys(range(PARTITIONS), term))
        self.publisher = Publisher(fail, self._acked, Even(_LINGER_S))
        self.publisher.start(self._producer)
        self.stores = {name: MemoryStore("store://", None, Table(name), table_name=name) for name in TABLES}
        self.rows = Rows(
            settings,
            self.stores,
            self.publisher,
            terms,
            clock=clock,
            on_restated=lambda *row: engines.restated(*row),  # noqa: PLW0108 - made below
        )
        self.markets = MarketMarks(
            settings,
            clock,
            fail,
            lambda moved: engines.move(moved),  # noqa: PLW0108 - the same
            lambda deployment: engines.refer(deployment),  # noqa: PLW0108 - the same
        )
        engines = self.engines = Engines(settings, self.rows, terms, self.markets.board)
        pace = Pace(settings.worker.unwatched_max_age_s)
        flush = Flush(settings, self.rows, engines, pace=pace, pacing=Even(0.0), clock=clock, fatal=fail)
        self.interest = Interest(settings, clock, engines.watch, engines.unwatch)
        self.clock: Clock = clock
        self.state_releases = StateReleases(self.rows, engines, clock, fail)
        self.writers = engines, flush, self.state_releases
        self._agents: Sequence[tuple[SliceAgent, str]] = (
            (MarksAgent(self.rows), PRICE_TICKS),
            (InstrumentsAgent(self.rows), INSTRUMENT_FACTS),
            *chain.from_iterable(venue_agents(settings, self, one) for one in venues_of(settings).installed),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Recover every partition, then handle slices."""
        for name, store in self.stores.items():
            for tp in self._broker.partitions(changelog_name(self._settings, name)):
                if records := self._broker.logs[tp]:
                    store.restore(tp.partition, records)
                store.restored(tp.partition, len(records))
        await self.markets.start()
        self._broker.readers[INTEREST].append(self._hear_interest)
        for tp in self._broker.partitions(INTEREST):
            self._hear_interest(tp, self._broker.logs[tp])
        for partition in range(PARTITIONS):
            self.rows.rewrite_overwritten(partition)
            for writer in self.writers:
                await writer.start(partition)
        self._tasks = [asyncio.create_task(self._consume(agent, topic)) for agent, topic in self._agents]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def kill(self) -> None:
        """End it, with what it sent still on its way."""
        self._producer.is_killed = self._keeper.is_killed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._broker.readers[INTEREST].remove(self._hear_interest)
        for writer in self.writers:
            await writer.stop()
        await self.markets.stop()
        await self.publisher.stop()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.faults.append(error)

    def _acked(self, topic: str, partition: int, rows: list[tuple[bytes, bytes]], first_offset: int) -> None:
        self.rows.acknowledged(topic, partition, rows, first_offset)
        self.markets.acknowledged(topic, rows)

    def _hear_interest(self, tp: TopicPartition, records: Sequence[Fetched]) -> None:
        self.interest._take({tp: records} if records else {})

    async def _consume(self, agent: SliceAgent, topic: str) -> None:
        """Hand an agent its partitions' slices, one after the other."""
        async for tp, records in self._slices(topic):
            follows = self._broker.committed.get(tp, 0)
            part = Slice(records, tp, self._keeper, follows)
            assert part.begin()
            await agent.handle(part)
            part.done()
            self.publisher.flush()

    async def _slices(self, topic: str) -> AsyncIterator[tuple[TopicPartition, Sequence[Fetched]]]:
        next_of = {tp: self._broker.committed.get(tp, 0) for tp in self._broker.partitions(topic)}
        more = asyncio.Event()
        hear = lambda _tp, _records: more.set()  # noqa: E731 - it is taken away by its identity
        self._broker.readers[topic].append(hear)
        try:
            while True:
                more.clear()
                waiting = [tp for tp, at in next_of.items() if at < len(self._broker.logs[tp])]
                if not waiting:
                    await more.wait()
                    await asyncio.sleep(BROKER_S)
                for tp in waiting:
                    records = self._broker.logs[tp][next_of[tp] : next_of[tp] + SLICE_RECORDS]
                    next_of[tp] += len(records)
                    yield tp, records
        finally:
            self._broker.readers[topic].remove(hear)


class Handover(NamedTuple):
    """What a worker leaves to the next in the middle of a script: how many steps are done, and what Kafka holds."""

    steps: int
    at_ms: int
    logs: dict[TopicPartition, list[Fetched]]
    committed: dict[TopicPartition, int]


async def _play(script: Script, begun: Handover | None, until: int | None) -> tuple[Tables, Handover]:
    """Play a script from where it was left to its end, or up to a step, at which the worker is killed."""
    clock = LoopClock(script.steps[0].at_ms - 1_000 if begun is None else begun.at_ms)
    broker = MemoryBroker(clock)
    if begun is not None:
        broker.logs.update(begun.logs)
        broker.committed.update(begun.committed)
    first = 0 if begun is None else begun.steps
    feed = type("FeedOfBroker", (MemoryFeed,), {"broker": broker})
    with patch.object(markets_module, "Feed", feed):
        lives = 1 + sum(step.topic is None for step in script.steps[:first]) + (begun is not None)
        life = Life(script.settings, broker, clock, lives)
        await life.start()
        for step in script.steps[first:until]:
            await asyncio.sleep(max(0.0, (step.at_ms - clock.now_ms()) / 1_000))
            assert [] == life.faults
            if step.topic is None:
                await life.kill()
                lives += 1
                life = Life(script.settings, broker, clock, lives)
                await life.start()
            else:
                broker.append(step.topic, partition_of(step.key, PARTITIONS), [(step.key, step.value)])
        await asyncio.sleep(SETTLED_AFTER_S if until is None else 0)
        assert [] == life.faults
        tables = {
            name: {key: row for partition in range(PARTITIONS) for key, row in store.rows(partition)}
            for name, store in life.stores.items()
        }
        await life.kill()
        # What it sent arrives all the same.
        await asyncio.sleep(1)
    return tables, Handover(until or len(script.steps), clock.now_ms(), dict(broker.logs), broker.committed)


def play(name: str) -> Tables:
    """What every table holds after a script: rows by key, by table."""
    return run_in_no_time(_play(read_script(name), None, None), _LEAST_STEP_S)[0]


def left_in_the_middle(name: str) -> Handover:
    """What a worker leaves that is killed in the middle of a script."""
    script = read_script(name)
    return run_in_no_time(_play(script, None, len(script.steps) // 2), _LEAST_STEP_S)[1]


def taken_over(name: str, begun: Handover) -> Tables:
    """What every table holds in the end where this version goes on from what was left of a script."""
    return run_in_no_time(_play(read_script(name), begun, None), _LEAST_STEP_S)[0]


def digest(rows: Mapping[bytes, bytes]) -> str:
    """A digest of a table's keys, versions and bodies, but for the terms and instants, which tell who wrote and when.

    Rows had no provenance when the digests were first made: without it, they are what they were.
    """
    hashed = hashlib.sha256()
    for key in sorted(rows):
        row = decode_row(rows[key])
        body = dict(row.body)
        _drop_provenance(body)
        if "account_order" in body:
            body["account_order"] = body["account_order"][1:]
        hashed.update(orjson.dumps([key.decode(), row.version, body], option=orjson.OPT_SORT_KEYS))
    return f"{len(rows)} rows {hashed.hexdigest()}"


def _drop_provenance(body: dict[str, Any]) -> None:
    body.pop(MADE_FROM, None)
    for part in (body.get("last_complete"), *_parts(body, "transitions", "hedger_transitions", "states")):
        if part is not None:
            part.pop(MADE_FROM, None)


def _parts(body: Mapping[str, Any], *columns: str) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(body.get(one, ()) for one in columns)


def digests(name: str) -> dict[str, str]:
    """A digest of each table after a script."""
    return {table: digest(rows) for table, rows in play(name).items()}


def main(arguments: Sequence[str]) -> None:
    """Print the digests of all scripts, or write them."""
    found = {name: digests(name) for name in NAMES}
    text = json.dumps(found, indent=2) + "\n"
    if "--write" in arguments:
        DIGESTS.write_text(text)
    else:
        print(text, end="")  # noqa: T201 - its output


if __name__ == "__main__":
    main(sys.argv[1:])
