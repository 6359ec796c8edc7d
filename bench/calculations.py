"""A thousand users of the Bitfinex websocket who ask for eight calculations a second each, of one server process.

Prints how much of a processor the server took, its time a calculation, and how long an answer took; beside these, what
the official server's own limits would allow. Server and crowd are a process each; tables are in memory and marks move.
What each second of a user costs in the log of leases is not in it (``bench/leases.py``).
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import uvloop
from aiohttp import web

from api.dialects.bitfinex.api_keys import ApiKey
from bench.load.crowd import Crowd, Socket
from bench.load.replica import CROWD_LIMITS
from models.money import E18
from streams.settings import ApiSettings
from tests.support.bitfinex import LEDGER, SECRET, Scene, signed
from tests.support.ledger import holdings, position, wallet
from tests.support.pipeline import free_port

# What the venue says of itself: 8 calculations a second a client, 30 of them in a message.
_A_SECOND = 8
_BASES = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "TRX", "UNI", "XLM", "ZEC", "FIL")
_SYMBOLS = tuple(f"t{base}USD" for base in _BASES)
_SETTINGS = (
    '{{"v":1,"price":"{0}","close_fee":"0.002","tiers":[{{"up_to":"1000000","initial":"0.2","maintenance":"0.15"}},'
    '{{"initial":"0.3","maintenance":"0.2"}}]}}'
)
_TICKS_EVERY_S = 1.0
_CALCULATED = (b'[0,"pu"', b'[0,"miu"', b'[0,"wu"', b'[0,"bu"', b'[0,"fiu"')


def asked(symbols: tuple[str, ...]) -> bytes:
    """One message of eight calculations: positions, and what concerns the account as a whole."""
    whole = ("margin_base", "balance", "wallet_margin_USD", "wallet_margin_BTC", f"margin_sym_{symbols[0]}")
    positions = [f"position_{symbol}" for symbol in symbols][: _A_SECOND - len(whole)]
    others = [f"margin_sym_{symbol}" for symbol in _SYMBOLS[1:]][: _A_SECOND - len(whole) - len(positions)]
    return json.dumps([0, "calc", None, [[key] for key in (*whole, *positions, *others)]]).encode()


def filled(directory: Path, users: int, positions: int) -> Scene:
    """A replica with an account and a key for each user."""
    # With room for no more than they ask for, users would wait for their next second, and that would be measured.
    scene = Scene(directory, calculations_per_s=2 * _A_SECOND)
    scene.api = ApiSettings(limits=CROWD_LIMITS)
    scene.hold(**{f"k{user}": ApiKey(SECRET, f"u{user}", (f"{LEDGER}:u{user}",)) for user in range(users)})
    for symbol in _SYMBOLS:
        scene.ledger.refer(f"symbol:{symbol}", _SETTINGS.format(symbol))
    scene.ledger.refer("currency:BTC", '{"v":1,"path":["tBTCUSD"]}')
    tick(scene, 0)
    for user in range(users):
        held = [position(f"{0.1 * (user % 7 + 1):.1f}", f"{90 + user % 20}", one) for one in _SYMBOLS[:positions]]
        account = holdings(wallet("100000"), wallet("0.5", "BTC"), *held)
        scene.ledger.show(account, account=f"{LEDGER}:u{user}")
    return scene


def tick(scene: Scene, second: int) -> None:
    """Move every mark."""
    for number, symbol in enumerate(_SYMBOLS):
        scene.ledger.mark(symbol, (100 + number + second % 10) * E18 + second)


async def serve(port: int, users: int, positions: int) -> None:
    """Serve; answer each line of stdin with the processor time used so far, in s."""
    with tempfile.TemporaryDirectory() as directory:
        scene = filled(Path(directory), users, positions)
        runner = web.AppRunner(scene.app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1_000).start()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        ticking = asyncio.create_task(_ticks(scene))
        click.echo("ready")
        while await reader.readline():
            click.echo(time.process_time())
        ticking.cancel()


async def _ticks(scene: Scene) -> None:
    second = 0
    while True:
        await asyncio.sleep(_TICKS_EVERY_S)
        second += 1
        tick(scene, second)


class User:
    """One client: how long each of its answers took, in s."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self.is_in = asyncio.Event()
        self.took_s: list[float] = []
        self._sent_s: list[float] = []

    def on_frame(self, payload: bytes, at_s: float) -> None:
        """Take a frame; answers come in the order of what was asked."""
        if payload.startswith(_CALCULATED) and self._sent_s:
            self.took_s.append(at_s - self._sent_s[len(self.took_s) // _A_SECOND])
        elif payload.startswith(b'[0,"fls"'):
            self.is_in.set()

    async def log_in(self, crowd: Crowd, number: int) -> None:
        """Connect, and wait for the snapshots."""
        self.socket = await crowd.open(self.on_frame)
        self.socket.send(json.dumps(signed(1, key=f"k{number}")).encode())
        await self.is_in.wait()

    async def ask(self, message: bytes, first_s: float) -> None:
        """Ask each second, for the first time after so many seconds, until it is cancelled."""
        assert self.socket is not None  # noqa: S101 - it is logged in
        next_s = time.perf_counter() + first_s
        while True:
            await asyncio.sleep(next_s - time.perf_counter())
            self._sent_s.append(time.perf_counter())
            self.socket.send(message)
            next_s += 1.0


async def measure(users: int, positions: int, seconds: float) -> None:
    """Log all users in, let them ask, and print a line."""
    port = free_port()
    command = ("-m", "bench.calculations", "--serve", str(port), "--users", str(users), "--positions", str(positions))
    server = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - they are pipes
    await server.stdout.readline()
    everyone = [User() for _ in range(users)]

    async def so_far() -> tuple[float, float, int]:
        assert server.stdin is not None and server.stdout is not None  # noqa: S101, PT018 - as above
        server.stdin.write(b"\n")
        used_s = float(await server.stdout.readline())
        return time.perf_counter(), used_s, sum(len(user.took_s) for user in everyone)

    crowd = Crowd(port, "/ws/2")
    try:
        await asyncio.gather(*(user.log_in(crowd, number) for number, user in enumerate(everyone)))
        message = asked(_SYMBOLS[:positions])
        asking = [asyncio.create_task(user.ask(message, at / users)) for at, user in enumerate(everyone)]
        # From then on everybody asks.
        await asyncio.sleep(1.5)
        before = await so_far()
        await asyncio.sleep(seconds)
        took_s, used_s, answers = (after - first for after, first in zip(await so_far(), before, strict=True))
        for task in asking:
            task.cancel()
        took_ms = sorted(one * 1_000 for user in everyone for one in user.took_s)
        click.echo(
            f"users={users} positions={positions} calculations_per_s={answers / took_s:.0f} "
            f"official_limit_per_s={users * _A_SECOND} processor={used_s / took_s:.2f} "
            f"us_a_calculation={used_s / answers * 1e6:.0f} "
            f"p50_ms={statistics.median(took_ms):.1f} p99_ms={took_ms[len(took_ms) * 99 // 100]:.1f}"
        )
    finally:
        crowd.close()
        server.kill()
        await server.wait()


@click.command()
@click.option("--users", default=1_000, show_default=True)
@click.option("--positions", default=1, show_default=True, type=click.IntRange(1, len(_SYMBOLS)))
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--serve", "port", type=int, hidden=True, help="Be the server.")
def main(users: int, positions: int, seconds: float, port: int | None) -> None:
    """Measure and print a line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(users, positions, seconds) if port is None else serve(port, users, positions))


if __name__ == "__main__":
    main()
