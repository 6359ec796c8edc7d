"""How many of the files that this process may open are for connections of clients."""

from __future__ import annotations

import resource

# Descriptors that no client gets: the admin port's connections, those to engines, and those to brokers, some three for
# each broker and each of a dozen readers.
KEPT_DESCRIPTORS = 128


def affordable_connections(asked: int) -> int:
    """Find how many connections clients may have at most, so that descriptors are left for what is not theirs.

    Args:
        asked: As many as the settings allow.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return asked if allowed == resource.RLIM_INFINITY else max(1, min(asked, allowed - KEPT_DESCRIPTORS))
