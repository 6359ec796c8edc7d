"""Heartbeats: that the server lives, how late its figures are, and which of their sources speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.delivery.subscription import Subscription
from api.dialects.native.protocol import heartbeat
from api.tables.deployment_heads import deployment_progress
from api.tables.feeds import behind_ms
from models.errors import BadRow
from models.instants import ns_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.tables.feeds import Feeds
    from api.tables.price_sources import Sources
    from streams.settings import Settings

HEARTBEAT_S = 5.0
# Connections' heartbeats are spread over the 5 s; those within this share one, encoded once.
_SHARED_FOR_S = 0.5


class Pulse:
    """The heartbeat of now, the same for every connection.

    Args:
        settings: Which deployments there are.
        feeds: The tables.
        sources: The sources of prices.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, settings: Settings, feeds: Feeds, sources: Sources, clock_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._feeds = feeds
        self._sources = sources
        self._clock_ms = clock_ms
        self._message = b""
        self._made_s = 0.0

    def message(self, now_s: float) -> bytes:
        """The heartbeat, at most ``_SHARED_FOR_S`` old."""
        if not self._message or now_s - self._made_s > _SHARED_FOR_S:
            self._message, self._made_s = heartbeat(self._said()), now_s
        return self._message

    def _said(self) -> dict[str, Any]:
        now_ms = self._clock_ms()
        feeds = self._feeds.by_table().values()
        return {
            "server_time_ns": ns_text(now_ms),
            "is_ready": all(feed.is_ready for feed in feeds),
            "lag_ms": max(behind_ms(feed, now_ms) for feed in feeds),
            "deployments": {name: self._deployment(name) for name in self._settings.deployments},
            "sources": self._sources.states(),
        }

    def _deployment(self, name: str) -> dict[str, Any]:
        try:
            progress = deployment_progress(self._feeds, name, self._settings.topics.partitions)
        except BadRow:
            progress = None
        if progress is None:
            return {"status": "unknown"}
        said = {
            "status": "followed" if progress.unsupported_since is None else "unsupported",
            "head": progress.head,
            "head_time_ns": ns_text(progress.head_time_s * 1000),
        }
        return said if progress.folded_head is None else {**said, "folded_head": progress.folded_head}


class Heartbeat(Subscription):
    """One connection's heartbeats; with each, ``check`` looks whether the connection is still to be served."""

    __slots__ = ("_check", "_hub", "_pulse")

    def __init__(self, outbox: Outbox, hub: Hub, pulse: Pulse, check: Callable[[float], None]) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._pulse = pulse
        self._check = check

    def start(self) -> None:
        """Send one in ``HEARTBEAT_S``, and then again and again."""
        self._hub.at(self, self._hub.now_s() + HEARTBEAT_S)

    def take(self, now_s: float) -> bytes | None:
        """The newest heartbeat; those that were due while the client did not read are not made up for."""
        self._hub.at(self, now_s + HEARTBEAT_S)
        self._check(now_s)
        return self._pulse.message(now_s)
