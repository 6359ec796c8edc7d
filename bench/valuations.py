"""Exact valuations of every holder of a market that moved: Tidemark, Kafka Streams and a plain loop, in turn.

Each system reads the same accounts and ticks from the same broker and writes the same JSON row, to the byte, of each
account whose market moved. *Saturated* has more ticks than any of them can value: rows a second, and processor time a
row. *Paced* is 500 ticks/s to 1,000 accounts with one position: cores, and from the instant at which a tick was due to
the row in another process. When ticks have ended, every account must come to show the newest marks, and 1,000 rows at
random must be what the models make of them; else the run does not count. Nor does one whose threads waited for a
processor for more than a fifth of the time in which they were ready. A unit is what orjson takes in the same run to
encode the body of such a row, so that figures of two machines can be compared.

Kafka Streams (``bench/peers/kafka_streams``) is measured without a cache before its store, where each row leaves at
once, and with the 10 MB that are its default, where rows leave at each commit, every 100 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from api.delivery.interest_writer import InterestSender, kafka_outlet
from bench.load.processes import WAITING_SHARE_MAX, Taken
from bench.load.rows import (
    DEPLOYMENT,
    account_row,
    address,
    bench_deployment,
    lay_out,
    number_of,
    numbered_tick,
)
from bench.load.shown import ShownRows
from bench.peers.launch import ROOT, PeerFailed, java_command, markdown
from models.codec import encode_body
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.ids import account_key
from models.prices import decode_tick, mark_of, used_mark
from models.provenance import MADE_FROM
from models.symmio.valuation import value_account
from models.symmio.venue import SYMMIO
from streams.kafka.topics import PRICE_TICKS, Topic, changelog_name, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.settings import TopicSettings, WorkerSettings
from streams.settings.figures import all_figure_settings
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.pipeline import worker
from tidemark.child_processes import tied_to_us

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from models.prices import UsedMark
    from streams.settings import Settings

SYMBOLS = 500
PARTITIONS = 4
_CHECKED = 1_000
_UNITS = 2_000
_WAIT_S = 120
_TIDEMARK, _LOOP = "tidemark", "aiokafka loop"
# Bytes of cache before the store, and how often it is emptied, in ms.
_STREAMS = {"kafka streams": (0, 500), "kafka streams, 10 MB of cache": (10 << 20, 100)}
SYSTEMS = (_TIDEMARK, *_STREAMS, _LOOP)


@dataclass(frozen=True)
class Load:
    """One kind of run: so many accounts with so many positions each, and ticks a second."""

    accounts: int
    positions: int
    rate: int
    is_paced: bool


LOADS = {"saturated": Load(5_000, 4, 1_000, is_paced=False), "paced": Load(1_000, 1, 500, is_paced=True)}


@dataclass(frozen=True)
class Run:
    """What one run came to. Times are of the system's own process, delays from the instant at which a tick was due."""

    rows_per_s: float
    due_per_s: float
    row_us: float
    broker_row_us: float
    row_units: float
    cores: float
    broker_cores: float
    waiting_share: float
    p50_ms: float | None
    p99_ms: float | None

    @property
    def counts(self) -> bool:
        """Whether the machine had a processor for it when it was ready."""
        return self.waiting_share <= WAITING_SHARE_MAX


