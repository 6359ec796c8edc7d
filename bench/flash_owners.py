"""Owners of Flash Trade who are shown to somebody, some at 1 s and some at 100 ms, by one server process.

Prints how much of a processor the server took, its time a frame, and how late frames of metrics came to clients: after
the instant at which they would have come, had all come as early as the earliest. Instants without a frame are counted.
Server and crowd are a process each; tables are in memory, and marks move twice a second. What places cost in the log
of leases is not in it (``bench/leases.py``).
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import itertools
import pstats
import resource
import sys
import time
from typing import NamedTuple

import click
import uvloop
from aiohttp import web

from bench.load.crowd import Crowd
from bench.load.replica import CROWD_LIMITS
from streams.settings import ApiSettings
from tests.support.flash import MARKETS, NOW_MS, basket, position, text
from tests.support.flash_scene import FlashScene
from tests.support.pipeline import free_port

_MOVES_EVERY_S = 0.5
_PROFILED = 25
_VENUES_LIMIT = 10_000


def filled(owners: int, positions: int) -> FlashScene:
    """A replica with a basket for each owner."""
    scene = FlashScene(api=ApiSettings(limits=CROWD_LIMITS), pnl="venue")
    scene.list_markets()
    move(scene, 0)
    for owner in range(owners):
        held = [position(market) for market in list(MARKETS)[:positions]]
        scene.show(basket(*held, owner=text(f"owner {owner}")), text(f"owner {owner}"))
    return scene


def move(scene: FlashScene, times: int) -> None:
    """Move every mark."""
    for symbol, price in (("SOL", 150), ("USDC", 1), ("BTC", 60_000)):
        scene.mark(symbol, f"{price + times % 10 / 1_000:.3f}", NOW_MS + times)


async def serve(port: int, owners: int, positions: int, *, is_profiled: bool) -> None:
    """Serve; answer each line of stdin with the processor time used so far, in s, and at the end say the profile."""
    scene = filled(owners, positions)
    runner = web.AppRunner(scene.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1_000).start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    moving = asyncio.create_task(_moves(scene))
    click.echo("ready")
    profile = cProfile.Profile()
    while await reader.readline():
        click.echo(time.process_time())
        if is_profiled:
            profile.enable()
    moving.cancel()
    if is_profiled:
        profile.disable()
        said = io.StringIO()
        pstats.Stats(profile, stream=said).sort_stats("tottime").print_stats(_PROFILED)
        click.echo(said.getvalue(), err=True)


async def _moves(scene: FlashScene) -> None:
    times = 0
    while True:
        await asyncio.sleep(_MOVES_EVERY_S)
        times += 1
        move(scene, times)


class Client:
    """One socket, and when each of its frames of metrics came, in s."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_s = interval_ms / 1_000
        self.is_shown = asyncio.Event()
        self.came_s: list[float] = []

    def on_frame(self, payload: bytes, at_s: float) -> None:
        """Take a frame."""
        if payload.startswith(b'{"type":"metrics"'):
            self.came_s.append(at_s)
        else:
            self.is_shown.set()


class Lateness(NamedTuple):
    """How late frames were, in s, and how many instants had none."""

    late_s: list[float]
    missed: int


def lateness(client: Client, since_s: float) -> Lateness:
    """Hold a client's frames against the instants at which they would have come."""
    came_s = [at_s for at_s in client.came_s if at_s >= since_s]
    if not came_s:
        return Lateness([], 0)
    first_s, number, missed = came_s[0], 0, 0
    ahead_s = []
    for before_s, at_s in itertools.pairwise(came_s):
        steps = max(1, round((at_s - before_s) / client.interval_s))
        missed += steps - 1
        number += steps
        ahead_s.append(at_s - first_s - number * client.interval_s)
    earliest_s = min([0.0, *ahead_s])
    return Lateness([one - earliest_s for one in (0.0, *ahead_s)], missed)


