"""Recovery of a table from its changelog into an empty store, Tidemark beside its peers: ``make bench``, or run alone.

Every system gets a changelog of its own with as many rows of ``ROW_BYTES``, each of another key, written by a plain
producer in that system's form. The clock runs from where it begins to recover to where it says that the table is whole.
Systems take turns; a figure is the median of its runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

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
from models.codec import encode_row
from streams.kafka.topics import VALUATIONS
from tests.support.broker import running_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

STOCK = "faust"
SYSTEMS = {
    "tidemark": System("tidemark"),
    "tidemark rocksdb": System("tidemark", store="rocksdb"),
    STOCK: System("faust", events=100_000),
    "faust rocksdb": System("faust", store="rocksdb", events=100_000),
    "quixstreams": System("quixstreams", store="rocksdb"),
    "kafka streams": System("kafka_streams", store="rocksdb"),
    "kafka streams memory": System("kafka_streams"),
}
ROW_BYTES = 300
FIELDS = ("upnl", "notional", "equity", "available", "locked", "pending", "maintenance", "distance", "as_of")


def bodies(count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """``count`` keys and bodies of about ``ROW_BYTES`` as JSON."""
    digits = (ROW_BYTES - len(orjson.dumps(dict.fromkeys(FIELDS, "")))) // len(FIELDS)
    primes = dict(zip(FIELDS, (7_919**power for power in range(2, 2 + len(FIELDS))), strict=True))
    for number in range(1, count + 1):
        body = {field: f"{number * prime % 10**digits:0{digits}d}" for field, prime in primes.items()}
        yield f"bench:0x{number:040x}", body


def rows(peer: str, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Changelog records as the peer itself would have written them."""
    for key, body in bodies(count):
        if peer == "tidemark":
            yield key.encode(), encode_row(0, 1, body)
        elif peer == "faust":
            yield orjson.dumps(key), orjson.dumps(body)
        elif peer == "quixstreams":
            yield key.encode() + b'|"row"', orjson.dumps(body)
        else:
            yield key.encode(), orjson.dumps(body)


def changelog_of(peer: str, group: str, topic: str) -> str:
    """The name a peer gives its changelog."""
    names = {
        "tidemark": f"{group}-tidemark-1-{VALUATIONS}-changelog",
        "quixstreams": f"changelog__{group}--{topic}--default",
    }
    return names.get(peer, f"{group}-rows-changelog")


async def job(bootstrap: str, system: System, count: int) -> Job:
    """An empty source, and a changelog with ``count`` rows."""
    group = new_name("bench")
    topic = f"{group}-source"
    changelog = changelog_of(system.peer, group, topic)
    await create_topic(bootstrap, topic, compacted=False)
    await create_topic(bootstrap, changelog, compacted=True)
    headers = [("__column_family__", b"default")] if system.peer == "quixstreams" else None
    await fill(bootstrap, changelog, rows(system.peer, count), headers)
    return Job(bootstrap, topic, changelog, group, count, "recovery", "", PARTITIONS, 0, system.store)


def measure(bootstrap: str, rounds: int, count: int, systems: list[str]) -> dict[str, list[Figures]]:
    """Runs of each system. A new group a run: what was recovered once would not be read again."""
    commands = commands_of({name: SYSTEMS[name] for name in systems})
    runs: dict[str, list[Figures]] = defaultdict(list)
    for number in range(rounds):
        for name, command in commands.items():
            system = SYSTEMS[name]
            try:
                figures = run(command, asyncio.run(job(bootstrap, system, min(count, system.events or count))))
            except PeerFailed as error:
                print(f"{name} round {number + 1}: {error}", file=sys.stderr)
                continue
            runs[name].append(figures)
            print(f"{name} round {number + 1}: {figures.per_s:,.0f}/s {figures.cpu_us:.2f} us", file=sys.stderr)
    return runs


def table(runs: dict[str, list[Figures]]) -> Iterator[dict[str, object]]:
    """The lines of the table."""
    for name, figures in runs.items():
        per_s, cpu_us = middle(figures)
        yield {
            "system": name,
            "runs": len(figures),
            "rows": figures[0].events,
            "rows/s": round(per_s),
            "CPU us/row": round(cpu_us, 2),
            "x stock Faust": round(per_s / middle(runs[STOCK])[0], 1) if runs.get(STOCK) else None,
        }


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each system.")
@click.option("--rows", "count", default=1_000_000, show_default=True, help="Rows of a run; the slow are given fewer.")
@click.option("--systems", default=",".join(SYSTEMS), show_default=True, help="Which, by commas.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures to this file as well.")
def main(rounds: int, count: int, systems: str, path: Path | None) -> None:
    """Measure, and print a table."""
    with running_kafka() as bootstrap:
        runs = measure(bootstrap, rounds, count, systems.split(","))
    lines = list(table(runs))
    if path is not None:
        path.write_text(json.dumps(lines, indent=1) + "\n")
    print(markdown(lines))


if __name__ == "__main__":
    main()
