"""Places of sockets: of all clients together, and of one owner, over all replicas of the api.

An owner's key is public, so whoever likes may open sockets of it. If an owner's places were simply counted, five
sockets of a stranger would keep the owner out. So the first socket of an owner from each address has a place of its
own, and only those after it share places with other addresses.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from models.leases import Limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.replicas.lease_holder import Lease, Leases

_EVERYBODY = "all"


class Full(Enum):
    """Which limit has no place left; the value is what clients of the venue are told."""

    OWNER = "per-owner connection limit reached"
    EVERYBODY = "global connection limit reached"


class Place:
    """A socket's place under both limits, until it is released."""

    __slots__ = ("_leases",)

    def __init__(self, *leases: Lease) -> None:
        self._leases = leases

    def release(self) -> None:
        """Give it back; a second time changes nothing."""
        for lease in self._leases:
            lease.release()


class SocketPlaces:
    """Gives places out.

    Args:
        leases: Count over all replicas.
        name: The dialect's name, so that two of them do not share places.
        most: How many sockets there may be in all.
        most_of_owner: How many of one owner from one address, where no other address has any.
    """

    def __init__(self, leases: Leases, name: str, *, most: int, most_of_owner: int) -> None:
        self._leases = leases
        self._everybody = Limit(f"{name}-sockets", most)
        self._first = Limit(f"{name}-owner-address", 1)
        self._shared = Limit(f"{name}-owner", most_of_owner - 1) if most_of_owner > 1 else None

    async def take(self, owner: str, client: str, on_lost: Callable[[Full], None]) -> Place | Full:
        """Take a place.

        Args:
            owner: The owner whose basket the socket shows.
            client: The address that the socket comes from, as limits count it.
            on_lost: Called in the loop where others took the place while this replica could not say that it holds it.

        Returns:
            Which limit is full, where one is.
        """
        of_owner = await self._of_owner(owner, client, lambda: on_lost(Full.OWNER))
        if of_owner is None:
            return Full.OWNER
        try:
            of_all = await self._leases.hold(self._everybody, _EVERYBODY, lambda: on_lost(Full.EVERYBODY))
        except BaseException:  # a place must not stay taken, also where this is cancelled
            of_owner.release()
            raise
        if of_all is None:
            of_owner.release()
            return Full.EVERYBODY
        return Place(of_owner, of_all)

    async def _of_owner(self, owner: str, client: str, on_lost: Callable[[], None]) -> Lease | None:
        first = await self._leases.hold(self._first, f"{owner} {client}", on_lost)
        if first is not None or self._shared is None:
            return first
        return await self._leases.hold(self._shared, owner, on_lost)