def percentile_ms(late_s: list[float], part: float) -> float:
    """A percentile, in ms."""
    ordered = sorted(late_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1_000 if ordered else 0.0


class Load(NamedTuple):
    """How many owners are shown at which interval, and with how many sockets each."""

    slow: int
    fast: int
    sockets: int
    positions: int


async def refusal(port: int) -> str:
    """The head by which one more socket is refused."""
    try:
        await Crowd(port, f"/v2/owner/{text('one more')}/ws").open(lambda _payload, _at_s: None)
    except ConnectionError as refused:
        return str(refused).splitlines()[0]
    return "a socket"


async def measure(load: Load, seconds: float, *, is_profiled: bool) -> None:
    """Open all sockets, let them listen, and print a line for each interval."""
    port = free_port()
    owners = load.slow + load.fast
    command = ["-m", "bench.flash_owners", "--serve", str(port), "--owners", str(owners)]
    command += ["--positions", str(load.positions), *(["--profile"] if is_profiled else [])]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=pipe, stdout=pipe)
    assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - they are pipes
    await server.stdout.readline()

    async def so_far() -> tuple[float, float]:
        assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - as above
        server.stdin.write(b"\n")
        return time.perf_counter(), float(await server.stdout.readline())

    clients: list[Client] = []
    crowds: list[Crowd] = []

    async def open_(owner: int) -> None:
        interval_ms = 100 if owner < load.fast else 1_000
        crowd = Crowd(port, f"/v2/owner/{text(f'owner {owner}')}/ws?updateIntervalMs={interval_ms}")
        crowds.append(crowd)
        for _ in range(load.sockets):
            client = Client(interval_ms)
            await crowd.open(client.on_frame)
            await client.is_shown.wait()
            clients.append(client)

    try:
        began_s = time.perf_counter()
        # Handshakes of a few at a time, spread as those of people are.
        for first in range(0, owners, 25):
            await asyncio.gather(*map(open_, range(first, min(first + 25, owners))))
        opened_s = time.perf_counter() - began_s
        if len(clients) >= _VENUES_LIMIT:
            click.echo(f"one more is answered with {await refusal(port)}")
        await asyncio.sleep(1.5)
        before = await so_far()
        await asyncio.sleep(seconds)
        took_s, used_s = (after - first for after, first in zip(await so_far(), before, strict=True))
        frames = sum(sum(at_s >= before[0] for at_s in client.came_s) for client in clients)
        click.echo(
            f"owners={load.slow}+{load.fast} sockets={len(clients)} positions={load.positions} opened_s={opened_s:.1f} "
            f"frames_per_s={frames / took_s:.0f} processor={used_s / took_s:.2f} us_a_frame={used_s / frames * 1e6:.0f}"
        )
        for interval_s in (1.0, 0.1):
            found = [lateness(client, before[0]) for client in clients if client.interval_s == interval_s]
            late_s = [one for each in found for one in each.late_s]
            click.echo(
                f"  every {interval_s} s: frames={len(late_s)} missed={sum(each.missed for each in found)} "
                f"late p50_ms={percentile_ms(late_s, 0.5):.1f} p99_ms={percentile_ms(late_s, 0.99):.1f}"
            )
    finally:
        for crowd in crowds:
            crowd.close()
        server.stdin.close()
        await server.wait()


@click.command()
@click.option("--slow", default=1_000, show_default=True, help="Owners at 1 s.")
@click.option("--fast", default=200, show_default=True, help="Owners at 100 ms.")
@click.option("--sockets", default=1, show_default=True, help="Sockets of each owner.")
@click.option("--positions", default=2, show_default=True, type=click.IntRange(1, len(MARKETS)))
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--profile", "is_profiled", is_flag=True, help="Say where the server's time goes.")
@click.option("--owners", type=int, hidden=True)
@click.option("--serve", "port", type=int, hidden=True, help="Be the server.")
def main(
    *, slow: int, fast: int, sockets: int, positions: int, seconds: float, is_profiled: bool, owners: int, port: int
) -> None:
    """Measure and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if port:
            runner.run(serve(port, owners, positions, is_profiled=is_profiled))
        else:
            runner.run(measure(Load(slow, fast, sockets, positions), seconds, is_profiled=is_profiled))


if __name__ == "__main__":
    main()
