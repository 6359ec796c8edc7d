"""What one frame of ``/v1/ws`` costs a replica apart from Kafka and the kernel, in units of the same run.

Every account has a socket of its own. A change of rows comes as from a feed, and ends when each socket has been written
its delta: all that a replica does between a record and the system's ``send``. Of an account, one position has moved, as
by a tick. The unit is the time that orjson takes to encode the body of such a row. Frames and units take turns, so that
a machine that is slow or busy is slow or busy for both. Prints one line for each number of positions.
"""

from __future__ import annotations

import asyncio
import gc
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import orjson
import uvloop

from models.codec import encode_row
from tests.support.api import api_settings
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.native import Line, NativeServer

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACCOUNTS = 200
_UNITS = 500


def body_after(number: int, positions: int, ticks: int) -> dict[str, Any]:
    """The body of an account's row after so many ticks, each of which moved another of its positions."""
    held = []
    for at in range(positions):
        moved = e18(f"{100 + (ticks + positions - 1 - at) // positions / 100:.2f}")
        one = valuation_body()["positions"][0]
        upnl = e18(f"{(ticks + at) // positions * 0.1 - 12.5:.1f}")
        held.append({**one, "quote": number * positions + at, "symbol": at + 1, "mark": moved, "upnl": upnl})
    equity, upnl = e18(f"{107.5 + ticks / 10:.1f}"), e18(f"{ticks / 10 - 12.5:.1f}")
    return valuation_body(positions=held, equity=equity, upnl=upnl, as_of_ms=1_745_970_777_999 + ticks)


class Crowd:
    """So many sockets, each subscribed to an account of its own.

    Args:
        accounts: How many.
        positions: How many each account has.
    """

    def __init__(self, accounts: int, positions: int) -> None:
        self._positions = positions
        self._tables = FakeTables("main")
        self._server = NativeServer(api_settings("main"), self._tables)
        self._keys = [f"main:0x{number:040x}" for number in range(accounts)]
        self._ticks = 0
        self._lines: list[Line] = []
        self._closing = asyncio.Event()
        self._sessions: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Subscribe all, and read their snapshots."""
        self._tables.valuations.put_rows(self._rows())
        for key in self._keys:
            subscribed = asyncio.Event()
            self._sessions.append(asyncio.create_task(self._follow(key, subscribed)))
            await subscribed.wait()

    async def leave(self) -> None:
        """Close all sockets."""
        self._closing.set()
        await asyncio.gather(*self._sessions)

    async def tick(self) -> float:
        """Let each account change once; return how much processor time each frame took, in µs.

        Raises:
            ValueError: There were not as many frames as sockets.
        """
        self._ticks += 1
        rows = self._rows()
        began_s = time.process_time()
        self._tables.valuations.put_rows(rows)
        # A turn of the hub writes to a hundred sockets.
        for _ in range(len(self._keys) // 50):
            await asyncio.sleep(0)
        took_s = time.process_time() - began_s
        frames = sum(message["type"] == "delta" for line in self._lines for message in line.read())
        if frames != len(self._keys):
            msg = f"expected a frame for each of {len(self._keys)} sockets, found {frames}"
            raise ValueError(msg)
        return float(took_s * 1e6 / frames)

    def a_body(self) -> dict[str, Any]:
        """The body of a row that is shown."""
        return body_after(0, self._positions, self._ticks)

    async def _follow(self, key: str, subscribed: asyncio.Event) -> None:
        async with self._server.client() as line:
            line.ask("subscribe", channel="account", keys=[key], interval_ms=0)
            await line.heard()
            self._lines.append(line)
            subscribed.set()
            await self._closing.wait()

    def _rows(self) -> Sequence[tuple[bytes, bytes]]:
        return [
            (key.encode(), encode_row(1, self._ticks + 1, body_after(number, self._positions, self._ticks)))
            for number, key in enumerate(self._keys)
        ]


async def measured(accounts: int, positions: int, rounds: int) -> tuple[list[float], list[float]]:
    """Processor time of frames, and of units, in µs, round by round."""
    crowd = Crowd(accounts, positions)
    await crowd.connect()
    body = crowd.a_body()
    frames_us, units_us = [], []
    for _ in range(rounds):
        gc.collect()
        frames_us.append(median([await crowd.tick() for _ in range(5)]))
        began_s = time.process_time()
        for _ in range(_UNITS):
            orjson.dumps(body)
        units_us.append((time.process_time() - began_s) * 1e6 / _UNITS)
    await crowd.leave()
    return frames_us, units_us


@click.command()
@click.option("--accounts", default=_ACCOUNTS, show_default=True)
@click.option("--rounds", default=7, show_default=True)
def main(accounts: int, rounds: int) -> None:
    """Print what a frame costs, with one and with four positions."""
    for positions in (1, 4):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            frames_us, units_us = runner.run(measured(accounts, positions, rounds))
        units = median(frame / unit for frame, unit in zip(frames_us, units_us, strict=True))
        click.echo(
            f"frame cost: {positions} positions: {units:.1f} encodings of its body "
            f"({median(frames_us):.1f} µs a frame, {median(units_us):.2f} µs an encoding, medians of {rounds} rounds)"
        )


if __name__ == "__main__":
    main()
