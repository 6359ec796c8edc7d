"""Calculations that wait for their second, one lane for each user on this replica."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from api.dialects.bitfinex.calc_queue import CalcQueue
from api.dialects.bitfinex.calc_window import CalcWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from api.dialects.bitfinex.calc_requests import Calculation
    from streams.replicas.lease_holder import Leases

# The log's time is known here to within some ms: a claim that comes too early is refused, and made again after this.
_SOONEST_S = 0.005


class Asker(Protocol):
    """Who wants calculations."""

    def calculate(self, calculation: Calculation) -> None:
        """Calculate something now, and send it."""


class CalcLanes:
    """The lanes of all users.

    Args:
        leases: Count over all replicas.
        per_s: How many calculations a user has in a second.
        queue_max: How many of a user's may wait.
        clock_s: The loop's clock, in s.
    """

    def __init__(self, leases: Leases, per_s: int, queue_max: int, clock_s: Callable[[], float]) -> None:
        self._leases = leases
        self._per_s = per_s
        self._queue_max = queue_max
        self._clock_s = clock_s
        self._lanes: dict[str, _Lane] = {}

    def enter(self, user: str) -> None:
        """Count one more socket of a user."""
        if user not in self._lanes:
            window = CalcWindow(self._leases, user, self._per_s, self._clock_s)
            self._lanes[user] = _Lane(window, self._queue_max)
        self._lanes[user].sockets += 1

    def leave(self, user: str, asker: Asker) -> None:
        """Count one socket of a user less; what it waits for is not calculated."""
        lane = self._lanes[user]
        lane.forget(asker)
        lane.sockets -= 1
        if not lane.sockets:
            del self._lanes[user]
            lane.stop()

    def ask(self, user: str, asker: Asker, calculations: Collection[Calculation]) -> int:
        """Have calculations made, each as soon as its user may have it.

        Args:
            user: Whose second counts; ``enter`` was called for it.
            asker: Makes them.
            calculations: What is asked for.

        Returns:
            How many there was no place for.
        """
        return self._lanes[user].ask(asker, calculations)


class _Lane:
    def __init__(self, window: CalcWindow, queue_max: int) -> None:
        self.sockets = 0
        self._window = window
        self._queue: CalcQueue[Asker] = CalcQueue(queue_max)
        self._draining: asyncio.Task[None] | None = None

    def ask(self, asker: Asker, calculations: Collection[Calculation]) -> int:
        left_out = self._queue.add(asker, calculations, self._window.room().units)
        if self._queue and self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="calculations of a user")
        return left_out

    def forget(self, asker: Asker) -> None:
        self._queue.leave(asker)

    def stop(self) -> None:
        if self._draining is not None:
            self._draining.cancel()

    async def _drain(self) -> None:
        try:
            while self._queue:
                room = self._window.room()
                claimed = min(room.units, len(self._queue))
                if not claimed or not await self._window.take(claimed):
                    await asyncio.sleep(max(_SOONEST_S, self._window.room().next_s if not claimed else 0.0))
                    continue
                for calculation, askers in self._queue.take(claimed):
                    for asker in askers:
                        asker.calculate(calculation)
        finally:
            self._draining = None
