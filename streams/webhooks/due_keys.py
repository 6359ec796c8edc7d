"""Which accounts have a message to be sent, and when each may be tried."""

from __future__ import annotations

import asyncio
import heapq
import itertools

# Attempts that fail are made again after 1 s, 2 s, 4 s … of which at least a half is waited, so that a receiver that
# comes back is not met by all at once.
_FIRST_S, _LONGEST_S = 1.0, 300.0


def back_off_s(attempts: int, share: float) -> float:
    """How long to wait after an attempt that failed, in s.

    Args:
        attempts: How many have failed in a row, at least 1.
        share: A random number from 0 to below 1.
    """
    whole: float = min(_FIRST_S * 2 ** min(attempts - 1, 30), _LONGEST_S)
    return whole * (1 + share) / 2


class DueKeys:
    """Keys with the instant at which each may be taken, by the loop's clock; a key is here once at most."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, bytes]] = []
        self._here: set[bytes] = set()
        self._places = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._here)

    def add(self, key: bytes, after_s: float = 0.0) -> None:
        """Let a key be taken after so many s; one that is here already stays where it is."""
        if key in self._here:
            return
        self._here.add(key)
        at_s = asyncio.get_running_loop().time() + after_s
        heapq.heappush(self._heap, (at_s, next(self._places), key))
        self._changed.set()

    async def take(self) -> bytes:
        """Wait for the next key that is due."""
        while True:
            now_s = asyncio.get_running_loop().time()
            if self._heap and self._heap[0][0] <= now_s:
                key = heapq.heappop(self._heap)[2]
                self._here.discard(key)
                return key
            self._changed.clear()
            wait_s = self._heap[0][0] - now_s if self._heap else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
