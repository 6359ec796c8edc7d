"""The chain and the venue of a rehearsal, as a process that is told over HTTP to hold still, to freeze or to go mad.

``python -m tests.rehearsals.world DIRECTORY PRICES_PER_S`` prints one line of JSON when everything can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import orjson
from aiohttp import web

from tidemark.demo.server import DemoServer, load_state
from tidemark.ports import any_free_port

HOST = "127.0.0.1"
# How far a venue's prices jump that has gone mad, in shares of themselves: down to a tenth, and up to tenfold.
_MAD = (0.1, 10.0)


class World(DemoServer):
    """The simulator with prices many times a second, whose parts can be stopped."""

    def __init__(self, directory: Path, prices_per_s: int) -> None:
        super().__init__(load_state(directory / "world.json", 1, int(time.time())))
        self._period_s = 1 / prices_per_s
        self._published = 0
        self.has_blocks = True
        self.has_prices = True
        self.is_mad = False
        self.times = 1

    async def tell(self, request: web.Request) -> web.Response:
        """Take what it is told: ``blocks``, ``prices``, ``mad`` on or off, and by how much prices come ``faster``."""
        told = await request.json()
        self.has_blocks = told.get("blocks", self.has_blocks)
        self.has_prices = told.get("prices", self.has_prices)
        self.is_mad = told.get("mad", self.is_mad)
        self.times = told.get("times", self.times)
        return web.json_response({"published": self._published, "head": self.chain.head.number})

    async def run(self) -> None:
        """Make the chain's blocks and the venue's prices, until cancelled."""
        second = self._second()
        while True:
            await asyncio.sleep(self._period_s / self.times)
            if self.has_blocks and self._second() > second:
                second = self._second()
                await self._node.announce(self.chain.grow_to(second, forks=True))
            if self.has_prices:
                self._published += 1
                await self._venue.publish(time.time_ns() // 1_000_000, self._moved())

    def _moved(self) -> tuple[int, ...]:
        if self.is_mad:
            return tuple(int(mark * _MAD[self._published % 2]) for mark in self._marks_e8)
        # Each differs from the one before, so that every price moves every account that has it.
        return tuple(mark + self._published % 7 for mark in self._marks_e8)


async def main(directory: Path, prices_per_s: int) -> None:
    """Serve until the process is ended."""
    world = World(directory, prices_per_s)
    await world.start()
    control = web.Application()
    control.router.add_post("/", world.tell)
    runner = web.AppRunner(control, access_log=None)
    await runner.setup()
    port = any_free_port(HOST)
    await web.TCPSite(runner, HOST, port).start()
    sys.stdout.write(orjson.dumps({**world.description, "control": f"http://{HOST}:{port}/"}).decode() + "\n")
    sys.stdout.flush()
    await world.run()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
