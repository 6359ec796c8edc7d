"""The open websockets of this replica: accepted, registered, and closed in good order when the server goes away."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import WSCloseCode, web

from api.access.gate import known_principal_of
from api.access.limits import Slots, TokenBucket
from api.delivery.connection import Connection
from api.delivery.dialect import TOKEN_EXPIRED
from api.delivery.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from api.access.addresses import ClientAddresses
    from api.delivery.dialect import Dialect
    from api.delivery.hub import Hub
    from api.http.metrics import ApiMetrics

# A client that comes back costs another replica some 1 ms: all of a replica's clients are spread over this.
_RECONNECT_WITHIN_MS = 5_000
# Connections are closed in so many steps a second. Each close is a system call, and a client's answer two more.
_STEPS_A_S = 20
# The wall clock may be set while a token holds, so it is looked at again at least this often.
_LOOK_AT_CLOCK_AFTER_S = 60.0
_RETRY_AFTER_S = 1


class SocketLimits(NamedTuple):
    """How many websockets of every endpoint together may be open at once, and what each may send.

    Attributes:
        most: Those of all clients.
        most_of_address: Those of a client's address, seen through trusted proxies.
        messages_per_s: How many messages a client may send in a second; as many pings may come beside them.
        messages_burst: How many at once after a rest.
        addresses: Tell where a request comes from.
    """

    most: int
    most_of_address: int
    messages_per_s: int
    messages_burst: int
    addresses: ClientAddresses


class _Accepted:
    """Holds a connection from the handshake to the end. A generator would take 1 KiB more for each connection."""

    __slots__ = ("_client", "_connection", "_connections", "_ending", "_expires_s", "_outbox")

    def __init__(self, connections: Connections, connection: Connection, client: str, expires_s: int | None) -> None:
        self._connections = connections
        self._connection = connection
        self._outbox = Outbox(connection)
        self._client = client
        self._expires_s = expires_s
        self._ending: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Outbox:
        self._connections.take_place(self._client)
        try:
            await self._connection.accept()
        except BaseException:  # a place must not stay taken, also where the client leaves and this is cancelled
            self._connections.leave_place(self._client)
            raise
        self._connections.enter(self._outbox)
        if self._expires_s is not None:
            self._end_when_expired(self._expires_s)
        return self._outbox

    def _end_when_expired(self, expires_s: int) -> None:
        left_s = self._connections.left_s(expires_s)
        if left_s <= 0:
            self._connections.expire(self._outbox)
            return
        wait_s = min(left_s, _LOOK_AT_CLOCK_AFTER_S)
        self._ending = asyncio.get_running_loop().call_later(wait_s, self._end_when_expired, expires_s)

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if failed is not None:
            # Without this, aiohttp would answer the failed request in HTTP, on a websocket.
            self._connection.close(WSCloseCode.INTERNAL_ERROR)
        try:
            await self._connections.leave(self._outbox)
        finally:
            self._connections.leave_place(self._client)


class Connections:
    """Every open websocket. While the server goes away, new ones are closed at once.

    Args:
        hub: Writes to them.
        metrics: Counts them.
        drain_s: The time over which they are closed when the server goes away, in s.
        limits: How many may be open at once.
        clock_ms: The machine's time, in Unix ms, whatever is replayed; tokens end by it.
    """

    def __init__(
        self, hub: Hub, metrics: ApiMetrics, drain_s: float, limits: SocketLimits, clock_ms: Callable[[], int]
    ) -> None:
        self._hub = hub
        self._metrics = metrics
        self._drain_s = drain_s
        self._limits = limits
        self._clock_ms = clock_ms
        self._of_address = Slots(limits.most_of_address)
        self._places_taken = 0
        self._open: set[Outbox] = set()
        self.draining = False

    def accepted(self, request: web.Request, dialect: Dialect) -> AbstractAsyncContextManager[Outbox]:
        """Accept a websocket and hold it among the open ones until the block ends, or its client's token does.

        Raises:
            aiohttp.web.HTTPBadRequest: The request is no handshake.
            aiohttp.web.HTTPTooManyRequests: The client's address has too many open.
            aiohttp.web.HTTPServiceUnavailable: Too many are open.
        """
        limits = self._limits
        messages, pings = (TokenBucket(limits.messages_per_s, limits.messages_burst) for _ in range(2))
        principal = known_principal_of(request) if dialect.ends_with_token else None
        return _Accepted(
            self,
            Connection(request, dialect, messages, pings),
            limits.addresses.limit_key_of(request),
            None if principal is None else principal.expires_s,
        )

    def left_s(self, expires_s: int) -> float:
        """Return for how long a token still holds, in s; 0 or less where it has ended.

        Args:
            expires_s: When it ends, in Unix s.
        """
        return expires_s - self._clock_ms() / 1000

    def expire(self, outbox: Outbox) -> None:
        """Close a connection whose client's token has ended."""
        self._hub.close(outbox, TOKEN_EXPIRED, b"token expired")

    def take_place(self, client: str) -> None:
        """Take a place for a client, which ``leave_place`` gives back.

        Raises:
            aiohttp.web.HTTPTooManyRequests: The client's address has no place left.
            aiohttp.web.HTTPServiceUnavailable: Nobody has.
        """
        retry = {"Retry-After": str(_RETRY_AFTER_S)}
        if self._places_taken >= self._limits.most:
            self._metrics.refused_sockets.labels("no_room").inc()
            raise web.HTTPServiceUnavailable(headers=retry, text="expected fewer open websockets")
        if not self._of_address.enter(client):
            self._metrics.refused_sockets.labels("address").inc()
            raise web.HTTPTooManyRequests(headers=retry, text="expected fewer open websockets from one address")
        self._places_taken += 1

    def leave_place(self, client: str) -> None:
        """Give a client's place back."""
        self._places_taken -= 1
        self._of_address.leave(client)

    def enter(self, outbox: Outbox) -> None:
        """Add a connection to the open ones."""
        self._open.add(outbox)
        dialect = outbox.connection.dialect
        self._metrics.connections.labels(dialect.name).inc()
        if self.draining:
            outbox.connection.close(dialect.restart_code, b"server restart")

    async def leave(self, outbox: Outbox) -> None:
        """Remove a connection from the open ones, and wait until its close is done."""
        connection = outbox.connection
        self._metrics.connections.labels(connection.dialect.name).dec()
        self._open.discard(outbox)
        self._hub.leave(outbox)
        await connection.closed()
        code = connection.response.close_code
        self._metrics.closes.labels(connection.dialect.name, "none" if code is None else str(code)).inc()

    def say_goodbye(self, outbox: Outbox, reason: str) -> None:
        """Tell a client that its connection is about to be closed, and when to come back.

        The time to come back is random, so that clients do not come back all at once. A dialect without a goodbye sends
        nothing.
        """
        goodbye = outbox.connection.dialect.goodbye
        if goodbye is not None:
            wait_ms = random.randrange(_RECONNECT_WITHIN_MS)  # noqa: S311 - spreads load
            self._hub.say(outbox, goodbye(reason, wait_ms))

    async def drain(self) -> None:
        """Say goodbye to all clients, and close their connections one after another over the window.

        Each connection is closed within 2 s after the window.
        """
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
            # The time that closing takes is not added to the window.
            due_s = began_s + self._drain_s * (step + 1) / steps
            await asyncio.sleep(max(0.0, due_s - self._hub.now_s()))
            for outbox in leaving[step::steps]:
                # The goodbye may still wait here; closing sends it first.
                self._hub.close(outbox, outbox.connection.dialect.restart_code, b"server restart")
        await asyncio.gather(*(outbox.connection.closed() for outbox in leaving))
