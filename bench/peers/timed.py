"""What a call takes, measured in the same way by the benchmark and by its peers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


@dataclass(frozen=True)
class Timed:
    """Processor and wall time of what is called, in ns."""

    process_ns: list[int] = field(default_factory=list)
    wall_ns: list[int] = field(default_factory=list)

    def call(self, work: Callable[[], _T]) -> _T:
        """Call and keep the times."""
        wall, process = time.perf_counter_ns(), time.process_time_ns()
        result = work()
        self.process_ns.append(time.process_time_ns() - process)
        self.wall_ns.append(time.perf_counter_ns() - wall)
        return result

    def medians(self, unit_ns: float, count: int = 1) -> dict[str, float]:
        """Of processor and wall time, each in a unit and for one of ``count``."""
        return {
            "process": round(median(self.process_ns) / unit_ns / count, 3),
            "wall": round(median(self.wall_ns) / unit_ns / count, 3),
        }
