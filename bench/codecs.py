"""How changelogs are best compressed: valuation rows through a producer as the worker has it, the broker, and a reader.

For each codec and each number of rows in a batch: processor time of the producer, of the broker and of the reader, in
µs a row, and the bytes that lie in the log. Codecs take turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load.processes import processor_s
from bench.load.rows import DEPLOYMENT, SOURCE, account_row, address, symbol
from models.codec import encode_row
from models.engine.tables import VALUATIONS
from models.ids import account_key, mark_key
from models.money import E18
from models.prices import UsedMark
from models.symmio.valuation import value_account
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.settings import TopicSettings
from tests.support.broker import new_broker, settings_of_a_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.settings import Settings

CODECS = ("none", "snappy", "lz4", "zstd")
# A hundred of these rows are 225 KB: what fits a batch.
BATCHES = (1, 20, 100)
ROWS = 20_000
ACCOUNTS = 3_000
POSITIONS = 4
SYMBOLS = 500
_BATCH_BYTES = 256 * 1024
_AT_MS = 1_700_000_000_000

Row = tuple[bytes, bytes]


def rows() -> list[Row]:
    """Valuations of accounts with four positions, as a flush writes them."""
    return [row(number) for number in range(1, ACCOUNTS + 1)]


def row(number: int) -> Row:
    """One of them."""

    def mark(symbol_id: int) -> UsedMark:
        key = mark_key(SOURCE, symbol(symbol_id)).decode()
        return UsedMark(key, 100 * E18 + number * 10**14, _AT_MS, number, stale=False)

    valued = value_account(account_row(number, POSITIONS, SYMBOLS).holding, 1, mark, unsupported=False)
    return account_key(DEPLOYMENT, address(number)), encode_row(7, number, valued.body)


def rows_at(batch: int) -> int:
    """How many are sent where so many are in a batch: one at a time they take thirty times as long."""
    return ROWS if batch > 1 else ROWS // 10


async def produce(bootstrap: str, topic: str, codec: str, batches: Sequence[Sequence[Row]]) -> float:
    """Send batches to one partition; processor seconds."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type=None if codec == "none" else codec,
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
    )
    await producer.start()
    try:
        used_s = time.process_time()
        for some in batches:
            batch = producer.create_batch()
            for key, value in some:
                if batch.append(key=key, value=value, timestamp=None) is None:
                    msg = f"expected {len(some)} rows to fit a batch, found {_BATCH_BYTES} bytes full before"
                    raise ValueError(msg)
            batch.close()
            await (await producer.send_batch(batch, topic, partition=0))
        return time.process_time() - used_s
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, count: int) -> float:
    """Read so many records of one partition; processor seconds."""
    tp = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, max_poll_records=5_000)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        used_s, left = time.process_time(), count
        while left > 0:
            left -= sum(map(len, (await consumer.getmany(tp, timeout_ms=200)).values()))
        return time.process_time() - used_s
    finally:
        await consumer.stop()


async def measure(settings: Settings, broker_pid: int, codec: str, batch: int, made: Sequence[Row]) -> list[float]:
    """µs a row of producer, broker and reader."""
    bootstrap, topic = settings.bootstrap.servers, changelog_name(settings, VALUATIONS)
    await create_topics(settings.bootstrap, registry(settings))
    count = rows_at(batch)
    picked = [made[at % len(made)] for at in range(count)]
    batches = [picked[at : at + batch] for at in range(0, count, batch)]
    before_s = processor_s(broker_pid)
    producing_s = await produce(bootstrap, topic, codec, batches)
    broker_s = processor_s(broker_pid) - before_s
    reading_s = await read(bootstrap, topic, count)
    return [round(seconds / count * 1e6, 2) for seconds in (producing_s, broker_s, reading_s)]


@click.command()
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    """Measure and print a line for each codec and batch."""
    made = rows()
    click.echo(f"rows of {sum(len(value) for _, value in made) // len(made)} bytes")
    found: defaultdict[tuple[str, int], list[list[float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        directory = Path(scratch)
        broker = new_broker(directory)
        bootstrap = broker.start()
        try:
            # The first round warms the broker up.
            for at, batch, codec in product(range(rounds + 1), BATCHES, CODECS):
                settings = settings_of_a_test(bootstrap, directory, topics=TopicSettings(partitions=1))
                figures = asyncio.run(measure(settings, broker.pid or 0, codec, batch, made))
                log = directory.rglob(f"{changelog_name(settings, VALUATIONS)}-0/*.log")
                stored = sum(segment.stat().st_size for segment in log)
                if at:
                    found[codec, batch].append([*figures, stored // rows_at(batch)])
        finally:
            broker.stop()
    click.echo("| rows a batch | codec | producer, µs a row | broker | reader | bytes a row in the log |")
    click.echo("|---|---|---|---|---|---|")
    for batch, codec in product(BATCHES, CODECS):
        told = " | ".join(f"{statistics.median(column):g}" for column in zip(*found[codec, batch], strict=True))
        click.echo(f"| {batch} | {codec} | {told} |")


if __name__ == "__main__":
    main()
