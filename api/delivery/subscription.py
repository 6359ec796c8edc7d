"""A subscription: something whose newest value a connection is sent again and again. At most one value waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.delivery.outbox import Outbox


class Waiting(Enum):
    """What a subscription waits for before it is sent next."""

    NOT = "not"
    FOR_ITS_TIME = "for its time"
    FOR_THE_SOCKET = "for the socket"


class Subscription(ABC):
    """One subscription of one connection. The hub keeps all attributes but ``outbox``.

    Attributes:
        outbox: The connection's.
        waiting: What it waits for.
        due_s: When it is sent at the earliest, in s of the loop's clock.
        tick: The tick of the hub's timer in which it is found while it waits for its time.
    """

    __slots__ = ("due_s", "outbox", "tick", "waiting")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.waiting = Waiting.NOT
        self.due_s = 0.0
        self.tick = 0

    @abstractmethod
    def take(self, now_s: float) -> bytes | None:
        """Encode the newest value as it is sent at ``now_s``; None where there is nothing to send."""
