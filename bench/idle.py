"""What an open socket of ``/v1/ws`` costs the server in memory: idle, and subscribed to an account of its own.

Claim: 10,000 idle sockets take at most 20 KiB each. The server is a process of its own over a table in memory; beside
it, in the same run, what a bare websocket of aiohttp costs that is accepted and read from.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import TYPE_CHECKING

import click
import uvloop
from aiohttp import web

from api.access.gate import Door, Public
from api.http.keys import GATE
from bench.growth import resident_mib
from bench.load.crowd import Crowd, subscribe
from bench.load.replica import listen, replica_over
from tests.support.feed import FakeTables, valuation_body
from tests.support.pipeline import free_port

if TYPE_CHECKING:
    from bench.load.crowd import Socket

_AT_ONCE = 500


def key(number: int) -> str:
    """An account."""
    return f"main:0x{number:040x}"


async def _bare(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=20, compress=False)
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def serve(port: int, accounts: int) -> None:
    """Serve until killed."""
    tables = FakeTables("main")
    for number in range(accounts):
        tables.valuations.put(key(number), 1, valuation_body())
    app = replica_over(tables)
    app[GATE].mount(app, [Door(web.get("/bare", _bare), Public())])
    await listen(app, port)
    click.echo("ready")
    await asyncio.Event().wait()


async def measure(sockets: int) -> None:
    """Each kind in a server of its own."""
    figures: dict[str, float] = {}
    for name, path, subscribes in (("bare", "/bare", False), ("idle", "/v1/ws", False), ("account", "/v1/ws", True)):
        port = free_port()
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.idle", "--serve", str(port), "--sockets", str(sockets),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        await server.stdout.readline()
        crowd = Crowd(port, path)
        try:
            # What the first ones bring into memory is no socket's.
            await _open(crowd, 200, subscribes=subscribes)
            before_mib = resident_mib(server.pid)
            await _open(crowd, sockets, subscribes=subscribes)
            await asyncio.sleep(6)
            figures[f"{name}_kib"] = round((resident_mib(server.pid) - before_mib) * 1024 / (sockets - 200), 1)
        finally:
            crowd.close()
            server.kill()
            await server.wait()
    click.echo(json.dumps({"sockets": sockets, **figures}))


async def _open(crowd: Crowd, number: int, *, subscribes: bool) -> None:
    for begin in range(len(crowd.sockets), number, _AT_ONCE):
        numbers = range(begin, min(number, begin + _AT_ONCE))
        opened: list[Socket] = await asyncio.gather(*(crowd.open(lambda *_: None) for _ in numbers))
        for at, socket in zip(numbers, opened, strict=True):
            if subscribes:
                socket.send(subscribe("account", key(at), 100))


@click.command()
@click.option("--sockets", default=10_000, show_default=True)
@click.option("--serve", "port", type=int, hidden=True, help="Be the server.")
def main(sockets: int, port: int | None) -> None:
    """Measure and print a line of JSON."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(sockets) if port is None else serve(port, sockets))


if __name__ == "__main__":
    main()
