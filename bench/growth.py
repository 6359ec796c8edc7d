"""What a worker costs as work grows: accounts, positions an account, ticks a second. ``make bench`` or run it alone.

For each size it lays rows of accounts into a broker of its own, as the agents would have left them, starts one worker
and measures: seconds until it owns them, until every account has a valuation, resident memory after that; then, while
ticks come in, the worker's processor time, rows written, and how old the oldest row of an unwatched account that is out
of date ever got, beside the bound that the worker itself gives. Last, the seconds until a worker that starts with the
volume of the one before owns them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.load.processes import processor_s
from bench.load.rows import DEPLOYMENT, bench_deployment, lay_out, tick
from models.engine.tables import VALUATIONS
from models.money import E18
from streams.kafka.topics import PRICE_TICKS, changelog_name, create_topics, registry, topic_name
from streams.settings import TopicSettings, WorkerSettings
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.pipeline import end_offset, producer, worker

if TYPE_CHECKING:
    from streams.settings import Settings

SYMBOLS = 500
PARTITIONS = 8
_WAIT_S = 900


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return _memory_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The most resident memory that a process has had."""
    return _memory_mib(pid, "VmHWM")


def _memory_mib(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split(f"{what}:")[1].split()[0]) / 1024


async def send_ticks(settings: Settings, rate: int, seconds: int) -> None:
    """A random-looking walk of every market in turn, at a steady rate."""
    started_s, start_ms = time.perf_counter(), time.time_ns() // 10**6
    async with producer(settings) as sender:
        for number in range(rate * seconds):
            ahead_s = started_s + number / rate - time.perf_counter()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            symbol_id = number % SYMBOLS + 1
            price_e18 = 100 * E18 + (number * 7919 % 2_001 - 1_000) * E18 // 1_000
            key, value = tick(symbol_id, price_e18, start_ms + number * 1000 // rate + 1)
            await sender.send(topic_name(settings, PRICE_TICKS), value, key=key)


async def measure(
    bootstrap: str, directory: Path, *, accounts: int, positions: int, rate: int, seconds: int
) -> dict[str, Any]:
    """One size."""
    settings = settings_of_a_test(
        bootstrap,
        directory,
        deployments={DEPLOYMENT: bench_deployment()},
        topics=TopicSettings(partitions=PARTITIONS),
        worker=WorkerSettings(store="rocksdb"),
    )
    await create_topics(settings.bootstrap, registry(settings))
    await lay_out(settings, accounts, positions, SYMBOLS)
    valuations = changelog_name(settings, VALUATIONS)
    async with worker(settings, python=sys.executable) as process:
        started_s = time.perf_counter()
        await process.ready(_WAIT_S)
        ready_s = time.perf_counter() - started_s

        async def all_valued() -> bool:
            # Asking connects anew each time, which the worker would feel.
            await asyncio.sleep(0.2)
            return await end_offset(settings, valuations) >= accounts

        await eventually(all_valued, _WAIT_S)
        valued_s = time.perf_counter() - started_s
        resident = resident_mib(process.process.pid)
        rows, processor, at_s = (
            await end_offset(settings, valuations),
            processor_s(process.process.pid),
            time.perf_counter(),
        )
        sending = asyncio.create_task(send_ticks(settings, rate, seconds))
        oldest_s: list[float] = []
        while not sending.done():
            await asyncio.wait([sending], timeout=1)
            status = await process.status()
            oldest_s.append(status["unwatched"]["oldest_s"])
        await sending
        took_s = time.perf_counter() - at_s
        figures = {
            "accounts": accounts,
            "positions": positions,
            "ready_s": round(ready_s, 1),
            "valued_s": round(valued_s, 1),
            "resident_mib": round(resident),
            "resident_kib_an_account": round(resident * 1024 / accounts, 2),
            "ticks_per_s": round(rate * seconds / took_s),
            "processor_share": round((processor_s(process.process.pid) - processor) / took_s, 3),
            "rows_per_s": round((await end_offset(settings, valuations) - rows) / took_s),
            "oldest_row_s": round(max(oldest_s), 1),
            "bound_s": round((await process.status())["unwatched"]["max_age_s"], 1),
            "resident_after_mib": round(resident_mib(process.process.pid)),
            "peak_mib": round(peak_mib(process.process.pid)),
        }
    async with worker(settings, python=sys.executable) as process:
        started_s = time.perf_counter()
        await process.ready(_WAIT_S)
        return {**figures, "ready_from_volume_s": round(time.perf_counter() - started_s, 1)}


@click.command()
@click.option("--accounts", multiple=True, type=int, default=(1_000, 10_000, 100_000), show_default=True)
@click.option("--positions", multiple=True, type=int, default=(4,), show_default=True)
@click.option("--rate", multiple=True, type=int, default=(500,), show_default=True, help="Ticks a second.")
@click.option("--seconds", default=20, show_default=True, help="How long ticks are sent.")
def main(accounts: tuple[int, ...], positions: tuple[int, ...], rate: tuple[int, ...], seconds: int) -> None:
    """Measure every combination, and print a row of a table for each."""
    os.environ["FAUST_LOOP"] = "uvloop"
    head_is_due = True
    for size in accounts:
        for held in positions:
            for ticks_per_s in rate:
                with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
                    figures = asyncio.run(
                        measure(
                            bootstrap,
                            Path(directory),
                            accounts=size,
                            positions=held,
                            rate=ticks_per_s,
                            seconds=seconds,
                        )
                    )
                if head_is_due:
                    click.echo(f"| {' | '.join(figures)} |\n|{'---|' * len(figures)}")
                    head_is_due = False
                click.echo(f"| {' | '.join(map(str, figures.values()))} |")


if __name__ == "__main__":
    main()
