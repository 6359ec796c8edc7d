"""The clock of a replay: what time of day it is there, the replay says."""

from __future__ import annotations

from streams.process.clock import SystemClock


class ReplayClock(SystemClock):
    """The machine's clocks, but that the wall clock stands where the replay has come to.

    Args:
        at_ms: Where it begins, Unix ms.

    Attributes:
        at_ms: The instant that everything is shown as of, Unix ms; only the replay moves it.
    """

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        """The instant that everything is shown as of, in ms since the Unix epoch."""
        return self.at_ms
