"""What sockets cost: the whole stack on this machine, each ``upnl-ws`` socket watching an account of its own.

One worker, one api, 500 ticks/s over 500 markets. For each number of sockets: resident memory of the api with the
feeds read and no socket, and what each socket adds; processor time of api and worker; frames that came a second,
beside those that should have come: each socket gets one every 2 s. Prints one line a number.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import click

from bench.growth import resident_mib, send_ticks
from bench.load.processes import processor_s
from bench.load.replica import stack_settings
from bench.load.rows import address, lay_out
from models.engine.tables import VALUATIONS
from streams.kafka.topics import changelog_name, create_topics, registry
from tests.support.broker import running_kafka
from tests.support.eventually import eventually
from tests.support.pipeline import end_offset, worker
from tests.support.server import api_process

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNTS = 10_000
POSITIONS = 4
SYMBOLS = 500
PARTITIONS = 8
# A handshake takes the api about 1 ms; fewer at a time only lengthen the bench.
_CONNECTING_AT_ONCE = 50
_INTERVAL_S = 2


class Crowd:
    """Sockets that count the frames they get."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url
        self._tasks: list[asyncio.Task[None]] = []
        self._gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
        self.open = 0
        self.frames = 0

    def grow(self, number: int) -> None:
        """Open sockets until there are so many."""
        for at in range(len(self._tasks), number):
            self._tasks.append(asyncio.create_task(self._follow(address(at % ACCOUNTS + 1))))

    async def _follow(self, account: str) -> None:
        async with self._gate:
            socket = await self._client.ws_connect(self._url)
            await socket.send_str(account)
            await socket.receive()
            self.open += 1
        async for _ in socket:
            self.frames += 1

    async def leave(self) -> None:
        """Close all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


async def measure(bootstrap: str, directory: Path, sockets: Sequence[int], rate: int, seconds: int) -> None:
    """Every number of sockets, in order."""
    settings = stack_settings(bootstrap, directory, PARTITIONS)
    await create_topics(settings.bootstrap, registry(settings))
    await lay_out(settings, ACCOUNTS, POSITIONS, SYMBOLS)
    url = f"http://127.0.0.1:{settings.api.port}"
    async with (
        worker(settings, python=sys.executable) as process,
        api_process(settings, sys.executable) as api,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
    ):
        await process.ready(60)

        async def valued() -> bool:
            return await end_offset(settings, changelog_name(settings, VALUATIONS)) >= ACCOUNTS

        await eventually(valued, 120)

        async def serves() -> bool:
            try:
                async with client.get(f"{url}/partyA_upnl/{address(1)}") as answer:
                    return answer.ok
            except aiohttp.ClientError:
                return False

        await eventually(serves, 60)
        crowd = Crowd(client, f"{url}/upnl-ws")
        alone_mib = resident_mib(api.pid)
        click.echo(f"api with {ACCOUNTS} accounts and no socket: {alone_mib:.0f} MiB")
        for number in sockets:
            crowd.grow(number)
            await eventually(lambda number=number: crowd.open == number, 300)  # type: ignore[misc]
            connected_mib = resident_mib(api.pid)
            before = crowd.frames, processor_s(api.pid), processor_s(process.process.pid), time.perf_counter()
            await send_ticks(settings, rate, seconds)
            took_s = time.perf_counter() - before[3]
            figures: dict[str, Any] = {
                "sockets": number,
                "kib_a_socket": round((connected_mib - alone_mib) * 1024 / number, 1) if number else None,
                "api_processor_share": round((processor_s(api.pid) - before[1]) / took_s, 2),
                "worker_processor_share": round((processor_s(process.process.pid) - before[2]) / took_s, 2),
                "frames_per_s": round((crowd.frames - before[0]) / took_s),
                "frames_due_per_s": number // _INTERVAL_S,
                "api_resident_mib": round(resident_mib(api.pid)),
            }
            click.echo(" ".join(f"{name}={value}" for name, value in figures.items()))
        await crowd.leave()


@click.command()
@click.option("--sockets", multiple=True, type=int, default=(0, 1_000, 10_000), show_default=True)
@click.option("--rate", default=500, show_default=True, help="Ticks a second.")
@click.option("--seconds", default=10, show_default=True, help="How long.")
def main(sockets: tuple[int, ...], rate: int, seconds: int) -> None:
    """Measure and print a line for each number of sockets."""
    os.environ["FAUST_LOOP"] = "uvloop"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if max(sockets) + 1_000 > hard:
        msg = f"expected room for {max(sockets)} open files in each process, found {soft}, {hard} at most: ulimit -Hn"
        raise click.ClickException(msg)
    with running_kafka() as bootstrap, tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(bootstrap, Path(directory), sockets, rate, seconds))


if __name__ == "__main__":
    main()
