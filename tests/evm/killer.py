"""Kills executors: two of them at any time, one of which works."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.evm.funder import Funder, start_funder
from tests.evm.market import NAME
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.evm.market import Scene

_EXECUTORS = 2
_LOOK_EVERY_S = 0.25


class Killer:
    """The one that works is killed, and another one is started in its place."""

    def __init__(self, one: Scene, directory: Path, seed: int) -> None:
        self._one = one
        self._directory = directory
        self._draw = random.Random(seed)
        self.started: list[Funder] = []

    async def start(self) -> None:
        self.started.append(start_funder(self._one.settings, NAME, self._directory))

    @property
    def living(self) -> list[Funder]:
        return [one for one in self.started if one.code is None]

    @property
    def working(self) -> list[Funder]:
        return [one for one in self.living if one.is_ready]

    async def until(self, is_so: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Wait, and start executors that ended meanwhile: on a slow machine one loses its turn to another and ends."""

        async def kept() -> bool:
            while len(self.living) < _EXECUTORS:
                await self.start()
            if await is_so():
                return True
            # To look is work too, which the machine has for what is looked at.
            await asyncio.sleep(_LOOK_EVERY_S)
            return False

        await eventually(kept, timeout_s)

    async def kill_one(self) -> None:
        async def one_works() -> bool:
            return len(self.working) == 1

        await self.until(one_works, timeout_s=60)
        await asyncio.sleep(self._draw.random())
        # On a slow machine it may have lost its turn meanwhile, and ended.
        for one in self.working[:1]:
            await one.kill()
        await self.start()

    async def end(self) -> None:
        for one in self.living:
            await one.kill()
