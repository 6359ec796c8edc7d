"""When to look at the head again: at once after a ``newHeads`` notification, else after the poll interval."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streams.node.rpc import RpcError
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from streams.node.rpc import WebsocketEndpoint

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 15.0
# While a subscription lives, polling only guards against one that has gone silent.
_SUBSCRIBED_INTERVALS = 10


class NewHeads:
    """Wakes its waiter for every new head that any subscription tells of.

    Args:
        poll_interval_ms: Longest wait while no subscription lives.
    """

    def __init__(self, poll_interval_ms: int) -> None:
        self._poll_s = poll_interval_ms / 1_000
        self._seen = asyncio.Event()
        self._live = 0

    def notify(self) -> None:
        """Wake the waiter: a new head was announced."""
        self._seen.set()

    async def wait(self) -> None:
        """Return when the head may have changed."""
        wait_s = self._poll_s * (_SUBSCRIBED_INTERVALS if self._live else 1)
        try:
            async with asyncio.timeout(wait_s):
                await self._seen.wait()
        except TimeoutError:
            pass
        self._seen.clear()

    async def listen(self, endpoint: WebsocketEndpoint) -> None:
        """Keep ``endpoint`` connected for ever; its subscription calls ``notify``."""
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                await endpoint.connect(_CONNECT_TIMEOUT_S)
                self._live += 1
                try:
                    await endpoint.closed()
                finally:
                    self._live -= 1
                backoff.reset()
            except RpcError as error:
                _log.warning("subscription failed endpoint=%s reason=%s", endpoint.label, error)
            self.notify()
            await asyncio.sleep(backoff.next_s())
