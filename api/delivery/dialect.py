"""What the clients of one endpoint understand beside their data, and how patiently they are served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

# aiohttp notices a client that vanished without a close after 1.5 of these.
_PING_S = 20.0
TOKEN_EXPIRED = 4401
"""The close code of a connection whose token has ended; clients that come back with the same token get 401."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How connections of one endpoint are served.

    Old clients take every frame for data and give up after a few failed reconnects. A dialect for them has no goodbye
    and never closes a connection for being slow.

    Attributes:
        name: The endpoint's name in metrics.
        batches: Whether the messages of one turn go out as one JSON array; else each is a frame of its own.
        max_message_bytes: The largest message of a client; a larger one closes the connection with 1009.
        unsent_bytes: How many bytes may wait for the kernel before the client counts as not reading.
        kernel_bytes: Size of the kernel's send buffer, which is what a client that does not read costs there.
        restart_code: The close code when the server goes away.
        slow_after_s: How long a client may not read before it is closed with ``slow_code``, in s; None for ever.
        slow_code: The close code for a client that does not read.
        goodbye: Encodes the last message, from the reason and the ms to come back after; None where there is none.
        subprotocols: What the handshake may agree on.
        ends_with_token: Whether a connection is closed when its client's token ends; an endpoint whose clients may send
            another token sees to that itself.
        ping_s: Time between protocol pings, in s.
        pong_s: How long a pong is waited for before the connection is cut, in s, less than ``ping_s``; None for half
            of that, rounded up to whole seconds as aiohttp does it.
    """

    name: str
    batches: bool
    max_message_bytes: int
    unsent_bytes: int
    kernel_bytes: int
    restart_code: int = WSCloseCode.SERVICE_RESTART
    slow_after_s: float | None = None
    slow_code: int = WSCloseCode.POLICY_VIOLATION
    goodbye: Callable[[str, int], bytes] | None = None
    subprotocols: tuple[str, ...] = ()
    ends_with_token: bool = True
    ping_s: float = _PING_S
    pong_s: float | None = None
