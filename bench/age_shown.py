"""How old is what sockets show as ticks become more, with the product on one core and whoever asks it on the other.

Broker, worker and one api replica are pinned to one core; to another the process that sends ticks, in an open loop, and
the one that has the sockets, one of ``/v1/ws`` for each account (``interval_ms`` 0). At each rate: the age of what is
shown, sampled by time (``bench/load/watching_crowd.py``), the cores that each process takes, and the requests to the
broker a second. Then straight lines through the rates: cores a process takes whatever is sent, and µs a tick on top.

A rate does not count where sender or crowd waited for a processor for more than a fifth of the time in which they were
ready: then it was measured how late they were. Prints one line of JSON a rate, and one of the fits.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import click
import numpy as np
import orjson
import uvloop

from bench.load.processes import WAITING_SHARE_MAX, Taken
from bench.load.replica import stack_settings
from bench.load.requests import requests_sent
from bench.load.rows import lay_out
from bench.load.tick_sender import SYMBOLS, Round
from streams.kafka.topics import PRICE_TICKS, create_topics, registry, topic_name
from tests.support.broker import new_broker
from tests.support.eventually import eventually
from tests.support.pipeline import worker
from tests.support.server import answers, api_process
from tidemark.child_processes import tied_to_us

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tidemark.broker import Broker

PARTITIONS = 8
# A broker's JVM compiles for some 10 s what it does all the time.
_WARM_UP_S = 15
_SETTLES_S = 3
_SOON_S = 0.5
_READY_WITHIN_S = 300
_RATES = (50, 125, 250, 375, 500)


class Stack(NamedTuple):
    """What runs: the product on one core, sender and crowd on the other."""

    sender: Process
    crowd: Process
    pids: Mapping[str, int]
    admin_ports: Sequence[int]


@asynccontextmanager
async def _stack(
    broker: Broker, bootstrap: str, directory: Path, *, sockets: int, positions: int
) -> AsyncIterator[Stack]:
    product, others = sorted(os.sched_getaffinity(0))[:2]
    settings = stack_settings(bootstrap, directory, PARTITIONS)
    await create_topics(settings.bootstrap, registry(settings))
    await lay_out(settings, sockets, positions, SYMBOLS)
    async with AsyncExitStack() as running:
        # What is started has the core of whoever starts it.
        os.sched_setaffinity(0, {product})
        valuing = await running.enter_async_context(worker(settings, python=sys.executable))
        serving = await running.enter_async_context(api_process(settings, sys.executable))
        os.sched_setaffinity(0, {others})
        await valuing.ready(_READY_WITHIN_S)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.api.port}") as client:
            await eventually(lambda: answers(client, "/readyz", 200), _READY_WITHIN_S)
        sender = await running.enter_async_context(
            _process("tick_sender", bootstrap, topic_name(settings, PRICE_TICKS))
        )
        crowd = await running.enter_async_context(
            _process("watching_crowd", str(settings.api.port), str(sockets), str(positions))
        )
        await _said(crowd)
        pids = {"worker": valuing.process.pid, "api": serving.pid, "broker": broker.pid or 0}
        pids |= {"sender": sender.pid, "crowd": crowd.pid}
        yield Stack(sender, crowd, pids, (settings.api.admin_port, valuing.admin_port))


async def measured(stack: Stack, told: Round) -> dict[str, Any]:
    """Send ticks at one rate; what was shown, and what that took."""
    before, asked = {name: Taken.by(pid) for name, pid in stack.pids.items()}, await _asked(stack)
    began_s = time.monotonic()
    shown = await _both(stack, told)
    took_s = time.monotonic() - began_s
    taken = {name: Taken.by(pid).since(before[name]) for name, pid in stack.pids.items()}
    return {
        "ticks_per_s": told.rate,
        **shown,
        "cores": {name: round(one.worked_s / took_s, 3) for name, one in taken.items()},
        "requests_per_s": round((await _asked(stack) - asked) / took_s),
        "counts": all(taken[name].waiting_share <= WAITING_SHARE_MAX for name in ("sender", "crowd")),
    }


async def at_all(stack: Stack, rates: Sequence[int], seconds: int) -> list[dict[str, Any]]:
    """Measure one rate after the other, each after some seconds of it."""
    lines: list[dict[str, Any]] = []
    first = 0
    for rate in rates:
        settles = Round(first, rate, _SETTLES_S if lines else _WARM_UP_S, time.monotonic() + _SOON_S)
        await _both(stack, settles)
        told = Round(settles.next_first, rate, seconds, time.monotonic() + _SOON_S)
        lines.append(await measured(stack, told))
        first = told.next_first
        click.echo(orjson.dumps(lines[-1]))
    return lines


async def _asked(stack: Stack) -> int:
    return sum([sum((await requests_sent(port)).values()) for port in stack.admin_ports])


async def _both(stack: Stack, told: Round) -> dict[str, Any]:
    """Let both begin at one instant; what the crowd has seen."""
    for process in (stack.sender, stack.crowd):
        if process.stdin is not None:
            process.stdin.write(told.line)
    seen: dict[str, Any] = orjson.loads(await _said(stack.crowd))
    await _said(stack.sender)
    return seen


async def _said(process: Process) -> bytes:
    line = b"" if process.stdout is None else await process.stdout.readline()
    if not line:
        msg = f"expected process {process.pid} to go on, found it ended with {await process.wait()}"
        raise RuntimeError(msg)
    return line


@asynccontextmanager
async def _process(module: str, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *tied_to_us([sys.executable, "-m", f"bench.load.{module}", *arguments]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def fitted(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Cores that each process takes whatever is sent, and µs for each tick on top, by the least squares."""
    rates = [line["ticks_per_s"] for line in lines]
    fits = {}
    for name in lines[0]["cores"]:
        slope, cores = np.polyfit(rates, [line["cores"][name] for line in lines], 1)
        fits[name] = {"cores": round(float(cores), 3), "us_a_tick": round(float(slope) * 1e6, 1)}
    return fits


@click.command()
@click.option("--sockets", default=10_000, show_default=True, help="And accounts.")
@click.option("--positions", default=4, show_default=True, help="Of each account.")
@click.option("--rate", "rates", multiple=True, type=int, default=_RATES, show_default=True, help="Ticks a second.")
@click.option("--seconds", default=15, show_default=True, help="How long at each rate.")
def main(sockets: int, positions: int, rates: tuple[int, ...], seconds: int) -> None:
    """Measure and print."""
    os.environ["FAUST_LOOP"] = "uvloop"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        broker, own = new_broker(Path(directory)), os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(own)})
        try:
            bootstrap = broker.start()
            os.sched_setaffinity(0, own)

            async def run() -> list[dict[str, Any]]:
                async with _stack(broker, bootstrap, Path(directory), sockets=sockets, positions=positions) as stack:
                    return await at_all(stack, rates, seconds)

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                lines = runner.run(run())
        finally:
            broker.kill()
    if len(lines) > 1:
        click.echo(orjson.dumps(fitted(lines)))


if __name__ == "__main__":
    main()
