"""Who is let in at a port, and who is cut: connections are counted, and late ones are looked for."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from api.access.limits import Slots

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

    from api.access.addresses import ClientAddresses
    from api.http.listening import BoundedConnection

logger = logging.getLogger(__name__)

# What is late is found when all connections are looked at, which takes 1 ms for 20,000 of them.
_LOOKS_A_LIMIT = 4
_LOOK_EVERY_MAX_S = 1.0
# One refusal in a flood says as much as all: the others are only counted.
_LOG_REFUSALS_EVERY_S = 10.0


class TimeLimits(NamedTuple):
    """How long a connection may take, in s: settings under ``api.limits`` say for what."""

    head_s: float
    request_s: float
    idle_s: float


class ConnectionMetrics(NamedTuple):
    """What is counted of connections, by port and, of those that were refused or cut, by reason."""

    open: Gauge
    refused: Counter
    cut: Counter


class Door:
    """Lets connections in and cuts late ones.

    Where all places are taken, the connection that has rested for longest makes room: one on which no request is being
    answered, and which is no websocket. So nobody shuts the others out by connections that ask nothing.

    Args:
        port: The port's name in metrics and logs.
        most: How many connections may be open at once.
        most_of_address: How many of them one address may have.
        times: How long they may take.
        addresses: Tell which peers are trusted proxies, which have no limit of their own.
        metrics: Count those that are refused and cut.
    """

    def __init__(
        self,
        port: str,
        *,
        most: int,
        most_of_address: int,
        times: TimeLimits,
        addresses: ClientAddresses,
        metrics: ConnectionMetrics,
    ) -> None:
        self.times = times
        self._port = port
        self._most = most
        self._of_address = Slots(most_of_address)
        self._addresses = addresses
        self._metrics = metrics
        self._open: dict[BoundedConnection, str | None] = {}
        self._resting: OrderedDict[BoundedConnection, None] = OrderedDict()
        self._look_every_s = min(_LOOK_EVERY_MAX_S, min(times) / _LOOKS_A_LIMIT)
        self._next_look: asyncio.TimerHandle | None = None
        self._logged_s: float | None = None
        metrics.open.labels(port).set_function(lambda: len(self._open))

    def open(self) -> None:
        """Begin to look for late connections."""
        self._next_look = asyncio.get_running_loop().call_later(self._look_every_s, self._look)

    def close(self) -> None:
        """Look no longer."""
        if self._next_look is not None:
            self._next_look.cancel()

    def enter(self, connection: BoundedConnection, peer: str | None) -> bool:
        """Let a connection in, or say that there is no place for it."""
        key = self._addresses.key_of_peer(peer)
        if key is not None and not self._of_address.enter(key):
            self._refuse("address", peer)
            return False
        if len(self._open) >= self._most and not self._make_room():
            if key is not None:
                self._of_address.leave(key)
            self._refuse("no_room", peer)
            return False
        self._open[connection] = key
        self._resting[connection] = None
        return True

    def leave(self, connection: BoundedConnection) -> None:
        """Give a connection's place back, where it has one."""
        if connection not in self._open:
            return
        self._resting.pop(connection, None)
        key = self._open.pop(connection)
        if key is not None:
            self._of_address.leave(key)

    def wake(self, connection: BoundedConnection) -> None:
        """Take a connection out of those that rest, as it is being answered."""
        self._resting.pop(connection, None)

    def rest(self, connection: BoundedConnection) -> None:
        """Put a connection among those that rest, which may be cut to make room."""
        if connection in self._open:
            self._resting[connection] = None

    def _make_room(self) -> bool:
        if not self._resting:
            return False
        oldest, _ = self._resting.popitem(last=False)
        self.leave(oldest)
        self._cut(oldest, "made_room")
        return True

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in [one for one in self._open if one.late_s is not None and one.late_s <= now_s]:
            self._cut(connection, connection.stage)
        self._next_look = loop.call_later(self._look_every_s, self._look)

    def _cut(self, connection: BoundedConnection, reason: str) -> None:
        self._metrics.cut.labels(self._port, reason).inc()
        connection.cut()

    def _refuse(self, reason: str, peer: str | None) -> None:
        self._metrics.refused.labels(self._port, reason).inc()
        now_s = asyncio.get_running_loop().time()
        if self._logged_s is None or now_s - self._logged_s >= _LOG_REFUSALS_EVERY_S:
            self._logged_s = now_s
            found = self._port, reason, peer, len(self._open)
            logger.warning("connection refused port=%s reason=%s peer=%s open=%d", *found)
