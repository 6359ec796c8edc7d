"""What the clients of a dialect understand beside their data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

# A client that vanished without a word is noticed after 1.5 of these.
_PING_S = 20.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """How connections of one endpoint are served.

    Old clients take every frame for data and give up after a few failed reconnects. What they do not understand is
    absent here and never happens to them: no goodbye, and no close for being slow.

    Attributes:
        name: The endpoint, in metrics.
        batches: Whether what is due goes out as one JSON array, or each message as a frame of its own.
        max_message_bytes: A larger message of a client closes with 1009.
        unsent_bytes: What the kernel did not take, in bytes, beyond which a connection is held to be not reading.
        kernel_bytes: The kernel's own buffer, in bytes: what a client that does not read costs us there.
        restart_code: The close code when the server goes away.
        slow_after_s: How long a connection may not read until it is closed with ``slow_code``; None: for ever.
        slow_code: The close code of one that does not read.
        goodbye: Makes the last message: (reason, after how many ms to come back); None where there is none.
        subprotocols: What the handshake may agree on.
        ping_s: Seconds between protocol pings.
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
    ping_s: float = _PING_S
