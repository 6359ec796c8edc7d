"""One process works and the others wait: a turn is held in the topic ``leases`` for as long as its holder lives.

A turn says who may begin, so that a warm spare begins when the former holder is gone. It fences nobody: a holder that
slept hears only when it wakes up that its turn is over. What must not be written twice is fenced besides
(``streams/kafka/fenced_writer.py``).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.errors import Superseded
from models.leases import Limit
from streams.replicas.lease_holder import Leases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streams.process.clock import Clock
    from streams.replicas.lease_holder import Lease
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A writer that was killed is followed after so long; one that ends by itself gives its turn back at once. A holder says
# every second that it lives, and one that is late loses its turn only where another one waits for it.
TURN_TTL_MS = 3_000
_ASK_AGAIN_S = 0.25
# A turn is held on three times while it lasts.
_HOLDS_PER_TTL = 3


@asynccontextmanager
async def turn(
    settings: Settings, work: str, name: str, clock: Clock, ttl_ms: int = TURN_TTL_MS
) -> AsyncIterator[None]:
    """Wait until nobody else does this work, and be the only one who does for as long as the block lasts.

    Args:
        settings: Name the topic and the broker.
        work: What is done, such as ``funder``.
        name: For which deployment or source.
        clock: Tells when the log of leases last failed.
        ttl_ms: How long after a holder was killed another one takes its place, in ms.

    Raises:
        Superseded: The turn ended since this process could not say in time that it lives, and another one has it now.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    cancelling, is_lost = task.cancelling(), False

    def on_lost() -> None:
        nonlocal is_lost
        is_lost = True
        task.cancel()

    leases = Leases(settings, clock, every_s=ttl_ms / 1_000 / _HOLDS_PER_TTL)
    leases.start()
    try:
        lease = await _granted(leases, Limit(work, 1, ttl_ms), name, on_lost)
        try:
            yield
        except asyncio.CancelledError as error:
            if is_lost and task.uncancel() <= cancelling:
                msg = f"expected to be the only {work} of {name}, found that another one took over"
                raise Superseded(msg) from error
            raise
        finally:
            lease.release()
    finally:
        await leases.stop()


async def _granted(leases: Leases, limit: Limit, name: str, on_lost: Callable[[], None]) -> Lease:
    is_waiting = False
    while True:
        lease = await leases.hold(limit, name, on_lost) if leases.is_up else None
        if lease is not None and not lease.is_local:
            return lease
        if lease is not None:
            lease.release()
        if leases.is_up and not is_waiting:
            _log.info("waiting for another one to end work=%s name=%s", limit.name, name)
            is_waiting = True
        await asyncio.sleep(_ASK_AGAIN_S)
