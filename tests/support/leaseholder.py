"""A replica in a process of its own that holds leases, so that it can be paused: see ``Leaseholder``.

As a program it reads lines ``hold OWNER UNITS`` and writes ``held N``, how many of them it got; it writes ``lost`` when
one is lost, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.leases import Limit
from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.settings import load_settings
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from streams.settings import Settings

ROOT = Path(__file__).parents[2]


class Leaseholder:
    """The process, as its parent sees it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lost = 0
        self._held: asyncio.Queue[int] = asyncio.Queue()

    async def hold(self, owner: str, units: int) -> int:
        """Claim so many leases of a unit each; tell how many were granted."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"hold {owner} {units}\n".encode())
        return await self._held.get()

    async def listen(self) -> None:
        """Take in what it says, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            word, _, number = line.decode().partition(" ")
            if word == "held":
                self._held.put_nowait(int(number))
            else:
                self.lost += 1


@asynccontextmanager
async def leaseholder(settings: Settings, limit: Limit, every_s: float) -> AsyncIterator[Leaseholder]:
    """A replica in a process of its own, for as long as the block lasts."""
    environment = os.environ | {
        "TIDEMARK_KAFKA": settings.bootstrap.servers,
        "TIDEMARK_TOPICS__PREFIX": settings.topics.prefix,
        "TIDEMARK_TOPICS__PARTITIONS": str(settings.topics.partitions),
    }
    said = (limit.name, str(limit.capacity), str(limit.ttl_ms), str(every_s))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.leaseholder", *said),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    holder = Leaseholder(process)
    listening = asyncio.create_task(holder.listen())
    try:
        yield holder
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


async def _run(limit: Limit, every_s: float) -> None:
    leases = Leases(load_settings(), SystemClock(), every_s)
    leases.start()
    await eventually(lambda: leases.is_up)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        _, owner, units = line.decode().split()
        held = [await leases.hold(limit, owner, lambda: _say("lost")) for _ in range(int(units))]
        _say(f"held {sum(lease is not None and not lease.is_local for lease in held)}")
    await leases.stop()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    name, capacity, ttl_ms, every_s = sys.argv[1:]
    asyncio.run(_run(Limit(name, int(capacity), int(ttl_ms)), float(every_s)))
