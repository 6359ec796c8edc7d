"""What limits over replicas cost, and by how much they are overshot: replicas on a real broker, with the usual times.

Prints: how long an admission and a refusal take; how many of the last slots are given away when replicas race for them;
by how much an owner is over its limit when a replica was paused past its leases, and for how long after it wakes up;
what it costs a replica to hold leases of many owners, and another to read of it.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.leases import LEASE_EVERY_S, Limit
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from tests.support.broker import running_kafka, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.leaseholder import leaseholder
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings import Settings

LIMIT = Limit("connections", 20)
ADMISSIONS = 500
OWNERS = 200
REPLICAS = 4
HELD_OWNERS = 10_000
_HOLDING_AT_ONCE = 500
_PERIODS = 2


def _nothing() -> None:
    """A lease that is lost is seen by what is held."""


@asynccontextmanager
async def _replica(settings: Settings) -> AsyncIterator[Leases]:
    leases = Leases(settings, SystemClock())
    leases.start()
    await eventually(lambda: leases.is_up)
    try:
        yield leases
    finally:
        await leases.stop()


async def _latency(settings: Settings) -> None:
    async with _replica(settings) as one, _replica(settings):
        admitted_ms, refused_us = [], []
        for number in range(ADMISSIONS):
            begun_s = time.perf_counter()
            lease = await one.hold(LIMIT, f"latency-{number}", _nothing, LIMIT.capacity)
            admitted_ms.append((time.perf_counter() - begun_s) * 1e3)
            if lease is None or lease.is_local:
                msg = f"expected the log to grant a lease to who has none, found {lease}"
                raise click.ClickException(msg)
            begun_s = time.perf_counter()
            await one.hold(LIMIT, f"latency-{number}", _nothing)
            refused_us.append((time.perf_counter() - begun_s) * 1e6)
    cuts = statistics.quantiles(admitted_ms, n=100)
    print(
        f"admission: p50 {cuts[49]:.1f} ms, p90 {cuts[89]:.1f} ms, p99 {cuts[98]:.1f} ms, one at a time; "
        f"refusal of who is known to be at the limit: p50 {statistics.median(refused_us):.0f} µs"
    )


async def _race(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(_replica(settings)) for _ in range(REPLICAS)]
        begun_s = time.perf_counter()
        over = under = 0
        for number in range(OWNERS):
            owner = f"race-{number}"
            got = await asyncio.gather(*(one.hold(LIMIT, owner, _nothing) for one in replicas * LIMIT.capacity))
            granted = sum(lease is not None for lease in got)
            over = max(over, granted - LIMIT.capacity)
            under = max(under, LIMIT.capacity - granted)
        took_s = time.perf_counter() - begun_s
    asked = OWNERS * REPLICAS * LIMIT.capacity
    print(
        f"race: {REPLICAS} replicas ask for {LIMIT.capacity} of {LIMIT.capacity} each, {OWNERS} owners: "
        f"overshoot {over}, slots left {under}, {asked / took_s:,.0f} claims/s"
    )


async def _pause(settings: Settings) -> None:
    most = LIMIT.capacity
    async with leaseholder(settings, LIMIT, LEASE_EVERY_S) as paused, _replica(settings) as other:
        held = await paused.hold("pause", most)
        paused.process.send_signal(signal.SIGSTOP)
        begun_s = time.perf_counter()
        taken = 0
        while taken < most:
            if await other.hold(LIMIT, "pause", _nothing) is None:
                await asyncio.sleep(0.02)
            elif (taken := taken + 1) == 1:
                print(f"pause: its slots are free after {time.perf_counter() - begun_s:.1f} s")
        paused.process.send_signal(signal.SIGCONT)
        begun_s = time.perf_counter()
        await eventually(lambda: paused.lost == held)
        print(
            f"pause: {held} held by who slept, {taken} by others, of {most}: overshoot {held + taken - most}; "
            f"back at the limit {(time.perf_counter() - begun_s) * 1e3:.0f} ms after it woke up"
        )


async def _cost(settings: Settings) -> None:
    async with _replica(settings) as one:
        for first in range(0, HELD_OWNERS, _HOLDING_AT_ONCE):
            owners = range(first, first + _HOLDING_AT_ONCE)
            await asyncio.gather(*(one.hold(LIMIT, f"cost-{number}", _nothing) for number in owners))
        begun_s = time.process_time()
        await asyncio.sleep(_PERIODS * LEASE_EVERY_S)
        alone_s = time.process_time() - begun_s
        async with _replica(settings):
            begun_s = time.process_time()
            await asyncio.sleep(_PERIODS * LEASE_EVERY_S)
            both_s = time.process_time() - begun_s
    share = 100 / (_PERIODS * LEASE_EVERY_S)
    print(
        f"cost: {HELD_OWNERS:,} owners held: {alone_s * share:.1f} % of a core to hold them, "
        f"{(both_s - alone_s) * share:.1f} % at each other replica to read of it"
    )


async def _run(settings: Settings) -> None:
    await create_all(settings)
    for part in (_latency, _race, _pause, _cost):
        await part(settings)


@click.command
def main() -> None:
    """Measure leases on a broker of its own, or on the one TIDEMARK_KAFKA names."""
    with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as scratch:
        asyncio.run(_run(settings_of_a_test(bootstrap, Path(scratch))))


if __name__ == "__main__":
    main()
