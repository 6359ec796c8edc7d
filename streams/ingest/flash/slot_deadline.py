"""Until when a connection to a node has to say a higher slot: pings and repetitions say nothing of the chain."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class SlotDeadline:
    """The deadline of one connection, which only a higher slot puts off.

    Args:
        silent_after_s: It is so long after the last higher slot, in s.
    """

    def __init__(self, silent_after_s: float) -> None:
        self._silent_after_s = silent_after_s
        self._highest = -1
        self._at_s = asyncio.get_running_loop().time() + silent_after_s

    def waiting(self) -> asyncio.Timeout:
        """Wait for the next message within this; it raises ``TimeoutError`` at the deadline, whatever came before.

        Raises:
            TimeoutError: The deadline is over: who always has a message waiting would never be timed out within it.
        """
        if asyncio.get_running_loop().time() >= self._at_s:
            raise TimeoutError
        return asyncio.timeout_at(self._at_s)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Take a message within this: the time that it takes us is no silence of the node."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            yield
        finally:
            self._at_s += loop.time() - begun_s

    def hear(self, slot: int) -> None:
        """Note that a slot was said."""
        if slot > self._highest:
            self._highest = slot
            self._at_s = asyncio.get_running_loop().time() + self._silent_after_s
