"""Heartbeats: they say that the server lives, how late its figures are, and which sources of prices speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.delivery.subscription import Subscription
from api.dialects.native.protocol import heartbeat
from api.tables.deployment_states import deployment_states
from models.instants import ns_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.tables.feeds import Feeds
    from api.tables.freshness import Freshness
    from api.tables.price_sources import Sources
    from streams.settings import Settings

HEARTBEAT_S = 5.0
# Heartbeats of connections are spread over the 5 s. Those within this time share one, which is encoded once.
_SHARED_FOR_S = 0.5


class Pulse:
    """Makes the heartbeat that all connections share.

    Args:
        settings: Which deployments there are.
        feeds: The tables.
        sources: The sources of prices.
        freshness: Tells what is stale.
        clock_ms: Our own time, in Unix ms.
        replay_of: Says of which instant everything is a replay; None where nothing is replayed.
    """

    def __init__(
        self,
        settings: Settings,
        feeds: Feeds,
        sources: Sources,
        freshness: Freshness,
        clock_ms: Callable[[], int],
        *,
        replay_of: Callable[[], str] | None = None,
    ) -> None:
        self._replay_of = replay_of
        self._settings = settings
        self._feeds = feeds
        self._sources = sources
        self._freshness = freshness
        self._clock_ms = clock_ms
        self._message = b""
        self._made_s = 0.0

    def message(self, now_s: float) -> bytes:
        """Return the encoded heartbeat, made at most ``_SHARED_FOR_S`` ago."""
        if not self._message or now_s - self._made_s > _SHARED_FOR_S:
            self._message, self._made_s = heartbeat(self._said()), now_s
        return self._message

    def _said(self) -> dict[str, Any]:
        now_ms = self._clock_ms()
        feeds = self._feeds.by_table().values()
        seen = self._freshness.look()
        stale = {part.name: part.age_ms for part in seen.stale if part.age_ms is not None}
        replayed = {} if self._replay_of is None else {"replay_of": self._replay_of()}
        return {
            **replayed,
            "server_time_ns": ns_text(now_ms),
            "is_ready": all(feed.is_ready for feed in feeds),
            "lag_ms": self._freshness.lag_ms(seen),
            "stale": stale,
            "deployments": deployment_states(self._settings, self._feeds, self._freshness),
            "sources": self._sources.states(),
        }


class Heartbeat(Subscription):
    """One connection's heartbeats.

    Args:
        outbox: The connection's.
        hub: Sends.
        pulse: Makes them.
        check: Called with each, with the loop's time in s; it ends a connection that is no longer to be served.
    """

    __slots__ = ("_check", "_hub", "_pulse")

    def __init__(self, outbox: Outbox, hub: Hub, pulse: Pulse, check: Callable[[float], None]) -> None:
        super().__init__(outbox)
        self._hub = hub
        self._pulse = pulse
        self._check = check

    def start(self) -> None:
        """Send a heartbeat after ``HEARTBEAT_S``, and then one after another."""
        self._hub.at(self, self._hub.now_s() + HEARTBEAT_S)

    def take(self, now_s: float) -> bytes | None:
        """Return the newest heartbeat; those that were due while the client did not read are left out."""
        self._hub.at(self, now_s + HEARTBEAT_S)
        self._check(now_s)
        return self._pulse.message(now_s)
