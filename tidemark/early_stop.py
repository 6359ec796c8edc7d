"""The stop of a process that was told to stop before it could say how it wants to.

Process 1, as in a container, has no default for SIGTERM: the signal is lost unless somebody handles it. Reading the
settings and importing what a command needs takes most of a second, in which an orchestrator may change its mind.
"""

import signal
import sys
from typing import NoReturn

# Ended before they did what they were to do, these are not to look as if they had.
_ENDING_BY_THEMSELVES = frozenset({"topics", "token", "fold", "audit", "config", "archive", "repartition", "--dry-run"})
EXIT_INTERRUPTED = 128 + signal.SIGTERM


def end_on_signal() -> None:
    """End at SIGTERM with 0, or with 143 where a command had yet to do what it was to do.

    Long-running processes replace this handler by their own.
    """
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: object) -> NoReturn:
    sys.exit(EXIT_INTERRUPTED if _ENDING_BY_THEMSELVES.intersection(sys.argv[1:]) else 0)
