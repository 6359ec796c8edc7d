"""A connection's place under the limit on its user's connections, which holds over all replicas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.leases import Limit
    from streams.replicas.lease_holder import Lease, Leases

USER_CONNECTIONS = "connections"


class UserPlace:
    """A place that is taken once the user is known, and given back when the connection ends.

    The log takes some ms to decide. Meanwhile the connection is served: it would see nothing that it must not see.

    Args:
        leases: Hold the place.
        limit: How many places each user has.
        on_refused: Called in the loop, at most once, where there is no place, or the place is lost: the connection must
            then end.
    """

    __slots__ = ("_lease", "_leases", "_limit", "_on_refused", "_taking")

    def __init__(self, leases: Leases, limit: Limit, on_refused: Callable[[], None]) -> None:
        self._leases = leases
        self._limit = limit
        self._on_refused = on_refused
        self._taking: asyncio.Task[None] | None = None
        self._lease: Lease | None = None

    def take(self, subject: str) -> None:
        """Take a place of the user; a second call changes nothing. A user without a name has no limit."""
        if subject and self._taking is None:
            self._taking = asyncio.create_task(self._take(subject), name="place of a user")

    def leave(self) -> None:
        """Give the place back, or stop taking it."""
        if self._taking is not None:
            self._taking.cancel()
        if self._lease is not None:
            self._lease.release()

    async def _take(self, subject: str) -> None:
        self._lease = await self._leases.hold(self._limit, subject, self._on_refused)
        if self._lease is None:
            self._on_refused()
