"""The array frames of one connection, with the numbers that clients audit.

With ``SEQ_ALL`` a frame ends in the connection's public number, which counts the frames of all channels from 1. Frames
of the account end in the account's number too: 0 for the snapshots of a login, then 1, 2, 3 … Clients raise an error at
any gap, so these rules are exact: a heartbeat has a public number only; a notification repeats the account's number;
one whose type ends in ``-req`` has no public number and takes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from api.dialects.bitfinex.wire_flags import SEQ_ALL, TIMESTAMP, Ms, spelt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACCOUNT = 0
"""The channel of the account."""

_NOTIFICATION = "n"
_HEARTBEAT = "hb"


class NumberedFrames:
    """Encodes frames. Each must be written, and in the order in which they are made.

    Args:
        clock_ms: Our own time, in Unix ms.

    Attributes:
        flags: The flags that the client asked for.
        is_synced: Whether the snapshots of the login are done, so that the account's frames are numbered.
    """

    __slots__ = ("_account_number", "_clock_ms", "_public_number", "flags", "is_synced")

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.flags = 0
        self.is_synced = False
        self._clock_ms = clock_ms
        self._public_number = 0
        self._account_number = 0

    def restart_account(self) -> None:
        """Count the account's frames anew, for another login on the same connection."""
        self.is_synced = False
        self._account_number = 0

    def of_account(self, type_: str, payload: Sequence[Any]) -> bytes:
        """Encode a frame of the account.

        Args:
            type_: Its type, such as ``pu``.
            payload: The array of the type.
        """
        is_notification = type_ == _NOTIFICATION
        if self.is_synced and not is_notification:
            self._account_number += 1
        tail: list[int] = []
        if self.flags & SEQ_ALL:
            tail = [self._account_number]
            if not (is_notification and str(payload[1]).endswith("-req")):
                tail.insert(0, self._next_public())
        return self._encoded([ACCOUNT, type_, payload, *tail])

    def of_channel(self, channel: int, payload: Sequence[Any]) -> bytes:
        """Encode a frame of a public channel."""
        return self._encoded([channel, payload, *self._public_tail()])

    def heartbeat(self, channel: int) -> bytes:
        """Encode the frame of a channel that had nothing to say."""
        return self._encoded([channel, _HEARTBEAT, *self._public_tail()])

    def _public_tail(self) -> list[int]:
        return [self._next_public()] if self.flags & SEQ_ALL else []

    def _next_public(self) -> int:
        self._public_number += 1
        return self._public_number

    def _encoded(self, frame: list[Any]) -> bytes:
        if self.flags & TIMESTAMP:
            frame.append(Ms(self._clock_ms()))
        return orjson.dumps(spelt(frame, self.flags))
