"""One replica of the api over a replayed log: the same application, dialects and routes, on the replay's clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from api.app import create_app
from api.http.keys import DIALECTS
from api.replay.replayed_explanations import ReplayedExplanations
from api.replay.replayed_tables import ReplayedFeed, ReplayedInterest, ReplayedRecords, tell
from api.tables.feeds import Feeds
from models.engine.tables import SERVED_TABLES
from streams.kafka.reader import TopicReader

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from streams.process.clock import Clock
    from streams.replay.replayed_log import Moved
    from streams.settings import Settings

logger = logging.getLogger(__name__)

# There is no such host, by RFC 2606: whatever of the application wanted to reach a cluster, it could not.
_NO_CLUSTER = "replay.invalid:9092"
# Clients come back to the same port, and none of them is to wait for others.
_DRAIN_S = 0.2


class ReplayReplica:
    """Shows what a replay has come to.

    Args:
        settings: What is served, and to whom.
        clock: The replay's.
        machine: The machine's, by which tokens end.

    Raises:
        BadSettings: No deployment is configured, or a dialect cannot be mounted as the settings say.

    Attributes:
        app: The public application; it is not started here.
    """

    def __init__(self, settings: Settings, clock: Clock, machine: Clock) -> None:
        own = _settings_of(settings)
        self._clock = clock
        self._feeds = {table: ReplayedFeed(table, clock) for table in SERVED_TABLES}
        records = ReplayedRecords(own, clock)
        self.app: web.Application = create_app(
            own, Feeds(*self._feeds.values()), ReplayedInterest(), clock=clock, records=records, machine=machine,
            explanations=ReplayedExplanations(),
        )  # fmt: skip
        self._readers: dict[str, TopicReader] = {}
        for resource in self.app[DIALECTS].resources:
            if isinstance(resource, TopicReader):
                self._readers[resource.topic] = resource
            else:
                logger.warning("topic=%s is not replayed: what reads it does so in a way of its own", resource.topic)
        records.readers = self._readers

    @property
    def topics(self) -> Collection[str]:
        """Full names of the topics that dialects read."""
        return self._readers.keys()

    def take(self, moved: Moved) -> None:
        """Show what the replay has come to; the clock stands there already."""
        for topic, reader in self._readers.items():
            tell(reader, moved.records.get(topic, ()))
        at_ms = self._clock.now_ms()
        for table, rows in moved.rows.items():
            feed = self._feeds.get(table)
            if feed is not None and rows:
                feed.take(rows, at_ms)


def _settings_of(settings: Settings) -> Settings:
    """The configuration as a replay serves it: one partition, as the engine in memory has, and nothing to write to."""
    return settings.model_copy(
        update={
            "kafka": _NO_CLUSTER,
            "topics": settings.topics.model_copy(update={"partitions": 1}),
            "deployments": {name: one.replayed() for name, one in settings.deployments.items()},
            "api": settings.api.model_copy(update={"drain_s": _DRAIN_S}),
        }
    )
