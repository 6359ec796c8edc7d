"""What processes of a rehearsal take of this machine: processors, memory, descriptors."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.rehearsals.cluster import Cluster

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the name, in which there may be blanks: time in user mode and in the kernel.
_USER, _KERNEL = 11, 12
_RESIDENT = 1


class Held(NamedTuple):
    """What a process holds: resident memory in MB, and open descriptors."""

    memory_mb: float
    descriptors: int


async def processors_busy(cluster: Cluster, seconds: float) -> float:
    """How many processors the pods, the broker and the world keep busy, measured for so many seconds.

    What a process took that ended meanwhile is missing.
    """
    before, began_s = _processor_s(cluster.processes), time.monotonic()
    await asyncio.sleep(seconds)
    return (_processor_s(cluster.processes) - before) / (time.monotonic() - began_s)


def held_by(pid: int) -> Held | None:
    """What a process holds now; None where it has just ended."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[_RESIDENT])
        return Held(pages * _PAGE_BYTES / 1e6, len([*Path(f"/proc/{pid}/fd").iterdir()]))
    return None


def _processor_s(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        # One that has just ended took something too, which is not known any longer.
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[_USER]) + int(fields[_KERNEL])
    return ticks / _TICKS_PER_S
