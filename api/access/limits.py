"""Limits that one process counts by itself: rates, and numbers of things that may exist at once.

No limit reads a clock; its caller hands in the time, in s of any clock that does not go back. However many clients
come, memory is bounded: buckets that have filled up again are forgotten, and beyond that those unused for longest.
"""

from __future__ import annotations

from collections import OrderedDict

# So many buckets take 20 MB. A client with more addresses than that is not stopped by limits on each address.
_KEYS_MAX = 65_536


class TokenBucket:
    """Lets a number of things through in each second, and ``burst`` of them at once.

    Args:
        per_s: How many pass in a second, above 0.
        burst: How many pass at once after a rest, at least 1.
    """

    __slots__ = ("_burst", "_left", "_per_s", "_since_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._since_s: float | None = None

    def take(self, now_s: float) -> float:
        """Let one through, or say how long to wait.

        Returns:
            0 where it is let through, else the time in s after which one would be.
        """
        wait_s = self.wait_s(now_s)
        if not wait_s:
            self._left -= 1
        return wait_s

    def spend(self, amount: float, now_s: float) -> float:
        """Count what has passed already, such as bytes that have come.

        Args:
            amount: How much has passed, at least 0; it may be more than is left.
            now_s: The time now, in s.

        Returns:
            The time in s until what passed too early is made up for, 0 where nothing did.
        """
        self.wait_s(now_s)
        self._left -= amount
        return max(0.0, -self._left / self._per_s)

    def wait_s(self, now_s: float) -> float:
        """Return the time in s after which one would be let through, 0 for at once; it takes nothing."""
        if self._since_s is not None:
            self._left = min(self._burst, self._left + max(0.0, now_s - self._since_s) * self._per_s)
        self._since_s = now_s
        return max(0.0, (1 - self._left) / self._per_s)

    def left(self, now_s: float) -> float:
        """Return how many would be let through at once."""
        self.wait_s(now_s)
        return max(0.0, self._left)

    def is_full(self, now_s: float) -> bool:
        """Whether it lets through as many as a new one would."""
        self.wait_s(now_s)
        return self._left >= self._burst


class TokenBuckets:
    """A bucket for each key, such as an address.

    Args:
        per_s: How many pass in a second, for each key, above 0.
        burst: How many pass at once after a rest, for each key, at least 1.
        keys_max: How many keys are remembered.
    """

    def __init__(self, per_s: float, burst: float, keys_max: int = _KEYS_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._keys_max = keys_max
        # The buckets are in the order in which they were last used.
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now_s: float) -> float:
        """Let one of ``key`` through, or return the time in s after which one would be."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._per_s, self._burst)
        self._forget(now_s)
        self._buckets[key] = bucket
        return bucket.take(now_s)

    def wait_s(self, key: str, now_s: float) -> float:
        """Return the time in s after which one of ``key`` would be let through, 0 for at once; it takes nothing."""
        bucket = self._buckets.get(key)
        return bucket.wait_s(now_s) if bucket else 0.0

    def left(self, key: str, now_s: float) -> float:
        """Return how many of ``key`` would be let through at once."""
        bucket = self._buckets.get(key)
        return bucket.left(now_s) if bucket else self._burst

    def _forget(self, now_s: float) -> None:
        # Two may go for each one that comes: so the number shrinks, and no call takes long.
        for _ in range(min(2, len(self._buckets))):
            oldest = next(iter(self._buckets))
            if len(self._buckets) < self._keys_max and not self._buckets[oldest].is_full(now_s):
                return
            del self._buckets[oldest]


class Slots:
    """Counts how many of a key exist at once, such as connections of an address.

    Args:
        most: How many may exist for each key.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, key: str) -> bool:
        """Take a slot, which ``leave`` gives back; return False where none is left."""
        taken = self._taken.get(key, 0)
        if taken >= self._most:
            return False
        self._taken[key] = taken + 1
        return True

    def leave(self, key: str) -> None:
        """Give a slot back."""
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
