"""What the core wants done: three things for whoever holds the socket, and events for whoever uses the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Message = dict[str, Any]
"""One message of the server, as asyncapi.yaml says."""


class Held(NamedTuple):
    """What stands of a key: the state that was last sent, or patched together, and what tells it from others."""

    epoch: int
    seq: list[int]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a socket, and say ``receive`` or ``lost`` of what becomes of it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the socket with 1000; nothing that still comes of it is handed to the core."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the server as it came, before anything is made of it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Changed:
    """A key has a new state.

    Attributes:
        channel: The channel.
        key: The key in its usual spelling.
        held: The whole state.
        patch: What changed in it; None where the whole of it came.
    """

    channel: str
    key: str
    held: Held
    patch: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A delta did not follow from what is held: something was lost, and all of it was asked for again."""

    channel: str
    key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server refuses some keys for good; ``error`` says why, and nothing more will come of them."""

    channel: str
    keys: list[str]
    error: Message


@dataclass(frozen=True, slots=True)
class Status:
    """What became of the connection.

    Attributes:
        name: ``ended`` is for good: coming back would end the same.
        reason: Why, where it is waiting or ended.
        code: The close code, where there was one.
        retry_in_s: How long it waits before it connects again, in s.
    """

    name: Literal["connecting", "live", "waiting", "ended"]
    reason: str = ""
    code: int | None = None
    retry_in_s: float = 0.0


Event = Heard | Changed | Gap | Refused | Status
Action = Connect | Send | Disconnect | Event
