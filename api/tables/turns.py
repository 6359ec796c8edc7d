"""Long work on the loop, such as pages of a thousand accounts, in pieces that take turns.

A piece that is followed by ``asyncio.sleep(0)`` lets others on, but so do the pieces of everybody else who works at the
time: ten clients that each ask for a thousand accounts would make each turn of the loop ten pieces long. Here one piece
is done in a turn of the loop, whoever has how much to do, so that nobody else waits for more than that.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

# Where several work at a time, more than half of the loop's time is left to what is short: a process that uses all of
# a processor is also given it less readily. Who works alone is not held up.
_LEFT_S = 0.001


class _Turns:
    """Whose turn it is in one loop, and how many wait for theirs."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


# The loop is what is shared, by all applications that run in it.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def next_turn() -> None:
    """Wait until the next piece of long work may be done; a piece should take less than half a millisecond."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns()
    turns.waiting += 1
    try:
        async with turns.lock:
            # The caller goes on within this turn of the loop, and whoever waits for the lock not before the next one.
            await asyncio.sleep(_LEFT_S if turns.waiting > 1 else 0)
    finally:
        turns.waiting -= 1
