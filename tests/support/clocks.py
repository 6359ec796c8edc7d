"""Clocks that tests set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.process.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable


class WallClock(SystemClock):
    """The machine's clock, but that the test says what time of day it is.

    Args:
        now_ms: What the wall clock shows, in Unix ms.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms()


class LoopClock:
    """The clock of an event loop whose time is virtual: it stands while anything works.

    Args:
        began_ms: What the wall clock showed when the loop's time was 0, in Unix ms.
    """

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms

    def now_ms(self) -> int:
        return self._began_ms + round(self.monotonic_s() * 1_000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def worked_s(self) -> float:
        return 0.0
