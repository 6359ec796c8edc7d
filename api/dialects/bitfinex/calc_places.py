"""How many of a user's calculations may wait, over all sockets and replicas.

A second's worth may always wait at each replica, so that a flood at one leaves his sockets at the others their part.
The places beyond are leases (``streams.replicas.lease_holder``) that are held while something stands on them.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from models.leases import Limit

if TYPE_CHECKING:
    from streams.replicas.lease_holder import Lease, Leases


class CalcPlaces:
    """The places of one user on this replica.

    While the log does not decide, this replica counts by itself: then a user has all places on each replica.

    Args:
        leases: Count over all replicas.
        user: Whose places they are.
        most: How many there are in all, on one replica.
        own: How many of these are each replica's own.
    """

    def __init__(self, leases: Leases, user: str, most: int, own: int) -> None:
        self._leases = leases
        self._user = user
        self._own = min(own, most)
        self._shared = Limit("calc-wait", most - self._own)
        self._held: dict[int, Lease] = {}
        self._numbers = count()

    async def cover(self, waiting: int) -> int:
        """Have places for so many that wait, as far as there are; return for how many there are."""
        while (missing := waiting - self._units()) > 0:
            # They are taken and given back in parts, since a lease cannot be given back in part.
            units = min(missing, max(1, self._own), self._free())
            if units <= 0:
                break
            number = next(self._numbers)
            lease = await self._leases.hold(self._shared, self._user, partial(self._lose, number), units)
            if lease is None:
                # Others were faster; what is left goes to who asks next.
                break
            self._held[number] = lease
        return self._units()

    def fit(self, waiting: int) -> None:
        """Give back what is not needed while so many wait."""
        for number, lease in list(self._held.items()):
            if self._units() - lease.units >= waiting:
                del self._held[number]
                lease.release()

    def _lose(self, number: int) -> None:
        self._held.pop(number, None)

    def _units(self) -> int:
        return self._own + sum(lease.units for lease in self._held.values())

    def _free(self) -> int:
        room = self._leases.room(self._shared, self._user)
        return self._shared.capacity + self._own - self._units() if room is None else room.units
