"""Wait for what is about to be true, without guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_POLL_S = 0.01


async def eventually(predicate: Callable[[], bool | Awaitable[bool]], timeout_s: float = 10) -> None:
    """Return as soon as ``predicate``, a plain or an async function, says True; fail after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if answer is True or (not isinstance(answer, bool) and await answer):
            return
        if time.monotonic() > deadline:
            msg = f"not true within {timeout_s} s: {getattr(predicate, '__qualname__', predicate)}"
            raise AssertionError(msg)
        await asyncio.sleep(_POLL_S)