class Ticks:
    """Sends ticks at a steady rate, every market in turn, and knows when each was due.

    Args:
        settings: Name the topic.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._due_s: list[float] = []
        self._shown: dict[tuple[bytes, int], int] = {}
        self.delays_ms: list[float] = []

    async def send(self, rate: int, seconds: float) -> None:
        """Send for so long; what cannot be sent in time is sent late and counted from when it was due."""
        producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka, acks="all", enable_idempotence=True)
        await producer.start()
        topic, clock, began_s = topic_name(self._settings, PRICE_TICKS), SystemClock(), time.perf_counter()
        for at in range(round(rate * seconds)):
            due_s = began_s + at / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            number = len(self._due_s)
            self._due_s.append(due_s)
            key, value = numbered_tick(number, SYMBOLS, clock.now_ms())
            await producer.send(topic, value, key=key)
        await producer.stop()

    def shown(self, key: bytes, body: bytes) -> None:
        """A row has come: note the delay of each tick that it is the first to show."""
        now_s = time.perf_counter()
        for position in orjson.loads(body)["positions"]:
            number = number_of(int(position["mark"] or 0))
            market = key, position["symbol"]
            if number >= 0 and self._shown.get(market) != number:
                self._shown[market] = number
                self.delays_ms.append((now_s - self._due_s[number]) * 1000)


async def newest_marks(settings: Settings) -> dict[str, UsedMark]:
    """The newest mark of each key, read from the ticks themselves."""
    topic = topic_name(settings, PRICE_TICKS)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await reader.start()
    marks: dict[str, UsedMark] = {}
    try:
        tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        ends = await reader.end_offsets(tps)
        while [tp for tp in tps if await reader.position(tp) < ends[tp]]:
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    key, mark = record.key.decode(), mark_of(decode_tick(record.value), record.offset)
                    if key not in marks or mark.event_ms > marks[key].event_ms:
                        marks[key] = used_mark(key, mark, stale=False)
    finally:
        await reader.stop()
    return marks


def expect_exact(load: Load, bodies: Mapping[bytes, bytes], marks: Mapping[str, UsedMark]) -> None:
    """Compare rows at random with what the models make of the accounts and the newest marks.

    Raises:
        PeerFailed: One is another.
    """
    of_market = {int(key.split(":S")[1][:-4]): mark for key, mark in marks.items()}
    for number in random.Random(3).choices(range(1, load.accounts + 1), k=_CHECKED):
        held = SYMMIO.held(account_row(number, load.positions, SYMBOLS))
        expected = encode_body(value_account(held, 0, of_market.get, unsupported=False).body)
        found = bodies[account_key(DEPLOYMENT, address(number))]
        if not found.startswith(expected[:-1] + f',"{MADE_FROM}":'.encode()):
            msg = f"expected the row {expected!r}, found {found!r}"
            raise PeerFailed(msg)


@asynccontextmanager
async def running(system: str, settings: Settings, load: Load, directory: Path) -> AsyncIterator[tuple[int, str]]:
    """Run a system; its pid, and the topic that it writes rows to."""
    if system == _TIDEMARK:
        interest = InterestSender(PARTITIONS, lambda: kafka_outlet(settings), SystemClock().now_ms)
        async with worker(settings, python=sys.executable) as process:
            await process.ready(_WAIT_S)
            for number in range(1, load.accounts + 1):
                interest.watch(account_key(DEPLOYMENT, address(number)))
            interest.start()
            yield process.process.pid, changelog_name(settings, VALUATIONS)
            await interest.stop()
        return
    application = f"{settings.topics.prefix}peer"
    own = {"output": f"{application}-valuations-changelog", "multicast": f"{application}-marks"}
    job = own | {
        "bootstrap": settings.kafka,
        "accounts": changelog_name(settings, ACCOUNTS),
        "ticks": topic_name(settings, PRICE_TICKS),
        "settings": next(iter(all_figure_settings(settings))),
        "partitions": str(PARTITIONS),
        "application": application,
        "directory": str(directory / "streams"),
    }
    command = [sys.executable, "-m", "bench.peers.valuation_loop"]
    if system in _STREAMS:
        command = java_command("Valuations")
        job |= dict(zip(("cache_bytes", "commit_ms"), map(str, _STREAMS[system]), strict=True))
    config = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"}
    topics = tuple(Topic(name, "any", PARTITIONS, 1, config) for name in own.values())
    await create_topics(settings.bootstrap, topics)
    log = directory / "peer.log"
    with log.open("wb") as said:
        peer = await asyncio.create_subprocess_exec(
            *tied_to_us([*command, json.dumps(job)]),
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield peer.pid, own["output"]
    except AssertionError as error:
        msg = f"{error}; {system} said: {log.read_text()[-2_000:]}"
        raise PeerFailed(msg) from error
    finally:
        peer.kill()
        await peer.wait()


def unit_us(body: bytes) -> float:
    """Processor time that orjson takes to encode a row's body, in µs."""
    decoded = orjson.loads(body)
    began_s = time.process_time()
    for _ in range(_UNITS):
        orjson.dumps(decoded)
    return (time.process_time() - began_s) * 1e6 / _UNITS


