"""How often a key may log in, or an address fail to, in any minute and over all replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.limits import TokenBuckets
from models.leases import Limit
from streams.replicas.lease_holder import Undecided

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.replicas.lease_holder import Leases

_MINUTE_MS = 60_000


class LoginLimit:
    """A limit of so many a minute for each owner, such as a key or an address.

    Each is a lease of a minute. Whoever is known to be at his limit is refused without a record, so that a flood costs
    the log no more than the limit. While the log does not decide, this replica counts by itself.

    Args:
        leases: Count over all replicas.
        name: What is limited.
        per_minute: How many an owner has in any minute.
        clock_s: A clock that does not go back, in s.
    """

    def __init__(self, leases: Leases, name: str, per_minute: int, clock_s: Callable[[], float]) -> None:
        self._leases = leases
        self._limit = Limit(name, per_minute, _MINUTE_MS)
        self._here = TokenBuckets(per_minute / 60, per_minute)
        self._clock_s = clock_s

    async def take(self, owner: str) -> bool:
        """Count one of an owner's; False where it is one too many."""
        try:
            return await self._leases.spend(self._limit, owner)
        except Undecided:
            return not self._here.take(owner, self._clock_s())
