"""What processes have taken, as the kernel counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_NS = 1_000_000_000
# A run says how crowded the machine was, and nothing of what runs, where a process waited for a processor for a greater
# share of the time in which it was ready.
WAITING_SHARE_MAX = 0.2


def processor_s(pid: int) -> float:
    """Processor time a process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


@dataclass(frozen=True)
class Taken:
    """What a process has taken: processor time, and for how long its threads were ready to run and did not, in s."""

    worked_s: float
    waited_s: float

    @classmethod
    def by(cls, pid: int) -> Self:
        """What a process has taken until now."""
        waited_s = 0.0
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                waited_s += int((thread / "schedstat").read_text(encoding="ascii").split()[1]) / _NS
            except FileNotFoundError:
                # It has ended meanwhile.
                continue
        return cls(processor_s(pid), waited_s)

    def since(self, before: Taken) -> Taken:
        """What was taken since ``before``."""
        return Taken(self.worked_s - before.worked_s, self.waited_s - before.waited_s)

    @property
    def waiting_share(self) -> float:
        """Of the time in which it was ready to run, the share in which it did not."""
        ready_s = self.worked_s + self.waited_s
        return self.waited_s / ready_s if ready_s else 0.0
