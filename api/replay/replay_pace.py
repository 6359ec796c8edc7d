"""How fast a replay goes on, and what whoever watches it says meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streams.process.clock import Clock

# As often figures move; sockets have paces of their own.
_TURN_S = 0.05
# Where a turn's records take longer than it, the replay falls behind its speed, and does not try to catch up.
_LONGEST_TURN_S = 0.1


class Turn(NamedTuple):
    """What a turn brought: a line that was said, or else how much time passed in the replay, in ms."""

    line: str | None
    passed_ms: int


class ReplayPace:
    """Tells how far to go.

    Args:
        machine: The machine's clock.
        lines: What is said.
        speed: How many seconds pass in one, None for a replay that goes on only when it is told to.
    """

    def __init__(self, machine: Clock, lines: asyncio.Queue[str], speed: int | None) -> None:
        self._machine = machine
        self._lines = lines
        self._speed = speed or 1
        self._is_going = speed is not None
        self._turned_s = machine.monotonic_s()

    def __str__(self) -> str:
        return f"{self._speed} x" if self._is_going else "paused"

    def go(self, speed: int | None) -> None:
        """Go on by itself, at another speed where one is given."""
        self._is_going, self._speed = True, speed or self._speed

    def stand(self) -> None:
        """Go on only when it is told to."""
        self._is_going = False

    async def turn(self) -> Turn:
        """Wait for the end of a turn, or for a line; while it stands, for a line alone."""
        try:
            async with asyncio.timeout(_TURN_S if self._is_going else None):
                return Turn(await self._lines.get(), 0)
        except TimeoutError:
            now_s = self._machine.monotonic_s()
            passed_s = min(now_s - self._turned_s, _LONGEST_TURN_S)
            self._turned_s = now_s
            return Turn(None, round(passed_s * self._speed * 1_000))
