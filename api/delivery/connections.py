"""The open websockets of this replica: accepted, registered, and closed in good order when the server goes away."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

from api.delivery.connection import Connection
from api.delivery.outbox import Outbox

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web

    from api.delivery.dialect import Dialect
    from api.delivery.hub import Hub
    from api.http.metrics import ApiMetrics

# All clients of a replica that come back at once cost another one some 1 ms each.
_RECONNECT_WITHIN_MS = 5_000
# So many close frames at a time: each is a system call, and a client's answer two more.
_STEPS_A_S = 20


class _Accepted:
    """From the handshake to the end. A generator that waits in between would be 1 KiB for each connection."""

    __slots__ = ("_connection", "_connections", "_outbox")

    def __init__(self, connections: Connections, connection: Connection) -> None:
        self._connections = connections
        self._connection = connection
        self._outbox = Outbox(connection)

    async def __aenter__(self) -> Outbox:
        await self._connection.accept()
        self._connections.enter(self._outbox)
        return self._outbox

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is not None:
            # Else the answer to a failed request, an HTTP one, would follow on the websocket.
            self._connection.close(WSCloseCode.INTERNAL_ERROR)
        await self._connections.leave(self._outbox)


class Connections:
    """Every open websocket; once draining, those that still arrive are closed at once.

    Args:
        hub: Writes to them.
        metrics: Counts them.
        drain_s: The window over which they are closed, in s.
    """

    def __init__(self, hub: Hub, metrics: ApiMetrics, drain_s: float) -> None:
        self._hub = hub
        self._metrics = metrics
        self._drain_s = drain_s
        self._open: set[Outbox] = set()
        self.draining = False

    def accepted(self, request: web.Request, dialect: Dialect) -> AbstractAsyncContextManager[Outbox]:
        """Accept a websocket and hold it among the open ones until the block ends.

        Raises:
            aiohttp.web.HTTPBadRequest: The request is no handshake.
        """
        return _Accepted(self, Connection(request, dialect))

    def enter(self, outbox: Outbox) -> None:
        """Hold a connection among the open ones."""
        self._open.add(outbox)
        dialect = outbox.connection.dialect
        self._metrics.connections.labels(dialect.name).inc()
        if self.draining:
            outbox.connection.close(dialect.restart_code, b"server restart")

    async def leave(self, outbox: Outbox) -> None:
        """Hold it no longer, and see its close through."""
        connection = outbox.connection
        self._metrics.connections.labels(connection.dialect.name).dec()
        self._open.discard(outbox)
        self._hub.leave(outbox)
        await connection.closed()
        code = connection.response.close_code
        self._metrics.closes.labels(connection.dialect.name, "none" if code is None else str(code)).inc()

    def say_goodbye(self, outbox: Outbox, reason: str) -> None:
        """Tell a client, where it understands that, that its connection is about to be closed, and when to come back.

        Spread evenly: who is told first is closed first, but may come back at any time of the window.
        """
        goodbye = outbox.connection.dialect.goodbye
        if goodbye is not None:
            wait_ms = random.randrange(_RECONNECT_WITHIN_MS)  # noqa: S311 - spreads load
            self._hub.say(outbox, goodbye(reason, wait_ms))

    async def drain(self) -> None:
        """Say goodbye where it is understood, and close all over the window; each is closed within 2 s after it."""
        self.draining = True
        leaving = list(self._open)
        if not leaving:
            return
        random.shuffle(leaving)
        for outbox in leaving:
            self.say_goodbye(outbox, "restart")
        steps = max(1, round(self._drain_s * _STEPS_A_S))
        began_s = self._hub.now_s()
        for step in range(steps):
            # What the closing itself takes is not added to the window.
            due_s = began_s + self._drain_s * (step + 1) / steps
            await asyncio.sleep(max(0.0, due_s - self._hub.now_s()))
            for outbox in leaving[step::steps]:
                # The turns that say goodbye to all may not have come to this one yet.
                self._hub.close(outbox, outbox.connection.dialect.restart_code, b"server restart")
        await asyncio.gather(*(outbox.connection.closed() for outbox in leaving))
