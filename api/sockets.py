"""The open websockets, so that they can be closed in good order when the server goes away."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything ends within 5 s of a Ctrl-C; a client that does not answer the close frame gets this much of it.
CLOSE_TIMEOUT_S = 1.0


class Sockets:
    """Every open websocket; once draining, those that still arrive are to be closed at once by their handlers."""

    def __init__(self) -> None:
        self._open: set[web.WebSocketResponse] = set()
        self.draining = False

    @contextmanager
    def opened(self, socket: web.WebSocketResponse) -> Iterator[None]:
        """Hold ``socket`` among the open ones."""
        self._open.add(socket)
        try:
            yield
        finally:
            self._open.discard(socket)

    async def drain(self) -> None:
        """Tell every client that the server goes away, and close; takes at most about ``CLOSE_TIMEOUT_S``."""
        self.draining = True
        closing = [
            asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY, message=b"server shutdown"))
            for socket in self._open
        ]
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)
            for task in late:
                task.cancel()
