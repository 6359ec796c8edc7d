"""Wait for what is about to be true, without guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_POLL_S = 0.01
# How much longer than it should take is waited: a machine of a quarter of the speed is no reason to fail.
_ROOM = 4


async def eventually(predicate: Callable[[], bool | Awaitable[bool]], timeout_s: float = 10) -> None:
    """Return as soon as ``predicate``, a plain or an async function, says True; else fail, in the end.

    Args:
        predicate: What is asked again and again.
        timeout_s: How long it may take on a machine that does nothing else; a slower one gets four times as long.
            A test that claims how long something takes measures it.
    """
    deadline = time.monotonic() + _ROOM * timeout_s
    while True:
        answer = predicate()
        if answer is True or (not isinstance(answer, bool) and await answer):
            return
        if time.monotonic() > deadline:
            msg = f"not true within {_ROOM * timeout_s} s: {getattr(predicate, '__qualname__', predicate)}"
            raise AssertionError(msg)
        await asyncio.sleep(_POLL_S)
