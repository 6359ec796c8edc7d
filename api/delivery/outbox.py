"""What waits for one connection: a short queue of answers, and the subscriptions that have something to send."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from api.delivery.subscription import Waiting

if TYPE_CHECKING:
    from api.delivery.connection import Connection
    from api.delivery.subscription import Subscription

# A client that asks and does not read gets no more memory than this: 256 answers of 4 kB are 1 MB.
CONTROL_MAX = 256
# A send takes 10 µs and copying 64 KiB takes 20 µs: larger frames gain nothing, and would delay other clients.
_FRAME_BYTES = 65_536


class Flushed(Enum):
    """How far a flush came."""

    ALL = "all"
    SOME = "some"
    BLOCKED = "blocked"


class Outbox:
    """What waits for one connection. Its size is bounded by the number of subscriptions, not by how often they change.

    Attributes:
        connection: Where it is written to.
        blocked_since_s: When the client stopped reading while something waited, in s; None while it reads.
        messages: How many messages it has written.
    """

    __slots__ = ("_control", "_pending", "blocked_since_s", "connection", "messages")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.blocked_since_s: float | None = None
        self.messages = 0
        # It is almost always empty; an empty deque would take 620 bytes.
        self._control: list[bytes] = []
        self._pending: dict[Subscription, None] = {}

    @property
    def is_overfull(self) -> bool:
        """Whether so many answers wait that the client cannot be reading them."""
        return len(self._control) > CONTROL_MAX

    @property
    def control_bytes(self) -> int:
        """Bytes of the answers that wait."""
        return sum(map(len, self._control))

    def put(self, message: bytes) -> None:
        """Queue an answer. Answers are written before the values of subscriptions."""
        self._control.append(message)

    def add(self, subscription: Subscription) -> None:
        """Note that a subscription has something to send."""
        self._pending[subscription] = None

    def discard(self, subscription: Subscription) -> None:
        """Note that a subscription has nothing to send any more."""
        self._pending.pop(subscription, None)

    def flush(self, now_s: float) -> Flushed:
        """Write what waits, up to the size of a frame, where the client reads."""
        connection, control, pending = self.connection, self._control, self._pending
        if connection.is_blocked:
            return Flushed.BLOCKED
        parts: list[bytes] = []
        size = 0
        while control and size < _FRAME_BYTES:
            parts.append(control.pop(0))
            size += len(parts[-1])
        left = len(pending)
        while pending and size < _FRAME_BYTES:
            subscription = next(iter(pending))
            # Time stands still in a turn. One whose next time came while the turn lasted would be due for ever, and
            # nothing else would run; so it waits for the next turn, unlike one that has more to say by now.
            if left <= 0 and subscription.due_s > now_s:
                break
            del pending[subscription]
            left -= 1
            subscription.waiting = Waiting.NOT
            message = subscription.take(now_s)
            if message is not None:
                parts.append(message)
                size += len(message)
            elif left < 0:
                break
        self._write(parts)
        return Flushed.SOME if pending or control else Flushed.ALL

    def flush_answers(self) -> None:
        """Write the answers that wait, where the client reads."""
        if not self.connection.is_blocked:
            self._write(list(self._control))
            self._control.clear()

    def _write(self, parts: list[bytes]) -> None:
        self.messages += len(parts)
        if not self.connection.dialect.batches:
            for part in parts:
                self.connection.write(part)
        elif parts:
            self.connection.write(b"[" + b",".join(parts) + b"]")
