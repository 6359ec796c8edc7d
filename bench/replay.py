"""Replay beside a plain loop, kcat and quixstreams; what folding a long log takes; and how fast exports are written.

``read``: at most a million ticks of ``price-ticks``, decoded; Tidemark merges partitions, the others do not.
``fold``: every tick and every event of a ledger's accounts read, by a process each, the newest mark of each symbol
chosen, and all accounts valued once at the end; also of a tenth of it, so that memory can be compared.
``parquet``: what the writer of exports takes, beside pyarrow with the same arrays ready, and what an export takes from
records on.
"""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec
import pyarrow.parquet as pq
import uvloop

from bench.peers.job import Job
from bench.peers.launch import (
    PARTITIONS,
    Figures,
    PeerFailed,
    System,
    commands_of,
    create_topic,
    fill,
    markdown,
    middle,
    new_name,
    run,
)
from bench.transport import KEYS, ticks
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.ledger.ledger_settings import SymbolSettings, symbol_reference
from models.ledger.ledger_venue import LEDGER_EVENTS, LEDGER_SETTINGS
from models.valuations import VALUED
from streams.kafka.topics import PRICE_TICKS, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.process.garbage import collecting_rarely
from streams.replay.account_at import fold_references
from streams.replay.accounts_at import raw_vector
from streams.replay.bounded_log import LogRecord
from streams.replay.checkpoints import begin_fold
from streams.replay.export_files import ExportWriter
from streams.replay.exported_rows import PRICES_SCHEMA, by_column
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.replay.newest_ticks import NewestTick, newest_ticks
from streams.replay.row_reading import RowReading
from streams.replay.row_tables import TableWriter
from streams.settings import Settings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.broker import running_kafka
from tests.support.ledger import FEE, FLAT, position, record

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOOR = "aiokafka"
SYSTEMS = {FLOOR: System("aiokafka"), "tidemark": System("replay"), "quixstreams": System("quixstreams")}
PARTS = ("read", "fold", "parquet")
ACCOUNTS = 10_000
DESK = "desk"
SOURCE = "binance-futures"
_ROWS = 200_000
_READ_AT_MOST = 1_000_000
_AT_ONCE = 50_000


