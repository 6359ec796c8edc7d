"""Whether the broker answers, for those who wait for it and for those who failed while it was away."""

from __future__ import annotations

import asyncio


class Presence:
    """What is known of the broker now; one task sets it, any number wait for it."""

    def __init__(self, *, is_here: bool) -> None:
        self._here = asyncio.Event()
        self._returned = asyncio.Event()
        if is_here:
            self._here.set()

    @property
    def is_here(self) -> bool:
        """Whether the broker answers."""
        return self._here.is_set()

    def came(self) -> None:
        """Say that the broker answers."""
        if not self.is_here:
            self._here.set()
            # Each return is an event of its own: who waits for the next one must not see the last.
            self._returned.set()
            self._returned = asyncio.Event()

    def went(self) -> None:
        """Say that the broker does not answer."""
        self._here.clear()

    async def wait(self) -> None:
        """Wait until the broker answers."""
        await self._here.wait()

    async def returned(self) -> None:
        """Wait until the broker answers again after it did not."""
        await self._returned.wait()
