"""The one place a process reads the wall clock, so that a replay can run on another."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Return the wall clock in ns since the Unix epoch."""
    return time.time_ns()


def now_ms() -> int:
    """Return the wall clock in ms since the Unix epoch."""
    return now_ns() // 1_000_000
