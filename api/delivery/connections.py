"""The open websockets of this replica: accepted, registered, and closed in good order when the server goes away."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

from api.delivery.connection import Connection
from api.delivery.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from api.delivery.dialect import Dialect
    from api.delivery.hub import Hub
    from api.metrics import ApiMetrics

# All clients of a replica that come back at once cost another one some 1 ms each.
_RECONNECT_WITHIN_MS = 5_000
# So many close frames at a time: each is a system call, and a client's answer two more.
_STEPS_A_S = 20


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

    @asynccontextmanager
    async def accepted(self, request: web.Request, dialect: Dialect) -> AsyncIterator[Outbox]:
        """Accept a websocket and hold it among the open ones until the block ends.

        Raises:
            aiohttp.web.HTTPBadRequest: The request is no handshake.
        """
        connection = Connection(request, dialect)
        await connection.accept()
        outbox = Outbox(connection)
        self._open.add(outbox)
        count = self._metrics.connections.labels(dialect.name)
        count.inc()
        failed = True
        try:
            if self.draining:
                connection.close(dialect.restart_code, b"server restart")
            yield outbox
            failed = False
        finally:
            if failed:
                # Else the answer to a failed request, an HTTP one, would follow on the websocket.
                connection.close(WSCloseCode.INTERNAL_ERROR)
            count.dec()
            self._open.discard(outbox)
            self._hub.leave(outbox)
            await connection.closed()
            code = connection.response.close_code
            self._metrics.closes.labels(dialect.name, "none" if code is None else str(code)).inc()

    async def drain(self) -> None:
        """Say goodbye where it is understood, and close all over the window; each is closed within 2 s after it."""
        self.draining = True
        leaving = list(self._open)
        if not leaving:
            return
        random.shuffle(leaving)
        for outbox in leaving:
            goodbye = outbox.connection.dialect.goodbye
            if goodbye is not None:
                # Spread evenly: those told first are closed first, but may come back at any time of the window.
                wait_ms = random.randrange(_RECONNECT_WITHIN_MS)  # noqa: S311 - spreads load
                self._hub.say(outbox, goodbye("restart", wait_ms))
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
