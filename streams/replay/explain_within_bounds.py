"""Bounds this process, and explains an account's change in it: the bounds hold before anything large is imported.

``python -m streams.replay.explain_within_bounds DEPLOYMENT ACCOUNT SINCE_MS UNTIL_MS``: it takes the last place of all
who want the processor, is the first to be ended where memory is short, and ends when it has used too much of either,
has been there for too long, or whoever started it is gone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import signal
from contextlib import suppress

PROCESSOR_S = 60
# It begins with 120 MB, and keeps an account, its marks, and the largest terms.
MEMORY_BYTES = 384 * 2**20
# Whoever asked gives up before that; this is for a process that nobody waits for any more.
_ENDS_AFTER_S = 150
# The kernel ends it by SIGKILL where it did not end by SIGXCPU, which tells that it was the processor.
_GRACE_S = 5
_LAST_PLACE = 19
# Of all processes of the replica's room in memory it is the one to be ended first.
_OOM_SCORE = ("/proc/self/oom_score_adj", "1000")
_PR_SET_PDEATHSIG = 1


def keep_within_bounds() -> None:
    """Bound this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The one that started it may have been gone before that.
    signal.alarm(_ENDS_AFTER_S)
    os.nice(_LAST_PLACE)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + _GRACE_S))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, score = _OOM_SCORE
    with suppress(OSError), open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is an import more
        file.write(score)


if __name__ == "__main__":
    keep_within_bounds()
    runpy.run_module("streams.replay.explain_process", run_name="__main__", alter_sys=True)
