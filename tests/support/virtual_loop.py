"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _JumpingSelector(selectors.PollSelector):
    """Looks whether anything came; where nothing did, it is later instead. ``poll`` takes any number of sockets."""

    def __init__(self, least_step_s: float) -> None:
        super().__init__()
        self._least_step_s = least_step_s
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now_s += max(timeout, self._least_step_s)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everything waits for it.

    Args:
        least_step_s: How much of it passes at the least then. What waits for a moment that differs from now by a
            rounding error would wait for ever on a clock that stands still.
    """

    def __init__(self, least_step_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector(least_step_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def pass_by(self, seconds: float) -> None:
        """Let time pass while something works, and nothing else runs."""
        self._jumping.now_s += seconds


def run_in_no_time(coroutine: Coroutine[Any, Any, T], least_step_s: float = 0.0) -> T:
    """Run on a virtual clock, and the same each time: back-off draws its jitter from ``random``, which is seeded."""
    before = random.getstate()
    random.seed(0)
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(least_step_s)) as runner:
            return runner.run(coroutine)
    finally:
        random.setstate(before)
