"""One hot account, thousands of sockets: processor time of the server a frame, beside a bare write of the same bytes.

Claim: at most 20 µs a frame with 5,000 sockets (each change of the account is encoded once). The server is a process of
its own over a table in memory; the crowd that reads is another. Medians of the rounds.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from itertools import count

import click
import uvloop

from api.delivery.connection import text_frame
from api.http.keys import CONNECTIONS
from bench.load.crowd import Crowd, subscribe
from bench.load.replica import listen, replica_over
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.pipeline import free_port

KEY = "main:0x" + "a" * 40
_CHANGES = 40
_EVERY_S = 0.5


async def serve(port: int) -> None:
    """Serve; on each line of stdin change the account so often, then print what a frame took."""
    tables = FakeTables("main")
    body = valuation_body()
    tables.valuations.put(KEY, 1, body)
    app = replica_over(tables)
    await listen(app, port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    versions = count(2)
    click.echo("ready")
    while line := (await reader.readline()).decode().strip():
        before_s = time.process_time()
        if line == "bare":
            open_ones = [outbox.connection for outbox in app[CONNECTIONS]._open]  # noqa: SLF001 - the floor
            frame = text_frame(b"[" + b"x" * 150 + b"]")
            for _ in range(_CHANGES):
                for connection in open_ones:
                    connection._transport.write(frame)  # type: ignore[union-attr]  # noqa: SLF001
                await asyncio.sleep(_EVERY_S)
        else:
            for _ in range(_CHANGES):
                version = next(versions)
                tables.valuations.put(KEY, version, {**body, "upnl": e18(f"{version}.5"), "equity": e18(str(version))})
                await asyncio.sleep(_EVERY_S)
        click.echo(time.process_time() - before_s)


async def measure(sockets: int, rounds: int) -> None:
    """Open the crowd, and let the server do its rounds."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.fanout",
        "--serve",
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - they are pipes
    await server.stdout.readline()
    crowd = Crowd(port)
    frames = 0

    def on_frame(_payload: bytes, _at_s: float) -> None:
        nonlocal frames
        frames += 1

    try:
        for batch in range(0, sockets, 500):
            opened = await asyncio.gather(*(crowd.open(on_frame) for _ in range(min(500, sockets - batch))))
            for socket in opened:
                socket.send(subscribe("valuations", KEY, 0))
        await asyncio.sleep(2)
        figures: dict[str, list[float]] = {"tidemark": [], "bare": []}
        for _ in range(rounds):
            for kind, values in figures.items():
                before = frames
                server.stdin.write(f"{kind}\n".encode())
                used_s = float(await server.stdout.readline())
                await asyncio.sleep(0.5)
                # Heartbeats are frames too, or ride in one.
                if frames - before < sockets * _CHANGES:
                    msg = f"expected {sockets * _CHANGES} frames at the clients, found {frames - before}"
                    raise click.ClickException(msg)
                values.append(used_s / (frames - before) * 1e6)
        medians = {kind: statistics.median(values) for kind, values in figures.items()}
        ratio = medians["tidemark"] / medians["bare"]
        click.echo(
            f"sockets={sockets} rounds={rounds} us_a_frame={medians['tidemark']:.1f} "
            f"bare_write_us={medians['bare']:.1f} ratio={ratio:.2f}"
        )
    finally:
        crowd.close()
        server.kill()
        await server.wait()


@click.command()
@click.option("--sockets", default=5_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--serve", "port", type=int, hidden=True, help="Be the server.")
def main(sockets: int, rounds: int, port: int | None) -> None:
    """Measure and print a line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(sockets, rounds) if port is None else serve(port))


if __name__ == "__main__":
    main()
