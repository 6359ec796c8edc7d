"""From a price tick to the changed row of a watched account in another process: ``make bench`` or run it alone.

One worker owns accounts with positions in 500 markets, each of which is watched, as a replica of the api says of
the accounts that its sockets show. Ticks are written at a fixed rate; the valuations changelog is followed as a replica
does it. Every tick's price is its own, so a row tells which ticks it shows: a tick's delay is that from the instant at
which it was due to the first row of an account with it. Prints one line a size, and beside it what the broker alone
takes: the delay of such ticks to a plain consumer of price-ticks, afterwards in the same run. The row takes two such
hops, and waits for one acknowledgement.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from api.delivery.interest_writer import InterestSender, kafka_outlet
from bench.load.processes import processor_s
from bench.load.rows import DEPLOYMENT, address, bench_deployment, lay_out, number_of, numbered_tick
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.ids import account_key
from models.money import parse_e18
from models.valuations import VALUED
from streams.kafka.feed import Feed
from streams.kafka.topics import PRICE_TICKS, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.settings import TopicSettings, WorkerSettings
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.pipeline import worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from streams.settings import Settings

    Store = Literal["memory", "rocksdb"]

SYMBOLS = 500
PARTITIONS = 8
# A broker's JVM compiles for some 10 s what it does all the time; until then a tick takes half as long again.
WARM_UP_S = 15
LAST_ROWS_S = 1.0


class Delays:
    """When each tick was due, and how long after that a row or a plain record showed it."""

    def __init__(self) -> None:
        self._due_s: list[float] = []
        self._shown: dict[tuple[bytes, int], int] = {}
        self.rows_ms: list[float] = []
        self.broker_ms: list[float] = []
        self.rows = 0

    def forget(self) -> None:
        """Count from here."""
        self.rows_ms.clear()
        self.rows = 0

    def due(self, at_s: float) -> int:
        """A tick was due at this time of ``perf_counter``, however late it leaves; its number."""
        self._due_s.append(at_s)
        return len(self._due_s) - 1

    def shown(self, key: bytes, positions: Sequence[dict[str, Any]]) -> None:
        """A row of an account has come."""
        now_s = time.perf_counter()
        self.rows += 1
        for position in positions:
            number = number_of(int(position["mark"] or 0))
            market = key, position["symbol"]
            if number >= 0 and self._shown.get(market) != number:
                self._shown[market] = number
                self.rows_ms.append((now_s - self._due_s[number]) * 1000)

    def passed(self, value: bytes) -> None:
        """A plain consumer has a tick."""
        number = number_of(parse_e18(orjson.loads(value)["mark"]))
        if number >= 0:
            self.broker_ms.append((time.perf_counter() - self._due_s[number]) * 1000)


def priced(feed: Feed) -> int:
    """Accounts whose row has figures."""
    return sum(decode_row(row).body["status"] == VALUED for row in list(feed.rows.values()))


def shares(delays_ms: list[float]) -> dict[str, float]:
    """The median and the tail."""
    ordered = sorted(delays_ms)
    return {f"p{share}": round(ordered[int(len(ordered) * share / 100)], 1) for share in (50, 99, 99.9)}


async def measure(
    bootstrap: str, directory: Path, *, store: Store, accounts: int, positions: int, rate: int, seconds: int
) -> dict[str, Any]:
    """One size."""
    settings = settings_of_a_test(
        bootstrap,
        directory,
        deployments={DEPLOYMENT: bench_deployment()},
        topics=TopicSettings(partitions=PARTITIONS),
        worker=WorkerSettings(store=store),
    )
    await create_topics(settings.bootstrap, registry(settings))
    await lay_out(settings, accounts, positions, SYMBOLS)
    delays = Delays()

    def on_rows(keys: Sequence[bytes]) -> None:
        for key in keys:
            delays.shown(key, decode_row(feed.rows[key]).body["positions"])

    feed = Feed.of(settings, VALUATIONS, SystemClock())
    feed.listen(on_rows)
    interest = InterestSender(PARTITIONS, lambda: kafka_outlet(settings), SystemClock().now_ms)
    async with worker(settings, python=sys.executable) as process:
        await process.ready(60)
        await feed.start()
        await eventually(lambda: priced(feed) == accounts, 120)
        for number in range(1, accounts + 1):
            interest.watch(account_key(DEPLOYMENT, address(number)))
        interest.start()
        await send(settings, delays, rate, WARM_UP_S)
        delays.forget()
        used_s, began_s = processor_s(process.process.pid), time.perf_counter()
        await send(settings, delays, rate, seconds)
        took_s, rows = time.perf_counter() - began_s, delays.rows
        share = (processor_s(process.process.pid) - used_s) / took_s
        # The rows of the last ticks are on their way.
        await asyncio.sleep(LAST_ROWS_S)
        await feed.stop()
        await interest.stop()
    await through_the_broker(settings, delays, rate, seconds)
    moved = rate * seconds * accounts * positions // SYMBOLS
    return {
        "watched_accounts": accounts,
        "positions": positions,
        "ticks_per_s": rate,
        "rows_per_s": round(rows / took_s, 1),
        "worker_processor_share": round(share, 3),
        "ticks_shown_share": round(len(delays.rows_ms) / moved, 3),
        **{f"row_{name}_ms": value for name, value in shares(delays.rows_ms).items()},
        **{f"broker_{name}_ms": value for name, value in shares(delays.broker_ms).items()},
    }


async def send(settings: Settings, delays: Delays, rate: int, seconds: int) -> None:
    """Send ticks at a steady rate, every market in turn."""
    topic = topic_name(settings, PRICE_TICKS)
    sender = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    await sender.start()
    started_s = time.perf_counter()
    for at in range(rate * seconds):
        due_s = started_s + at / rate
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        number = delays.due(due_s)
        key, value = numbered_tick(number, SYMBOLS, SystemClock().now_ms())
        await sender.send(topic, value, key=key)
    await sender.stop()


async def through_the_broker(settings: Settings, delays: Delays, rate: int, seconds: int) -> None:
    """What the broker alone takes: such ticks to a plain consumer, with nothing else beside them."""
    consumer = AIOKafkaConsumer(
        topic_name(settings, PRICE_TICKS), bootstrap_servers=settings.kafka, enable_auto_commit=False,
        auto_offset_reset="latest", fetch_max_wait_ms=50,
    )  # fmt: skip
    await consumer.start()
    await consumer.seek_to_end()

    async def follow() -> None:
        async for record in consumer:
            delays.passed(record.value)

    following = asyncio.create_task(follow())
    await send(settings, delays, rate, seconds)
    await asyncio.sleep(LAST_ROWS_S)
    following.cancel()
    await consumer.stop()


@click.command()
@click.option("--accounts", multiple=True, type=int, default=(1_000, 10_000), show_default=True)
@click.option("--positions", multiple=True, type=int, default=(1, 4), show_default=True, help="Of each account.")
@click.option("--rate", default=500, show_default=True, help="Ticks a second.")
@click.option("--seconds", default=15, show_default=True, help="How long.")
@click.option("--store", type=click.Choice(["memory", "rocksdb"]), default="memory", show_default=True)
def main(accounts: tuple[int, ...], positions: tuple[int, ...], rate: int, seconds: int, store: Store) -> None:
    """Measure and print one line of JSON for each number of accounts and positions."""
    os.environ["FAUST_LOOP"] = "uvloop"
    for size, held in product(accounts, positions):
        with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
            figures = asyncio.run(
                measure(
                    bootstrap, Path(directory), store=store, accounts=size, positions=held, rate=rate, seconds=seconds
                )
            )
        click.echo(orjson.dumps(figures))


if __name__ == "__main__":
    main()
