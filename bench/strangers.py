"""An honest client of a replica under all that strangers can send: what that costs it.

Claim: p99 of ``/healthz`` and of the frames of ``/v1/ws`` is at most three times what it is without strangers. The
rounds alternate: nobody else; strangers. These send, all at once and for the whole round: gzip bombs, half a request a
byte a second, connections on which nothing comes, 1.2 MB/s of addresses on one ``upnl-ws``, four times the requests
that each address may send, and paths and bytes that are none. Server, strangers and the honest client are a process
each; the server has its default limits and a table in memory. The strangers' process is the last that the scheduler
gives time to, for on one machine it would else take the honest client's, which no server can help.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
import zlib
from contextlib import suppress
from itertools import chain, count, cycle
from typing import TYPE_CHECKING

import click
import orjson
import uvloop
from aiohttp import web

from api.app import create_app
from api.http.listening import BoundedRunner, public_door
from bench.growth import resident_mib
from bench.load.crowd import Crowd, Socket, masked, subscribe
from bench.load.processes import processor_s
from streams.process.clock import SystemClock
from streams.process.garbage import collect_rarely
from tests.support.api import FakeInterest, api_settings, symmio_that_hears
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.pipeline import free_port
from tests.support.solver import put_instrument, put_mark, put_market

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

HOT = "main:0x" + "a" * 40
ACCOUNTS = 1_000
MARKETS = 300
_EVERY_S = 0.05
_SOCKETS = 10
_ASK_EVERY_S = 0.02
_ASKING = 4
_WARM_S = 2.0
# Every address of 127.0.0.0/8 is this machine, and each has limits of its own.
_HONEST = "127.0.0.1"
_STRANGERS = tuple(f"127.0.0.{number}" for number in range(2, 6))
_RATE_OF_ADDRESS = 200
_BOMB_BYTES = 200 * 1024 * 1024
_BOMBS_A_S = 10
_HALF_SENT = 80
_IDLE = 160
_ADDRESSES_BYTES_PER_S = 1_200_000
_ODD_A_S = 50
_SENDING_MAX = 200
_PIECE_S = 0.02
_AGAIN_S = 0.5
_READ_BYTES = 65_536

KINDS = ("bombs", "half_sent", "idle", "addresses_bytes", "requests", "odd")
FLOOD = ("/v1/accounts?limit=1000", "/v1/positions?limit=1000", "/v1/status", "/v1/markets", "/contract-symbols")
ODD = (
    b"GET /dashboard/" + b"a" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /instant_open/../admin/keys HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /instant_open/%2e%2e/admin%2fkeys HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%00%0a%0d%1b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /ingest/whitelist HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n",
)


async def serve(port: int) -> None:
    """Serve; the hot account changes for ever, and says when in its equity, in µs."""
    tables = FakeTables("main")
    for number in range(ACCOUNTS):
        tables.valuations.put(f"main:0x{number:040x}", 1, valuation_body())
    for number in range(1, MARKETS + 1):
        put_market(tables, number, f"S{number}USDT", of="main")
        put_mark(tables, f"S{number}USDT", "100", rate="0.0001")
        put_instrument(tables, f"S{number}USDT")
    # As in a replica's own process.
    collect_rarely()
    app = create_app(
        api_settings("main"), tables.feeds, FakeInterest(), clock=SystemClock(), find_dialect=symmio_that_hears()
    )
    runner = BoundedRunner(app, public_door(app), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1_000).start()
    # A site has one address; the strangers connect to the same one, from others.
    click.echo("ready")
    version = 1
    while True:
        version += 1
        tables.valuations.put(HOT, version, valuation_body(equity=e18(str(time.perf_counter_ns() // 1000))))
        await asyncio.sleep(_EVERY_S)


class Honest:
    """The client whose waits are measured, in ms."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.health_ms: list[float] = []
        self.frames_ms: list[float] = []

    def on_frame(self, payload: bytes, now_s: float) -> None:
        """Read off when the change was made."""
        for message in orjson.loads(payload):
            if message["type"] == "delta" and "equity" in message["data"]:
                self.frames_ms.append((now_s - int(message["data"]["equity"]) / 1e6) * 1000)

    async def ask_for_health(self) -> None:
        """Ask again and again on one connection, as long after each answer."""
        reader, writer = await asyncio.open_connection(_HONEST, self._port)
        while True:
            await asyncio.sleep(_ASK_EVERY_S)
            began_s = time.perf_counter()
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                msg = f"expected 200 of /healthz, found {head[:40]!r}"
                raise ConnectionError(msg)
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            self.health_ms.append((time.perf_counter() - began_s) * 1000)

    async def measure(self, seconds: float) -> tuple[float, float]:
        """p99 of health and of frames."""
        crowd = Crowd(self._port)
        for _ in range(_SOCKETS):
            socket = await crowd.open(self.on_frame)
            socket.send(subscribe("account", HOT, 0))
        asking = [asyncio.create_task(self.ask_for_health()) for _ in range(_ASKING)]
        try:
            await asyncio.sleep(_WARM_S)
            self.health_ms.clear()
            self.frames_ms.clear()
            await asyncio.sleep(seconds)
            for one in asking:
                if one.done():
                    one.result()
        finally:
            for one in asking:
                one.cancel()
            crowd.close()
        return _p99(self.health_ms), _p99(self.frames_ms)


