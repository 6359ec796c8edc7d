"""From a price tick to the frame of a socket that watches an account with it: the whole stack on this machine.

As ``tick_to_row``, with one api replica in between and a socket of ``/v1/ws`` for each account, which asks for every
change (``interval_ms`` 0). A tick's delay is that from the instant at which it was due to the frame of an account with
it. After it, in the same run, what the broker alone takes for such ticks; a frame takes the hops of a row and a socket.
Beside the delays stand the processor time of worker, api and broker, and the requests that worker and api send to the
broker in a second, by kind: these are counted, so they mean the same on a machine that has much else to do.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import click
import orjson
import uvloop

from bench.load.crowd import Crowd, subscribe
from bench.load.processes import processor_s
from bench.load.replica import stack_settings
from bench.load.requests import requests_sent
from bench.load.rows import DEPLOYMENT, address, lay_out
from bench.tick_to_row import (
    LAST_ROWS_S,
    PARTITIONS,
    SYMBOLS,
    WARM_UP_S,
    Delays,
    priced,
    send,
    shares,
    through_the_broker,
)
from models.engine.tables import VALUATIONS
from models.money import parse_e18
from streams.kafka.feed import Feed
from streams.kafka.topics import create_topics, registry
from streams.process.clock import SystemClock
from streams.process.garbage import collect_rarely
from tests.support.broker import new_broker
from tests.support.eventually import eventually
from tests.support.pipeline import worker
from tests.support.server import answers, api_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.broker import Broker


def on_frame_of(key: bytes, delays: Delays) -> Callable[[bytes, float], None]:
    """Notes which ticks a frame of the account shows."""
    symbols: dict[str, int] = {}

    def on_frame(payload: bytes, _now_s: float) -> None:
        for message in orjson.loads(payload):
            if message["type"] in {"snapshot", "delta"}:
                positions = message["data"].get("positions", {})
                for quote, position in positions.items():
                    if "symbol_id" in position:
                        symbols[quote] = position["symbol_id"]
                moved = [
                    {"symbol": symbols[quote], "mark": str(parse_e18(position["mark"]))}
                    for quote, position in positions.items()
                    if "mark" in position
                ]
                delays.shown(key, moved)

    return on_frame


async def measure(
    broker: Broker, directory: Path, *, sockets: int, positions: int, rate: int, seconds: int
) -> dict[str, Any]:
    """One size."""
    bootstrap = await asyncio.to_thread(broker.start)
    settings = stack_settings(bootstrap, directory, PARTITIONS)
    await create_topics(settings.bootstrap, registry(settings))
    await lay_out(settings, sockets, positions, SYMBOLS)
    delays = Delays()
    async with worker(settings, python=sys.executable) as process, api_process(settings, sys.executable) as api:
        await process.ready(60)
        feed = Feed.of(settings, VALUATIONS, SystemClock())
        await feed.start()
        await eventually(lambda: priced(feed) == sockets, 120)
        await feed.stop()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.api.port}") as client:
            await eventually(lambda: answers(client, "/readyz", 200), 60)
        crowd = Crowd(settings.api.port)
        for number in range(1, sockets + 1):
            key = f"{DEPLOYMENT}:{address(number)}"
            socket = await crowd.open(on_frame_of(key.encode(), delays))
            socket.send(subscribe("positions", key, 0))
        await send(settings, delays, rate, WARM_UP_S)
        delays.forget()
        pids, ports = (api.pid, process.process.pid, broker.pid or 0), (settings.api.admin_port, process.admin_port)
        began_s, used_s = time.perf_counter(), [processor_s(pid) for pid in pids]
        asked = [await requests_sent(port) for port in ports]
        await send(settings, delays, rate, seconds)
        took_s, frames = time.perf_counter() - began_s, delays.rows
        requests = [
            {kind: round(count / took_s, 1) for kind, count in (await requests_sent(port) - before).most_common()}
            for port, before in zip(ports, asked, strict=True)
        ]
        shared = [round((processor_s(pid) - before) / took_s, 3) for pid, before in zip(pids, used_s, strict=True)]
        # The frames of the last ticks are on their way.
        await asyncio.sleep(LAST_ROWS_S)
        crowd.close()
    await through_the_broker(settings, delays, rate, seconds)
    moved = rate * seconds * sockets * positions // SYMBOLS
    return {
        "sockets": sockets,
        "positions": positions,
        "ticks_per_s": rate,
        "frames_per_s": round(frames / took_s, 1),
        "ticks_shown_share": round(len(delays.rows_ms) / moved, 3),
        "api_processor_share": shared[0],
        "worker_processor_share": shared[1],
        "broker_processor_share": shared[2],
        "api_requests_per_s": requests[0],
        "worker_requests_per_s": requests[1],
        "requests_per_s": round(sum(sum(each.values()) for each in requests)),
        **{f"frame_{name}_ms": value for name, value in shares(delays.rows_ms).items()},
        **{f"broker_{name}_ms": value for name, value in shares(delays.broker_ms).items()},
    }


@click.command()
@click.option("--sockets", multiple=True, type=int, default=(1_000, 10_000), show_default=True)
@click.option("--positions", multiple=True, type=int, default=(1, 4), show_default=True, help="Of each account.")
@click.option("--rate", default=500, show_default=True, help="Ticks a second.")
@click.option("--seconds", default=15, show_default=True, help="How long.")
def main(sockets: tuple[int, ...], positions: tuple[int, ...], rate: int, seconds: int) -> None:
    """Measure and print one line of JSON for each number of sockets and positions."""
    os.environ["FAUST_LOOP"] = "uvloop"
    collect_rarely()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for size, held in product(sockets, positions):
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            broker = new_broker(Path(directory))
            try:
                figures = runner.run(
                    measure(broker, Path(directory), sockets=size, positions=held, rate=rate, seconds=seconds)
                )
            finally:
                broker.kill()
        click.echo(orjson.dumps(figures))


if __name__ == "__main__":
    main()
