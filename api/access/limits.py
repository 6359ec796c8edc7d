"""Limits within one process, of which a protocol takes those that its clients are to meet.

None reads a clock: times are in s of any clock that does not go back. What is forgotten was as good as new, or was the
longest without use: memory is bounded whatever clients do.
"""

from __future__ import annotations

from collections import OrderedDict

# 65,536 buckets take 20 MB. Who comes from more addresses than that is not stopped by a limit on each.
_KEYS_MAX = 65_536


class TokenBucket:
    """Lets so many through a second, and ``burst`` at once.

    Args:
        per_s: How many a second, more than 0.
        burst: How many at once after a rest, at least 1.
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
            0 where it is let through, else after how many s one would be.
        """
        wait_s = self.wait_s(now_s)
        if not wait_s:
            self._left -= 1
        return wait_s

    def wait_s(self, now_s: float) -> float:
        """After how many s one would be let through, 0 for at once; it takes nothing."""
        if self._since_s is not None:
            self._left = min(self._burst, self._left + max(0.0, now_s - self._since_s) * self._per_s)
        self._since_s = now_s
        return max(0.0, (1 - self._left) / self._per_s)

    def is_full(self, now_s: float) -> bool:
        """Whether it is as good as new."""
        self.wait_s(now_s)
        return self._left >= self._burst


class TokenBuckets:
    """A bucket for each key, such as an address.

    Args:
        per_s: How many a second, for each key.
        burst: How many at once, for each key.
        keys_max: How many keys are remembered.
    """

    def __init__(self, per_s: float, burst: float, keys_max: int = _KEYS_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._keys_max = keys_max
        # In the order of last use.
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now_s: float) -> float:
        """Let one of ``key`` through, or say after how many s one would be."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._per_s, self._burst)
        self._forget(now_s)
        self._buckets[key] = bucket
        return bucket.take(now_s)

    def wait_s(self, key: str, now_s: float) -> float:
        """After how many s one of ``key`` would be let through, 0 for at once; it takes nothing."""
        bucket = self._buckets.get(key)
        return bucket.wait_s(now_s) if bucket else 0.0

    def _forget(self, now_s: float) -> None:
        # Two for each that may come: it shrinks, and no call takes long.
        for _ in range(min(2, len(self._buckets))):
            oldest = next(iter(self._buckets))
            if len(self._buckets) < self._keys_max and not self._buckets[oldest].is_full(now_s):
                return
            del self._buckets[oldest]


class Slots:
    """How many of a key may be at the same time, such as connections of an address.

    Args:
        most: For each key.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, key: str) -> bool:
        """Take one, to be given back by ``leave``; False where none is left."""
        taken = self._taken.get(key, 0)
        if taken >= self._most:
            return False
        self._taken[key] = taken + 1
        return True

    def leave(self, key: str) -> None:
        """Give one back."""
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
