"""A thousand sockets of which a hundred never read: what that costs the other nine hundred, and the server's memory.

Claims: the others' latency is within 10 % of what it is without them, and memory stays bounded. One hot account changes
at a steady rate; a frame's latency is from the change to the frame, by a number that the change carries. The rounds
alternate: all read; a hundred of them are slow. The server is a process of its own, over a table in memory.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import time

import click
import orjson
import uvloop

from bench.growth import resident_mib
from bench.load.crowd import Crowd, subscribe
from bench.load.replica import listen, replica_over
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.pipeline import free_port

KEY = "main:0x" + "a" * 40
_EVERY_S = 0.05
_SECONDS = 6
# Frames of some 6 kB: what a client does not read is then full after some seconds, not after minutes.
_POSITIONS = 100
_FULL_AFTER_S = 6


async def serve(port: int) -> None:
    """Serve; the account changes for ever, and says when in its equity, in µs."""
    tables = FakeTables("main")
    await listen(replica_over(tables), port)
    click.echo("ready")
    version = 0
    (position,) = valuation_body()["positions"]
    while True:
        version += 1
        at_us = time.perf_counter_ns() // 1000
        moved = [{**position, "mark": e18(f"{version}.25"), "quote": number} for number in range(_POSITIONS)]
        tables.valuations.put(KEY, version, valuation_body(equity=e18(str(at_us)), positions=moved))
        await asyncio.sleep(_EVERY_S)


class Latencies:
    """How long frames took, in ms."""

    def __init__(self) -> None:
        self.ms: list[float] = []

    def on_frame(self, payload: bytes, now_s: float) -> None:
        """Read off when the change was made."""
        for message in orjson.loads(payload):
            if message["type"] == "delta" and "equity" in message["data"]:
                self.ms.append((now_s - int(message["data"]["equity"]) / 1e6) * 1000)


async def one_round(port: int, sockets: int, slow: int) -> tuple[float, float]:
    """Median and p99 of those that read."""
    crowd, latencies = Crowd(port), Latencies()
    for number in range(sockets):
        socket = await crowd.open(latencies.on_frame)
        socket.send(subscribe("account", KEY, 0))
        if number < slow:
            socket.stop_reading()
    await asyncio.sleep(_FULL_AFTER_S)
    latencies.ms.clear()
    await asyncio.sleep(_SECONDS)
    crowd.close()
    ordered = sorted(latencies.ms)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


async def measure(sockets: int, slow: int, rounds: int) -> None:
    """Alternate, and compare medians."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.slow_consumers", "--serve", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None  # noqa: S101 - it is a pipe
    await server.stdout.readline()
    figures: dict[int, list[tuple[float, float]]] = {0: [], slow: []}
    resident: list[float] = []
    try:
        for _ in range(rounds):
            # Those that read are the same number in both.
            figures[0].append(await one_round(port, sockets - slow, 0))
            figures[slow].append(await one_round(port, sockets, slow))
            resident.append(resident_mib(server.pid))
    finally:
        server.kill()
        await server.wait()
    p50 = {number: statistics.median(median for median, _ in values) for number, values in figures.items()}
    p99 = {number: statistics.median(tail for _, tail in values) for number, values in figures.items()}
    click.echo(
        json.dumps(
            {
                "sockets": sockets,
                "never_read": slow,
                "p50_ms": round(p50[slow], 2),
                "p50_ms_without": round(p50[0], 2),
                "p50_ratio": round(p50[slow] / p50[0], 3),
                "p99_ratio": round(p99[slow] / p99[0], 3),
                "resident_mib": [round(mib, 1) for mib in resident],
            }
        )
    )


@click.command()
@click.option("--sockets", default=1_000, show_default=True)
@click.option("--slow", default=100, show_default=True, help="Of these, how many never read.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--serve", "port", type=int, hidden=True, help="Be the server.")
def main(sockets: int, slow: int, rounds: int, port: int | None) -> None:
    """Measure and print a line of JSON."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(sockets, slow, rounds) if port is None else serve(port))


if __name__ == "__main__":
    main()
