"""The wait for the next look at the head: until a ``newHeads`` notification, or for the poll interval."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge

from streams.node.rpc import RpcError
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_LIVE = Gauge("tidemark_chain_subscriptions", "Subscriptions to new heads that are taken.", ("deployment",))
_SILENT = Counter(
    "tidemark_chain_silent_subscriptions_total",
    "Subscriptions that were replaced, since the head moved and they did not say so.",
    ("deployment", "endpoint"),
)

_CONNECT_TIMEOUT_S = 15.0
# While there is a subscription, polling only guards against one that has gone silent.
_SUBSCRIBED_INTERVALS = 10
# A look at the head falls into every such while, so a head that moves is known to have moved.
_WATCHED_INTERVALS = 2 * _SUBSCRIBED_INTERVALS
# A look may be a moment ahead of the announcement, once.
_SILENT_WATCHES = 2


class Subscription(Protocol):
    """An endpoint's subscription to new heads; ``heads`` counts those that it announced."""

    label: str
    heads: int

    async def subscribe(self, timeout_s: float) -> None:
        """Be connected and subscribed within ``timeout_s`` seconds, or raise an RpcError."""

    async def closed(self) -> None:
        """Return when the connection has ended."""

    async def disconnect(self) -> None:
        """End the connection."""


class NewHeads:
    """Wakes its waiter for every new head of which any subscription notifies us.

    Args:
        deployment: Name for logs and metrics.
        poll_interval_ms: The longest wait while there is no subscription, in ms.
    """

    def __init__(self, deployment: str, poll_interval_ms: int) -> None:
        self._deployment = deployment
        self._poll_s = poll_interval_ms / 1_000
        self._seen = asyncio.Event()
        self._live = 0
        self._count_live(0)

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

    async def listen(self, endpoint: Subscription, highest: Callable[[], int]) -> None:
        """Keep ``endpoint`` subscribed for ever; its subscription calls ``notify``.

        A subscription that was refused is none, and one that stays silent while the head moves is replaced: heads are
        then looked for at every poll interval.

        Args:
            endpoint: Where to subscribe.
            highest: Tells the highest block that is known by now.
        """
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                await endpoint.subscribe(_CONNECT_TIMEOUT_S)
                self._count_live(1)
                try:
                    is_silent = await self._is_silent(endpoint, highest)
                finally:
                    self._count_live(-1)
                if is_silent:
                    _SILENT.labels(self._deployment, endpoint.label).inc()
                    _log.warning(
                        "subscription silent, replaced deployment=%s endpoint=%s", self._deployment, endpoint.label
                    )
                    await endpoint.disconnect()
                else:
                    backoff.reset()
            except RpcError as error:
                _log.warning(
                    "subscription failed deployment=%s endpoint=%s reason=%s", self._deployment, endpoint.label, error
                )
            self.notify()
            await asyncio.sleep(backoff.next_s())

    async def _is_silent(self, endpoint: Subscription, highest: Callable[[], int]) -> bool:
        """Wait until the connection ends or the head has moved unannounced, and tell whether it is the latter."""
        closing = asyncio.ensure_future(endpoint.closed())
        silent_for = 0
        try:
            while silent_for < _SILENT_WATCHES:
                heads, before = endpoint.heads, highest()
                await asyncio.wait([closing], timeout=self._poll_s * _WATCHED_INTERVALS)
                if closing.done():
                    return False
                # The first head that is known at all has not moved.
                has_moved = 0 <= before < highest()
                if endpoint.heads != heads:
                    silent_for = 0
                elif has_moved:
                    silent_for += 1
            return True
        finally:
            closing.cancel()

    def _count_live(self, change: int) -> None:
        self._live += change
        _LIVE.labels(self._deployment).set(self._live)