def account_events(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Events of a ledger's accounts in turn: each sets a position anew."""
    for number in range(count):
        account, turn = number % ACCOUNTS, number // ACCOUNTS
        of = position(str(1 + turn % 9), "100", f"t{account % KEYS:03}USD")
        yield f"{DESK}:a{account}".encode(), record("position_set", turn + 1, position=of)


def symbol_settings() -> Iterator[tuple[bytes, bytes]]:
    """What the ledger says of its symbols: each is valued at the mark of one of the ticks."""
    for number in range(KEYS):
        said = SymbolSettings(v=1, price=f"S{number}USDT", close_fee=FEE, tiers=FLAT)
        yield f"{DESK}:{symbol_reference(f't{number:03}USD')}".encode(), msgspec.json.encode(said)


def settings_of(bootstrap: str, prefix: str) -> Settings:
    """The configuration of a ledger whose log is folded."""
    desk = LedgerDeploymentSettings(default_sources=(SOURCE,), default_max_age_ms=10**15)
    topics = {"partitions": PARTITIONS, "prefix": prefix}
    return Settings(kafka=bootstrap, deployments={DESK: desk}, topics=topics)  # type: ignore[arg-type]


async def read(bootstrap: str, count: int, rounds: int) -> list[dict[str, object]]:
    """Every system reads the same topic in turn; one line for each."""
    topic, warm_up = new_name("ticks"), count // 5
    await create_topic(bootstrap, topic, compacted=False)
    await fill(bootstrap, topic, ticks(count + warm_up))
    commands, found = commands_of(SYSTEMS), defaultdict[str, list[Figures]](list)
    for _ in range(rounds):
        for name, command in commands.items():
            job = Job(bootstrap, topic, topic, new_name(name), count, "decode", "", PARTITIONS, warm_up, "memory")
            try:
                found[name].append(run(command, job))
            except PeerFailed as error:
                print(f"{name}: {error}", file=sys.stderr)
        if shutil.which("kcat"):
            found["kcat, not decoded"].append(_kcat(bootstrap, topic, count + warm_up))
    lines: list[dict[str, object]] = []
    for name, runs in found.items():
        per_s, cpu_us = middle(runs)
        ratio = f"{per_s / middle(found[FLOOR])[0]:.2f}"
        lines.append({"system": name, "ticks/s": round(per_s), "µs": f"{cpu_us:.2f}", "x the loop": ratio})
    return lines


def _kcat(bootstrap: str, topic: str, count: int) -> Figures:
    command = ["kcat", "-b", bootstrap, "-t", topic, "-C", "-o", "beginning", "-e", "-q", "-f", "%s\n"]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
    seconds, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(count, seconds, used_s, None)


async def fold(bootstrap: str, ticks_count: int, events: int) -> list[dict[str, object]]:
    """Fold a tenth of a log, and all of another, each in a process of its own."""
    lines: list[dict[str, object]] = []
    for share in (10, 1):
        prefix = new_name("fold") + "-"
        settings = settings_of(bootstrap, prefix)
        await create_topics(settings.bootstrap, registry(settings))
        await fill(bootstrap, topic_name(settings, PRICE_TICKS), ticks(ticks_count // share))
        await fill(bootstrap, topic_name(settings, LEDGER_SETTINGS), symbol_settings())
        await fill(bootstrap, topic_name(settings, LEDGER_EVENTS), account_events(events // share))
        child = [sys.executable, "-m", "bench.replay", "--child", json.dumps([bootstrap, prefix])]
        said = subprocess.run(child, capture_output=True, text=True, check=True)  # noqa: S603, ASYNC221 - it is waited for
        lines.append({"ticks": ticks_count // share, "events": events // share, **json.loads(said.stdout)})
    return lines


async def fold_all(bootstrap: str, prefix: str) -> dict[str, object]:
    """Fold a log from its first record to its last, and value all accounts: prices are read by a second process."""
    settings, began_s = settings_of(bootstrap, prefix), time.monotonic()
    log, loop = KafkaLog(settings.bootstrap, {}, SystemClock()), asyncio.get_running_loop()
    now_ms = SystemClock().now_ms()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pricing = loop.run_in_executor(pool, newest_marks, bootstrap, prefix)
        # As value_accounts_at does, whose marks are those of the last minutes alone.
        vector = await raw_vector(log, settings, DESK, now_ms)
        begun = begin_fold(settings, DESK, None, vector, until_ms=now_ms, checkpoints=None, is_stated=False)
        await fold_references(log, topic_name(settings, LEDGER_SETTINGS), begun.fold, DESK, now_ms)
        async for one in read_merged(log, begun.vector):
            begun.fold.put(one)
        begun.fold.write()
        folded_s, used_s = time.monotonic() - began_s, time.process_time()
        marks = await pricing
    engine = begun.fold.engine
    for newest in marks.found.values():
        engine.tick(newest.tick, newest.offset)
    engine.choose(now_ms)
    engine.value(now_ms)
    statuses = Counter(decode_row(row).body["status"] for _, row in engine.tables.items(VALUATIONS))
    if engine.refused or set(statuses) != {VALUED}:
        msg = f"expected every account to be valued, found {dict(statuses)}; refused: {engine.refused[:1]}"
        raise RuntimeError(msg)
    return {
        "s": round(time.monotonic() - began_s, 1),
        "for accounts, s": round(folded_s, 1),
        "for ticks, s": round(marks.seconds, 1),
        "processor, accounts, s": round(used_s, 1),
        "processor, ticks, s": round(marks.used_s, 1),
        "accounts valued": statuses[VALUED],
        "marks": len(marks.found),
        "memory, accounts, MB": _most_memory_mb(),
        "memory, ticks, MB": marks.memory_mb,
    }


class Marks(NamedTuple):
    """The newest tick of each key, and what it took to find them: seconds, those of the processor, and memory."""

    found: dict[bytes, NewestTick]
    seconds: float
    used_s: float
    memory_mb: int


def newest_marks(bootstrap: str, prefix: str) -> Marks:
    """Read every tick of a log, and keep the newest of each symbol."""
    settings, began_s = settings_of(bootstrap, prefix), time.monotonic()
    log, prices = KafkaLog(settings.bootstrap, {}, SystemClock()), topic_name(settings, PRICE_TICKS)

    async def found() -> dict[bytes, NewestTick]:
        return await newest_ticks(log, await resolve_times(log, [prices], None, None), None)

    # As commands do that read a log.
    with collecting_rarely():
        newest = uvloop.run(found())
    return Marks(newest, time.monotonic() - began_s, time.process_time(), _most_memory_mb())


def _most_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def parquet() -> list[dict[str, object]]:
    """Write prices as an export does, and as pyarrow does by itself."""
    told = [LogRecord(at, PRICE_TICKS, 0, at, key, value) for at, (key, value) in enumerate(ticks(_ROWS))]
    rows = [row for one in told for row in PRICES_SCHEMA.read(one)]
    groups = [by_column(PRICES_SCHEMA, rows[at : at + _AT_ONCE]) for at in range(0, len(rows), _AT_ONCE)]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ours"

        def ours() -> None:
            writer = TableWriter(path, "parquet", PRICES_SCHEMA)
            for columns in groups:
                writer.write(columns, b"")
            writer.close()

        def whole() -> None:
            writer, reading = ExportWriter(Path(name) / "export", "parquet", PRICES_SCHEMA), RowReading(PRICES_SCHEMA)
            for one in told:
                writer.take(reading.rows_of(one))
            writer.finish(offsets="", keys=(), code="", configuration="", unreadable=reading.unreadable)

        def theirs() -> None:
            pq.write_table(table, Path(name) / "theirs", compression="zstd", row_group_size=_AT_ONCE)

        ours_us, whole_us = _us(ours), _us(whole)
        table: Any = pq.read_table(path).combine_chunks()
        theirs_us = _us(theirs)
    named = {
        "pyarrow, arrays ready": theirs_us,
        "export's writer, columns ready": ours_us,
        "export, from records to digest and file": whole_us,
    }
    return [{"writer": who, "µs a row": f"{us:.2f}", "x pyarrow": f"{theirs_us / us:.2f}"} for who, us in named.items()]


def _us(work: Any) -> float:  # noqa: ANN401 - a function
    began_s = time.process_time()
    work()
    return (time.process_time() - began_s) / _ROWS * 1e6


@click.command(help=__doc__)
@click.option("--ticks", "ticks_count", default=1_000_000, show_default=True)
@click.option("--events", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Measure these parts alone.")
@click.option("--child", hidden=True)
def main(ticks_count: int, events: int, rounds: int, only: tuple[str, ...], child: str | None) -> None:
    """Measure, and print a table for each part."""
    if child is not None:
        with collecting_rarely():
            print(json.dumps(uvloop.run(fold_all(*json.loads(child)))))
        return
    parts = only or PARTS
    if {"read", "fold"}.intersection(parts):
        with running_kafka() as bootstrap:
            if "read" in parts:
                print(markdown(asyncio.run(read(bootstrap, min(ticks_count, _READ_AT_MOST), rounds))), "\n")
            if "fold" in parts:
                print(markdown(asyncio.run(fold(bootstrap, ticks_count, events))), "\n")
    if "parquet" in parts:
        print(markdown(parquet()))


if __name__ == "__main__":
    main()
