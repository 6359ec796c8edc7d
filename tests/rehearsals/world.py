"""The chain and the venue of a rehearsal, as a process that is told over HTTP to hold still, to freeze or to go mad.

``python -m tests.rehearsals.world DIRECTORY PRICES_PER_S`` prints one line of JSON when everything can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from tests.rehearsals.other_branch import OtherBranch
from tidemark.demo.node import Node
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
        self._port_elsewhere = 0
        self._branch: OtherBranch | None = None
        self._elsewhere = self._node

    @property
    def description(self) -> dict[str, Any]:
        """Where everything is; ``rpc_elsewhere`` is a second node, which may be told to follow another branch."""
        return {**super().description, "rpc_elsewhere": [f"http://{HOST}:{self._port_elsewhere}"]}

    async def start(self) -> None:
        """Open every port."""
        await super().start()
        self._port_elsewhere = await serve(web.post("/", self._answer_elsewhere))

    async def _answer_elsewhere(self, request: web.Request) -> web.Response:
        return await self._elsewhere._http(request)

    def _fork(self, *, is_forked: bool) -> None:
        """Have the second node follow a branch of its own from the head on, or none."""
        if is_forked and self._branch is None:
            self._branch = OtherBranch(self.state.seed, self.state.genesis_s, self.chain.head.number - 1)
            self._branch.grow_to(self.chain.head.number, forks=False)
            self._elsewhere = Node(self._branch)
        elif not is_forked:
            self._branch, self._elsewhere = None, self._node

    async def tell(self, request: web.Request) -> web.Response:
        """Take what it is told, and say how far it is.

        ``blocks``, ``prices``, ``mad`` and ``forked`` are on or off, prices come so many ``times`` as fast.
        """
        told = await request.json()
        self._fork(is_forked=told.get("forked", self._branch is not None))
        self.has_blocks = told.get("blocks", self.has_blocks)
        self.has_prices = told.get("prices", self.has_prices)
        self.is_mad = told.get("mad", self.is_mad)
        self.times = told.get("times", self.times)
        seen = self.chain if self._branch is None else self._branch
        return web.json_response(
            {"published": self._published, "head": self.chain.head.number, "elsewhere": seen.head.hash}
        )

    async def run(self) -> None:
        """Make the chain's blocks and the venue's prices, until cancelled."""
        second = self._second()
        while True:
            await asyncio.sleep(self._period_s / self.times)
            if self.has_blocks and self._second() > second:
                second = self._second()
                await self._node.announce(self.chain.grow_to(second, forks=True))
                if self._branch is not None:
                    self._branch.grow_to(second, forks=False)
            if self.has_prices:
                self._published += 1
                await self._venue.publish(time.time_ns() // 1_000_000, self._moved())

    def _moved(self) -> tuple[int, ...]:
        if self.is_mad:
            return tuple(int(mark * _MAD[self._published % 2]) for mark in self._marks_e8)
        # Each differs from the one before, so that every price moves every account that has it.
        return tuple(mark + self._published % 7 for mark in self._marks_e8)


async def serve(route: web.RouteDef) -> int:
    """Serve a route until the process ends, and return at which port."""
    application = web.Application()
    application.add_routes([route])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = any_free_port(HOST)
    await web.TCPSite(runner, HOST, port).start()
    return port


async def main(directory: Path, prices_per_s: int) -> None:
    """Serve until the process is ended."""
    world = World(directory, prices_per_s)
    await world.start()
    port = await serve(web.post("/", world.tell))
    sys.stdout.write(orjson.dumps({**world.description, "control": f"http://{HOST}:{port}/"}).decode() + "\n")
    sys.stdout.flush()
    await world.run()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
