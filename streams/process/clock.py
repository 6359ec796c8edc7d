"""The one place where a process reads time, so that tests and replay can run on a clock of their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a process knows of time. It is made once, where the process begins, and handed to whatever needs it."""

    def now_ms(self) -> int:
        """The wall clock in ms since the Unix epoch."""

    def monotonic_s(self) -> float:
        """A clock in s that never goes back; only differences mean anything."""

    def worked_s(self) -> float:
        """The processor time in s that this thread has taken; only differences mean anything."""


class SystemClock:
    """The clocks of the machine."""

    def now_ms(self) -> int:
        """The wall clock in ms since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """A clock in s that never goes back."""
        return time.monotonic()

    def worked_s(self) -> float:
        """The processor time in s that this thread has taken."""
        return time.thread_time()
