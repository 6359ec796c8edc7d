"""Calculations that wait for their second, one lane for each user on this replica."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from api.dialects.bitfinex.calc_places import CalcPlaces
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

    def tell_left_out(self) -> None:
        """Tell that something is not calculated, which had waited."""


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

    def enter(self, user: str, asker: Asker) -> None:
        """Let one more socket of a user ask."""
        if user not in self._lanes:
            window = CalcWindow(self._leases, user, self._per_s, self._clock_s)
            self._lanes[user] = _Lane(window, CalcPlaces(self._leases, user, self._queue_max, self._per_s))
        self._lanes[user].enter(asker)

    def leave(self, user: str, asker: Asker) -> None:
        """Let a socket of a user ask no more; what it waits for is not calculated."""
        if self._lanes[user].leave(asker):
            del self._lanes[user]

    async def ask(self, user: str, asker: Asker, calculations: Collection[Calculation]) -> int:
        """Have calculations made, each as soon as its user may have it.

        Args:
            user: Whose second counts.
            asker: Makes them. What it asks for after ``leave`` is not calculated.
            calculations: What is asked for.

        Returns:
            How many there was no place for.
        """
        lane = self._lanes.get(user)
        return 0 if lane is None else await lane.ask(asker, calculations)


class _Lane:
    def __init__(self, window: CalcWindow, places: CalcPlaces) -> None:
        self._window = window
        self._places = places
        self._askers: set[Asker] = set()
        self._queue: CalcQueue[Asker] = CalcQueue()
        # Places are for whom they were taken, so one message is let in at a time.
        self._letting_in = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None

    def enter(self, asker: Asker) -> None:
        self._askers.add(asker)

    def leave(self, asker: Asker) -> bool:
        """Forget a socket; whether it was the last one."""
        self._askers.discard(asker)
        self._queue.leave(asker)
        self._fit()
        if not self._askers and self._draining is not None:
            self._draining.cancel()
        return not self._askers

    async def ask(self, asker: Asker, calculations: Collection[Calculation]) -> int:
        try:
            async with self._letting_in:
                most = await self._make_places(calculations)
                # It may have gone meanwhile, and the lane with it.
                left_out = self._queue.add(asker, calculations, most) if asker in self._askers else Counter()
        finally:
            # Who is cancelled keeps no places: they would be held for ever once the lane is gone.
            self._fit()
        if self._queue and self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="calculations of a user")
        for other in left_out:
            if other is not asker:
                other.tell_left_out()
        return left_out.get(asker, 0)

    async def _make_places(self, calculations: Collection[Calculation]) -> int:
        """Have places for what there will be, as far as there are; return how many there are in all."""
        while True:
            waiting = self._queue.with_these(calculations) - self._window.room().units
            places = await self._places.cover(waiting)
            # Others may have taken of the second meanwhile: then more have to wait.
            room = self._window.room().units
            if places < waiting or self._queue.with_these(calculations) <= places + room:
                return places + room

    def _fit(self) -> None:
        # What is being let in has no place in the queue yet.
        if not self._letting_in.locked():
            self._places.fit(len(self._queue) - self._window.room().units)

    async def _drain(self) -> None:
        try:
            while self._queue:
                room = self._window.room()
                claimed = min(room.units, len(self._queue))
                if not claimed:
                    await asyncio.sleep(max(_SOONEST_S, room.next_s + self._window.courtesy_s()))
                elif await self._window.take(claimed):
                    self._calculate(claimed)
                else:
                    await asyncio.sleep(_SOONEST_S)
        finally:
            self._draining = None

    def _calculate(self, most: int) -> None:
        for calculation, askers in self._queue.take(most):
            for asker in askers:
                asker.calculate(calculation)
        self._fit()
