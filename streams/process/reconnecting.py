"""Staying connected: a connection that ended is made again, after a wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.process.backoff import Backoff


async def stay_connected(
    connection: Callable[[], Awaitable[str]], backoff: Backoff, on_end: Callable[[str, float], object]
) -> None:
    """Connect again and again, until cancelled.

    Args:
        connection: Makes one connection, and returns in few words why it ended.
        backoff: Tells how long to wait between two connections; whoever connects resets it.
        on_end: Called with why a connection ended, and how long is waited now, in s.
    """
    while True:
        cause = await connection()
        wait_s = backoff.next_s()
        on_end(cause, wait_s)
        await asyncio.sleep(wait_s)
