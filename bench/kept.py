"""What it costs a worker to keep what it shows: valuation rows through its publisher, with and without ``served``.

``python -m bench.kept``. Rows of four positions leave at a fixed rate, a thousandth of a second's at a time, to eight
partitions, as flushes write them. Rounds with and without take turns; figures are medians of the processor time of this
process, in µs a row, less what it takes to do nothing for as long. Whatever else the machine does, the rows are the
same, so a busy machine changes little in it.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.codecs import rows
from models.engine.tables import VALUATIONS
from streams.kafka.producer import start_producer
from streams.kafka.topics import changelog_name, create_topics, registry, served_name
from streams.settings import TopicSettings
from streams.transport.publisher import Publisher
from streams.transport.tables import UNCHARGED
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.pacing import Even

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.codecs import Row
    from streams.settings import Settings

PARTITIONS = 8
_BATCH_BYTES = 256 * 1024
_EVERY_S = 0.005


async def spent_us(settings: Settings, topics: Sequence[str], found: Sequence[Row], rate: int, seconds: int) -> float:
    """Processor time a row, in µs.

    Args:
        settings: Name the broker.
        topics: Full names of the topics that each row is written to; none to do nothing for as long.
        found: The rows.
        rate: How many a second.
        seconds: For how long.
    """
    producer = await start_producer(settings.bootstrap, compression="snappy", batch_bytes=_BATCH_BYTES)
    publisher = Publisher(_fail, lambda *_: None, Even(0.003), patient=(served_name(settings),))
    publisher.start(producer)
    sent, began_s, used_s = 0, time.monotonic(), time.process_time()
    while (now_s := time.monotonic()) < began_s + seconds:
        due = int((now_s - began_s) * rate)
        for number in range(sent, due):
            key, row = found[number % len(found)]
            for topic in topics:
                publisher.append(topic, number % PARTITIONS, key, row, UNCHARGED)
        sent = due
        publisher.flush()
        await asyncio.sleep(_EVERY_S)
    await publisher.drain()
    spent_s = time.process_time() - used_s
    await publisher.stop()
    await producer.stop()
    return spent_s / max(1, sent) * 1e6


def _fail(error: BaseException) -> None:
    raise error


async def measure(settings: Settings, rate: int, seconds: int, rounds: int) -> None:
    """Print one line of a table."""
    shown, kept = changelog_name(settings, VALUATIONS), served_name(settings)
    figures: dict[tuple[str, ...], list[float]] = {(): [], (shown,): [], (shown, kept): []}
    found = rows()
    for _ in range(rounds):
        for topics, spent in figures.items():
            spent.append(await spent_us(settings, topics, found, rate, seconds))
    nothing, without, with_it = (statistics.median(one) for one in figures.values())
    print(f"| {rate} | {without - nothing:.1f} | {with_it - nothing:.1f} | {with_it - without:.1f} |", flush=True)


@click.command()
@click.option("--rate", multiple=True, type=int, default=(1_000, 4_000), show_default=True, help="Rows a second.")
@click.option("--seconds", default=5, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(rate: tuple[int, ...], seconds: int, rounds: int) -> None:
    """Measure each rate, and print a table."""
    print("| rows/s | shown alone, µs a row | kept too | difference |\n|---|---|---|---|", flush=True)
    with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
        settings = settings_of_a_test(bootstrap, Path(directory), topics=TopicSettings(partitions=PARTITIONS))

        async def all_rates() -> None:
            await create_topics(settings.bootstrap, registry(settings))
            for one in rate:
                await measure(settings, one, seconds, rounds)

        asyncio.run(all_rates())


if __name__ == "__main__":
    main()
