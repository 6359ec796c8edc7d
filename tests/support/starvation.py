"""How long this thread could have run and was given no processor: a busy machine's doing, and not the code's."""

from __future__ import annotations

from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")


def starved_s() -> float:
    """Return how long the calling thread has waited for a processor since it began, in s; 0 where no system says it."""
    try:
        _, waited_ns, _ = _SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return 0.0
    return int(waited_ns) / 1e9