class Strangers:
    """All that strangers send, each kind from every one of their addresses.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._sending: set[asyncio.Task[None]] = set()
        self.did = dict.fromkeys((*KINDS, "refused"), 0)

    async def attack(self, seconds: float, kinds: Sequence[str]) -> None:
        """Do all of it at once, for so long, and then end.

        Args:
            seconds: For how long.
            kinds: Which of ``KINDS``.
        """
        bomb = _bomb()
        os.nice(19)
        click.echo("ready")
        works = {
            "half_sent": [self._again(self._half_send, number) for number in range(_HALF_SENT)],
            "idle": [self._again(self._rest, number) for number in range(_IDLE)],
            "requests": [self._flood(address) for address in _STRANGERS],
            "bombs": [self._send_bombs(bomb)],
            "addresses_bytes": [self._again(self._send_addresses, 0)],
            "odd": [self._send_odd()],
        }
        tasks = [asyncio.create_task(one) for kind in kinds for one in works.pop(kind)]
        for one in chain.from_iterable(works.values()):
            one.close()
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task.exception() for task in tasks if task.done()]
        for task in (*tasks, *self._sending):
            task.cancel()
        await asyncio.gather(*tasks, *self._sending, return_exceptions=True)
        if failed:
            msg = f"expected strangers to go on until their time is over, found {failed[0]!r}"
            raise RuntimeError(msg)

    async def _again(self, act: Callable[[str], Awaitable[None]], number: int) -> None:
        """Do something again whenever the server ends it, from one address after another."""
        for at in count(number):
            address = _STRANGERS[at % len(_STRANGERS)]
            with suppress(OSError, asyncio.IncompleteReadError):
                await act(address)
            await asyncio.sleep(_AGAIN_S)

    async def _open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(_HONEST, self._port, local_addr=(address, 0))

    async def _half_send(self, address: str) -> None:
        reader, writer = await self._open(address)
        self.did["half_sent"] += 1
        try:
            writer.write(b"GET /v1/accounts HTTP/1.1\r\nHost: ")
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
        finally:
            writer.close()

    async def _rest(self, address: str) -> None:
        reader, writer = await self._open(address)
        self.did["idle"] += 1
        try:
            await reader.read(1)
        finally:
            writer.close()

    async def _send_addresses(self, address: str) -> None:
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda: Socket("/upnl-ws", lambda _payload, _now_s: None), _HONEST, self._port, local_addr=(address, 0)
        )
        await socket.opened
        transport = socket.transport
        assert transport is not None  # noqa: S101 - it has been opened
        frames = [masked(f"0x{number:040x}".encode()) for number in range(ACCOUNTS)]
        piece = b"".join(frames)
        pieces_a_s = _ADDRESSES_BYTES_PER_S / len(piece)
        try:
            while not transport.is_closing():
                # A server that does not read is not waited for with more than a second's worth.
                if transport.get_write_buffer_size() < _ADDRESSES_BYTES_PER_S:
                    transport.write(piece)
                    self.did["addresses_bytes"] += len(piece)
                await asyncio.sleep(1 / pieces_a_s)
        finally:
            transport.abort()

    def _send_soon(self, kind: str, address: str, sent: bytes) -> None:
        """Send bytes beside whatever else is sent, unless too many of their kind still wait for an answer."""
        if len(self._sending) < _SENDING_MAX:
            self.did[kind] += 1
            sending = asyncio.create_task(self._send(address, sent))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send_bombs(self, bomb: bytes) -> None:
        heads = cycle(("POST /position-state/0/10", "POST /ingest/position-states", "GET /v1/status", "POST /none"))
        async for address in _paced(cycle(_STRANGERS), _BOMBS_A_S):
            head = (
                f"{next(heads)} HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n\r\n"
            )
            self._send_soon("bombs", address, head.encode() + bomb)

    async def _send_odd(self) -> None:
        odd = cycle(ODD)
        async for address in _paced(cycle(_STRANGERS), _ODD_A_S):
            self._send_soon("odd", address, next(odd))

    async def _send(self, address: str, sent: bytes) -> None:
        """Send bytes on a connection of their own, and read the beginning of what is answered."""
        try:
            reader, writer = await self._open(address)
        except OSError:
            self.did["refused"] += 1
            return
        try:
            writer.write(sent)
            async with asyncio.timeout(1):
                await writer.drain()
                await reader.read(_READ_BYTES)
        except (OSError, TimeoutError):
            self.did["refused"] += 1
        finally:
            writer.close()

    async def _flood(self, address: str) -> None:
        """Send requests at a steady rate on a connection for as long as it stands, without waiting for the answers."""
        requests = cycle(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in FLOOD)
        while True:
            try:
                reader, writer = await self._open(address)
            except OSError:
                self.did["refused"] += 1
                await asyncio.sleep(_PIECE_S)
                continue
            reading = asyncio.create_task(_read_all(reader))
            try:
                while not reading.done() and not writer.is_closing():
                    some = [next(requests) for _ in range(round(_RATE_OF_ADDRESS * _PIECE_S))]
                    writer.write(b"".join(some))
                    self.did["requests"] += len(some)
                    await asyncio.sleep(_PIECE_S)
            finally:
                reading.cancel()
                writer.close()


async def _read_all(reader: asyncio.StreamReader) -> None:
    # Where the server cuts the connection, that ends it too.
    with suppress(OSError):
        while await reader.read(_READ_BYTES):
            pass


async def _paced(values: cycle[str], a_second: int) -> AsyncIterator[str]:
    due_s = time.perf_counter()
    for value in values:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        yield value
        due_s += 1 / a_second


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    nothing = bytes(1024 * 1024)
    return b"".join(packer.compress(nothing) for _ in range(_BOMB_BYTES // len(nothing))) + packer.flush()


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[int(len(ordered) * 0.99)]


async def attack(port: int, seconds: float, kinds: Sequence[str]) -> None:
    """Be the strangers, and say at the end what they did."""
    strangers = Strangers(port)
    await strangers.attack(seconds, kinds)
    click.echo(json.dumps(strangers.did))


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.strangers", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    if b"ready" not in await process.stdout.readline():
        msg = f"expected a child to get ready, found that it ended: {' '.join(arguments)}"
        raise RuntimeError(msg)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def measure(seconds: float, rounds: int, kinds: Sequence[str]) -> None:
    """Alternate, and compare medians of the rounds' p99."""
    port = free_port()
    server = await _child("--serve", str(port))
    alone: list[tuple[float, float]] = []
    among: list[tuple[float, float]] = []
    did: dict[str, int] = {}
    shares: list[float] = []
    try:
        for _ in range(rounds):
            alone.append(await Honest(port).measure(seconds))
            chosen = [f"--kind={kind}" for kind in kinds]
            strangers = await _child("--attack", str(port), "--seconds", str(seconds + 2 * _WARM_S), *chosen)
            try:
                await asyncio.sleep(_WARM_S)
                before = processor_s(server.pid), time.perf_counter()
                among.append(await Honest(port).measure(seconds))
                shares.append((processor_s(server.pid) - before[0]) / (time.perf_counter() - before[1]))
                out, _ = await asyncio.wait_for(strangers.communicate(), 30)
                did = json.loads(out)
            finally:
                await _end(strangers)
        resident = resident_mib(server.pid)
    finally:
        await _end(server)
    click.echo(json.dumps({"strangers_did": did, "server_processor": [round(share, 2) for share in shares]}))
    figures: dict[str, float] = {"server_resident_mib": round(resident)}
    for at, name in enumerate(("healthz", "frames")):
        calm, beset = (statistics.median(one[at] for one in rounds_) for rounds_ in (alone, among))
        figures |= {f"{name}_p99_ms": round(beset, 2), f"{name}_p99_ms_without": round(calm, 2)}
        figures[f"{name}_ratio"] = round(beset / calm, 2)
    click.echo(json.dumps(figures))


@click.command()
@click.option("--seconds", default=8.0, show_default=True, help="Of a round.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS, help="What strangers do; all of it."
)
@click.option("--serve", "serving", type=int, hidden=True, help="Be the server.")
@click.option("--attack", "attacked", type=int, hidden=True, help="Be the strangers.")
def main(*, seconds: float, rounds: int, kinds: tuple[str, ...], serving: int | None, attacked: int | None) -> None:
    """Measure and print two lines of JSON."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if serving is not None:
            runner.run(serve(serving))
        elif attacked is not None:
            runner.run(attack(attacked, seconds, kinds))
        else:
            runner.run(measure(seconds, rounds, kinds))


if __name__ == "__main__":
    main()
