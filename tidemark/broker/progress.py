"""Tells a process that takes long from one that stands still: the one works or writes, the other does neither."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A JVM that only waits takes a fiftieth of a core or less, which is 1.2 s in the minute after which it is given up.
_WORK_S = 3.0


class Progress:
    """Watches a process from now on.

    Args:
        pid: The process.
        log_file: What it writes while it works; None where it writes nothing.
        monotonic_s: The clock, in s.
    """

    def __init__(self, pid: int, log_file: Path | None, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._pid = pid
        self._log_file = log_file
        self._monotonic_s = monotonic_s
        self._at_s = monotonic_s()
        self._log_bytes = self._size()
        self._cpu_s = cpu_s(pid)

    def idle_s(self) -> float:
        """Return for how long, in s, it has neither written to its log nor used 3 s of a processor."""
        log_bytes, used_s = self._size(), cpu_s(self._pid)
        if log_bytes != self._log_bytes or used_s - self._cpu_s >= _WORK_S:
            self._at_s, self._log_bytes, self._cpu_s = self._monotonic_s(), log_bytes, used_s
        return self._monotonic_s() - self._at_s

    def _size(self) -> int:
        try:
            return self._log_file.stat().st_size if self._log_file is not None else 0
        except OSError:
            return 0


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in s; 0 where there is none, or the system does not say."""
    try:
        # The second field is the program's name in parentheses, and may hold spaces; times are the 14th and 15th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
