"""A connection's place among all those of its user, on whichever replica they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.leases import Limit
    from streams.replicas.lease_holder import Lease, Leases

USER_CONNECTIONS = "connections"


class UserPlace:
    """Taken once the user is known, and given back when the connection ends.

    A connection is served while the log decides, for some milliseconds: there is nothing that it must not see.

    Args:
        leases: Hold it.
        limit: How many there are for each user.
        on_refused: Called in the loop, at most once, where there is none, or none any more: the connection is to end.
    """

    __slots__ = ("_lease", "_leases", "_limit", "_on_refused", "_taking")

    def __init__(self, leases: Leases, limit: Limit, on_refused: Callable[[], None]) -> None:
        self._leases = leases
        self._limit = limit
        self._on_refused = on_refused
        self._taking: asyncio.Task[None] | None = None
        self._lease: Lease | None = None

    def take(self, subject: str) -> None:
        """Take a place of the user; a second time changes nothing. Who has no name has no limit of their own."""
        if subject and self._taking is None:
            self._taking = asyncio.create_task(self._take(subject), name="place of a user")

    def leave(self) -> None:
        """Give it back, or take it no longer."""
        if self._taking is not None:
            self._taking.cancel()
        if self._lease is not None:
            self._lease.release()

    async def _take(self, subject: str) -> None:
        self._lease = await self._leases.hold(self._limit, subject, self._on_refused)
        if self._lease is None:
            self._on_refused()
