"""One who asks over HTTP in a process that is paused until the wait for the answer is over, and is then cancelled."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WAIT_S = 0.2
"""How long the asker may wait for an answer. None comes."""


async def expect_cancelled(ask: Callable[[str], Coroutine[Any, Any, object]]) -> None:
    """Cancel one who asks in the very turn of the loop in which his wait ends; expect him to be cancelled.

    Args:
        ask: Asks the URL, and waits ``WAIT_S`` for an answer.
    """
    has_asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        has_asked.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.ensure_future(ask(f"http://127.0.0.1:{port}"))
        await has_asked.wait()
        asyncio.get_running_loop().call_soon(asking.cancel)
        # The loop stands still, as that of a process that is paused, until the wait is over.
        time.sleep(1.5 * WAIT_S)  # noqa: ASYNC251 - it is the pause
        with pytest.raises(asyncio.CancelledError):
            await asking
