"""Long work on the loop, such as pages of a thousand accounts, in pieces that take turns.

A piece that is followed by ``asyncio.sleep(0)`` lets others on, but so do the pieces of everybody else who works at the
time: ten clients that each ask for a thousand accounts would make each turn of the loop ten pieces long. Here one piece
is done in a turn of the loop, whoever has how much to do, so that nobody else waits for more than that.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

# The loop is what is shared, by all applications that run in it.
_taking_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def next_turn() -> None:
    """Wait until the next piece of long work may be done; a piece should take less than half a millisecond."""
    loop = asyncio.get_running_loop()
    lock = _taking_turns.get(loop)
    if lock is None:
        lock = _taking_turns[loop] = asyncio.Lock()
    async with lock:
        # The caller goes on within this turn of the loop, and whoever waits for the lock not before the next one.
        await asyncio.sleep(0)
