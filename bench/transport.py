"""Tidemark's transport and tables beside every peer, on the same topics of one broker: ``make bench`` or run it alone.

Three workloads: ``decode`` (ticks to a handler that decodes JSON), ``table`` (ticks to the newest price of each symbol,
with a changelog), ``accounts`` (events to one row an account, with a changelog). The clock runs from the first record
that reaches the handler to the last one's end, its changelog acknowledged. Systems take turns, each run with a group
and topics of its own; a figure is the median of its runs. Peers conflate their changelogs as they do by themselves: the
last column says how many records they wrote.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

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
from models.ids import mark_key
from models.prices import MarkTick, encode_tick
from tests.support.broker import running_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKLOADS = ("decode", "table", "accounts")
FLOOR, STOCK = "aiokafka", "faust"
# Kafka Streams is measured as the others are, which is with a JVM that has compiled nothing yet, and warm.
SYSTEMS = {
    FLOOR: System("aiokafka"),
    "tidemark": System("tidemark"),
    "tidemark rocksdb": System("tidemark", store="rocksdb"),
    STOCK: System("faust", events=60_000),
    "quixstreams": System("quixstreams", store="rocksdb"),
    "bytewax": System("bytewax"),
    "pathway": System("pathway"),
    "kafka streams": System("kafka_streams", store="rocksdb"),
    "kafka streams warm": System("kafka_streams", store="rocksdb", warm_up_percent=100),
}
KEYS = 1_000
SYMBOLS_OF_AN_ACCOUNT = 10
STARTED_MS = 1_700_000_000_000


def ticks(count: int) -> Iterator[tuple[bytes, bytes]]:
    """``count`` ticks, some 190 bytes each, of ``KEYS`` symbols in turn."""
    prices = random.Random(1)
    for number in range(count):
        symbol, event_ms = f"S{number % KEYS}USDT", STARTED_MS + number
        price = f"{prices.uniform(1, 99_999):.4f}"
        tick = MarkTick("binance-futures", symbol, event_ms, event_ms + 9, price, price, "0.00010000", STARTED_MS)
        yield mark_key(tick.source, symbol), encode_tick(tick)


def account_events(count: int) -> Iterator[tuple[bytes, bytes]]:
    """``count`` events of ``KEYS`` accounts, each with ``SYMBOLS_OF_AN_ACCOUNT`` symbols."""
    events = random.Random(2)
    for number in range(count):
        account = f"0x{number % KEYS:040x}"
        event = {
            "account": account,
            "symbol": f"S{events.randrange(SYMBOLS_OF_AN_ACCOUNT)}USDT",
            "quantity": events.randrange(-1_000, 1_000),
            "price": events.randrange(1, 10_000_000),
        }
        yield account.encode(), orjson.dumps(event)


class Topics:
    """Source topics, each filled once with exactly as many events as a run reads."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._made: dict[tuple[str, int], str] = {}

    async def source(self, workload: str, count: int) -> str:
        """The topic with ``count`` events of a workload."""
        kind = "events" if workload == "accounts" else "ticks"
        if (kind, count) not in self._made:
            name = f"{kind}-{count}"
            await create_topic(self._bootstrap, name, compacted=False)
            await fill(self._bootstrap, name, account_events(count) if kind == "events" else ticks(count))
            self._made[kind, count] = name
        return self._made[kind, count]

    async def job(self, name: str, workload: str, events: int) -> Job:
        """A job for a system, its changelog made."""
        system = SYSTEMS[name]
        count = min(events, system.events or events)
        warm_up = count * system.warm_up_percent // 100
        group = new_name("bench")
        changelog = f"{group}-changelog"
        await create_topic(self._bootstrap, changelog, compacted=True)
        source = await self.source(workload, count + warm_up)
        return Job(self._bootstrap, source, changelog, group, count, workload, "", PARTITIONS, warm_up, system.store)

    async def written(self, changelog: str) -> int:
        """Records in a changelog.

        Raises:
            PeerFailed: A key is missing there: the peer did not do the work.
        """
        keys: set[bytes] = set()
        reader = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
        await reader.start()
        try:
            tps = [TopicPartition(changelog, partition) for partition in range(PARTITIONS)]
            reader.assign(tps)
            await reader.seek_to_beginning(*tps)
            ends = await reader.end_offsets(tps)
            while left := [tp for tp in tps if await reader.position(tp) < ends[tp]]:
                for records in (await reader.getmany(*left, timeout_ms=200)).values():
                    keys.update(record.key for record in records)
        finally:
            await reader.stop()
        if len(keys) != KEYS:
            msg = f"expected {KEYS} keys in {changelog}, found {len(keys)}"
            raise PeerFailed(msg)
        return sum(ends.values())


def measure(
    bootstrap: str, rounds: int, events: int, systems: list[str], workloads: list[str]
) -> tuple[dict[tuple[str, str], list[Figures]], dict[tuple[str, str], int]]:
    """Runs of each (workload, system), and the changelog records of its last run."""
    commands = commands_of({name: SYSTEMS[name] for name in systems})
    topics = Topics(bootstrap)
    runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    written: dict[tuple[str, str], int] = {}
    for workload in workloads:
        for number in range(rounds):
            for name, command in commands.items():
                try:
                    figures = run(command, asyncio.run(topics.job(name, workload, events)))
                    if workload != "decode" and figures.changelog:
                        written[workload, name] = asyncio.run(topics.written(figures.changelog))
                except PeerFailed as error:
                    print(f"{workload} {name} round {number + 1}: {error}", file=sys.stderr)
                    continue
                runs[workload, name].append(figures)
                said = f"{figures.per_s:,.0f}/s {figures.cpu_us:.2f} us"
                print(f"{workload} {name} round {number + 1}: {said}", file=sys.stderr)
    return runs, written


def table(
    runs: dict[tuple[str, str], list[Figures]], written: dict[tuple[str, str], int]
) -> Iterator[dict[str, object]]:
    """The lines of the table; ratios are of events a second."""
    for (workload, name), figures in runs.items():
        per_s, cpu_us = middle(figures)
        floor, stock = (
            round(per_s / middle(runs[workload, base])[0], 2) if runs.get((workload, base)) else None
            for base in (FLOOR, STOCK)
        )
        yield {
            "workload": workload,
            "system": name,
            "runs": len(figures),
            "events": figures[0].events,
            "events/s": round(per_s),
            "CPU us/event": round(cpu_us, 2),
            "x floor": floor,
            "x stock Faust": stock,
            "changelog records": written.get((workload, name)),
        }


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each system and workload.")
@click.option("--events", default=400_000, show_default=True, help="Events of a run; the slow are given fewer.")
@click.option("--systems", default=",".join(SYSTEMS), show_default=True, help="Which, by commas.")
@click.option("--workloads", default=",".join(WORKLOADS), show_default=True, help="Which, by commas.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures to this file as well.")
def main(rounds: int, events: int, systems: str, workloads: str, path: Path | None) -> None:
    """Measure, and print a table."""
    with running_kafka() as bootstrap:
        runs, written = measure(bootstrap, rounds, events, systems.split(","), workloads.split(","))
    lines = list(table(runs, written))
    if path is not None:
        path.write_text(json.dumps(lines, indent=1) + "\n")
    print(markdown(lines))


if __name__ == "__main__":
    main()
