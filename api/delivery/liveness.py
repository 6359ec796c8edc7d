"""Pings a client at set times, and cuts a connection whose client does not answer in a set time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Liveness:
    """Watches one connection, from when it is made until ``stop``.

    aiohttp has a heartbeat of its own, which waits for half as long as it rests, and rounds both up to whole seconds.

    Args:
        ping: Sends a ping; it never waits.
        give_up: Called once where no pong came in time; nothing is sent after it.
        ping_s: From one ping to the next, in s.
        pong_s: How long a pong is waited for, in s, less than ``ping_s``.
    """

    __slots__ = ("_give_up", "_loop", "_ping", "_ping_s", "_pinged_s", "_pong_s", "_timer")

    def __init__(self, ping: Callable[[], None], give_up: Callable[[], None], *, ping_s: float, pong_s: float) -> None:
        self._ping = ping
        self._give_up = give_up
        self._ping_s = ping_s
        self._pong_s = pong_s
        self._loop = asyncio.get_running_loop()
        self._pinged_s: float | None = None
        self._timer = self._loop.call_later(ping_s, self._send)

    def heard(self) -> None:
        """Note that a pong came."""
        if self._pinged_s is not None:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._pinged_s + self._ping_s, self._send)
            self._pinged_s = None

    def stop(self) -> None:
        """Ping no more."""
        self._timer.cancel()

    def _send(self) -> None:
        self._pinged_s = self._loop.time()
        self._timer = self._loop.call_later(self._pong_s, self._give_up)
        self._ping()
