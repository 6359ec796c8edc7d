"""Something a connection is to be sent now and then: at most one value of it waits, and that is the newest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.delivery.outbox import Outbox


class Waiting(Enum):
    """Where a subscription stands between two messages."""

    NOT = "not"
    FOR_ITS_TIME = "for its time"
    FOR_THE_SOCKET = "for the socket"


class Subscription(ABC):
    """One subscription of one connection.

    Attributes:
        outbox: The connection's.
        waiting: Kept by the hub.
        due_s: When it is sent at the earliest, in s of the loop's clock; kept by the hub while it waits for its time.
        tick: Where the hub finds it while it waits for its time.
    """

    __slots__ = ("due_s", "outbox", "tick", "waiting")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.waiting = Waiting.NOT
        self.due_s = 0.0
        self.tick = 0

    @abstractmethod
    def take(self, now_s: float) -> bytes | None:
        """The newest value, encoded, as it is sent at ``now_s``; None where there is nothing to say."""
