"""How the tasks of a follower run: together, until one of them fails; and how patiently they connect again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

RECONNECT_S = (0.5, 30.0)
"""The first and the longest wait between two connections to a venue, in s."""


async def together(*tasks: Coroutine[None, None, None]) -> None:
    """Run coroutines at the same time until cancelled; the first that fails ends all, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