async def measure(system: str, load: Load, broker: tuple[str, int], warm_up_s: float, seconds: float) -> Run:
    """One run, with topics of its own.

    Raises:
        PeerFailed: The system does not come to show every account at the newest marks, or a row is not exact.
    """
    bootstrap, broker_pid = broker
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-", ignore_cleanup_errors=True) as directory:
        settings = settings_of_a_test(
            bootstrap,
            Path(directory),
            deployments={DEPLOYMENT: bench_deployment()},
            topics=TopicSettings(partitions=PARTITIONS),
            worker=WorkerSettings(store="rocksdb"),
        )
        await create_topics(settings.bootstrap, registry(settings))
        await lay_out(settings, load.accounts, load.positions, SYMBOLS)
        ticks = Ticks(settings)
        async with running(system, settings, load, Path(directory)) as (pid, output):
            shown = ShownRows(settings.bootstrap, output, ticks.shown if load.is_paced else None)
            await shown.start()
            await eventually(lambda: len(shown.bodies) == load.accounts, _WAIT_S)
            await ticks.send(load.rate, warm_up_s)
            ticks.delays_ms.clear()
            body = next(iter(shown.bodies.values()))
            units = [unit_us(body)]
            before, began_s, rows = (Taken.by(pid), Taken.by(broker_pid)), time.perf_counter(), shown.rows
            await ticks.send(load.rate, seconds)
            took_s, rows = time.perf_counter() - began_s, shown.rows - rows
            own, of_broker = Taken.by(pid).since(before[0]), Taken.by(broker_pid).since(before[1])
            units.append(unit_us(body))
            marks = await newest_marks(settings)
            newest = {key: mark.offset for key, mark in marks.items()}
            await eventually(lambda: shown.show(newest), _WAIT_S)
            await shown.stop()
        expect_exact(load, shown.bodies, marks)
    delays = sorted(ticks.delays_ms)
    row_us = own.worked_s * 1e6 / rows
    return Run(
        rows_per_s=rows / took_s,
        due_per_s=load.rate * load.accounts * load.positions / SYMBOLS,
        row_us=row_us,
        broker_row_us=of_broker.worked_s * 1e6 / rows,
        row_units=row_us / median(units),
        cores=own.worked_s / took_s,
        broker_cores=of_broker.worked_s / took_s,
        waiting_share=own.waiting_share,
        p50_ms=delays[len(delays) // 2] if delays else None,
        p99_ms=delays[len(delays) * 99 // 100] if delays else None,
    )


def table(runs: Mapping[tuple[str, str], list[Run]]) -> Iterator[dict[str, object]]:
    """The lines of the table: medians of the runs that count, or of all with a note where none does."""
    for (load, system), all_runs in runs.items():
        counted = [run for run in all_runs if run.counts]
        fields = [asdict(run) for run in counted or all_runs]
        middle = {
            name: None if fields[0][name] is None else round(median(run[name] for run in fields), 2)
            for name in fields[0]
        }
        yield {"load": load, "system": system, "runs that count": f"{len(counted)} of {len(all_runs)}", **middle}


def _line(**figures: Any) -> str:  # noqa: ANN401 - whatever JSON takes
    return orjson.dumps(figures).decode()


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Runs of each system and load, in turn.")
@click.option("--seconds", default=15.0, show_default=True, help="How long ticks are sent while is measured.")
@click.option("--warm-up", default=20.0, show_default=True, help="Seconds of the same before: a JVM compiles.")
@click.option("--systems", default=";".join(SYSTEMS), show_default=True, help="Which, by semicolons.")
@click.option("--loads", default=",".join(LOADS), show_default=True, help="Which, by commas.")
def main(rounds: int, seconds: float, warm_up: float, systems: str, loads: str) -> None:
    """Measure, and print a line of JSON a run and a table of medians."""
    os.environ["FAUST_LOOP"] = "uvloop"
    runs: dict[tuple[str, str], list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-", ignore_cleanup_errors=True) as directory:
        broker = new_broker(Path(directory))
        try:
            where = broker.start(), broker.pid or 0
            for number in range(rounds):
                for load in loads.split(","):
                    for system in systems.split(";"):
                        try:
                            run = asyncio.run(measure(system, LOADS[load], where, warm_up, seconds))
                        except (PeerFailed, AssertionError) as error:
                            print(f"{load} {system} round {number + 1} does not count: {error}", file=sys.stderr)
                            continue
                        runs.setdefault((load, system), []).append(run)
                        print(_line(load=load, system=system, round=number + 1, **asdict(run)), flush=True)
        finally:
            broker.kill()
    print(markdown(list(table(runs))))


if __name__ == "__main__":
    main()
