"""How many calculations a user may have in a second, over all sockets and replicas.

Each calculation is a lease of one second, granted in the order of the log (``streams.replicas.lease_holder``): within
any second there are no more than the limit, and what nobody uses here is free for the user's sockets elsewhere. What
waits at a time is claimed at once, so that a user costs at most as many records a second as there are calculations.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from models.leases import Limit
from streams.replicas.lease_holder import Room, Undecided

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.replicas.lease_holder import Leases

WINDOW_S = 1.0
# How much later than it could a replica claims, for each calculation that it was granted within the last second.
_COURTESY_S = 0.002


class CalcWindow:
    """The window of one user on this replica.

    While the log does not decide, this replica counts by itself: then a user has the limit on each replica.

    Args:
        leases: Count over all replicas.
        user: Whose window it is.
        per_s: How many calculations a second has.
        clock_s: A clock that does not go back, in s.
    """

    def __init__(self, leases: Leases, user: str, per_s: int, clock_s: Callable[[], float]) -> None:
        self._leases = leases
        self._user = user
        self._limit = Limit("calc", per_s, round(WINDOW_S * 1_000))
        self._clock_s = clock_s
        # When each calculation of the last second was granted here.
        self._granted_s: deque[float] = deque(maxlen=per_s)

    def room(self) -> Room:
        """How many may be calculated now, and when the next ones may."""
        return self._leases.room(self._limit, self._user) or self._own_room()

    async def take(self, calculations: int) -> bool:
        """Take so many, at least 1, out of this second; False where others have taken them meanwhile."""
        try:
            is_granted = await self._leases.spend(self._limit, self._user, calculations)
        except Undecided:
            is_granted = self._own_room().units >= calculations
        if is_granted:
            self._granted_s.extend([self._clock_s()] * calculations)
        return is_granted

    def courtesy_s(self) -> float:
        """How long to wait beyond the end of a full second, in s.

        The replica that had most of it waits longest: else the one that is nearest to the broker would have every
        second of a user who floods it, and his sockets elsewhere none.
        """
        if self._leases.room(self._limit, self._user) is None:
            return 0.0
        self._forget()
        return _COURTESY_S * len(self._granted_s)

    def _forget(self) -> None:
        now_s = self._clock_s()
        while self._granted_s and now_s - self._granted_s[0] >= WINDOW_S:
            self._granted_s.popleft()

    def _own_room(self) -> Room:
        self._forget()
        now_s = self._clock_s()
        next_s = self._granted_s[0] + WINDOW_S - now_s if self._granted_s else 0.0
        return Room(self._limit.capacity - len(self._granted_s), next_s)
