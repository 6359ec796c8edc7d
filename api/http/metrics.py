"""The api's Prometheus metrics; docs/metrics.md says what each means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from api.tables.deployment_heads import known_progress
from api.tables.feeds import behind_ms
from models.freshness import State
from streams.kafka.requests import REQUESTS
from streams.process.overload import OVERLOADED
from streams.process.unreadable_rows import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from api.delivery.hub import Hub
    from api.dialects.native.directory import Directory
    from api.tables.feeds import Feeds
    from api.tables.freshness import Freshness
    from streams.settings import Settings

# A change takes some 15 µs for each socket that watches: for 10,000 of them it takes 150 ms.
_WRITTEN_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# With a feed that has been read the answer takes well under 100 ms; above 1 s it waited for a feed to be read.
_FIRST_FRAME_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class ApiMetrics:
    """The metrics of one application, in a registry of their own.

    Args:
        settings: How many partitions and which deployments there are.
        feeds: The tables, whose progress is reported.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, settings: Settings, feeds: Feeds, clock_ms: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        for of_process in (REQUESTS, OVERLOADED, UNREADABLE):
            self.registry.register(of_process)
        self.registry.register(_FeedCollector(settings, feeds, clock_ms))
        self.connections = Gauge(
            "tidemark_api_connections",
            "Open websockets",
            ["endpoint"],
            registry=self.registry,
        )
        self.watched_accounts = Gauge(
            "tidemark_api_watched_accounts",
            "Accounts with at least one watcher",
            registry=self.registry,
        )
        self.frames = Counter(
            "tidemark_api_frames",
            "Frames handed to the transport",
            ["endpoint", "kind"],
            registry=self.registry,
        )
        self.kept_inputs = Counter(
            "tidemark_api_kept_inputs",
            "Records of what figures were made of that this replica computed",
            ["outcome"],
            registry=self.registry,
        )
        self.skipped_frames = Counter(
            "tidemark_api_skipped_frames",
            "Frames that were due and not sent",
            ["endpoint", "reason"],
            registry=self.registry,
        )
        self.ignored_messages = Counter(
            "tidemark_api_ignored_messages",
            "Messages of clients that were not understood and not answered",
            ["endpoint", "reason"],
            registry=self.registry,
        )
        self.first_frame_seconds = Histogram(
            "tidemark_api_first_frame_seconds",
            "From an address to its first frame",
            ["endpoint"],
            buckets=_FIRST_FRAME_BUCKETS_S,
            registry=self.registry,
        )
        self.requests = Counter(
            "tidemark_api_requests",
            "HTTP requests answered, websockets not counted",
            ["route", "status"],
            registry=self.registry,
        )
        self.closes = Counter(
            "tidemark_api_closes",
            "Websockets that ended, by close code",
            ["endpoint", "code"],
            registry=self.registry,
        )
        self._count_at_the_door()

    def _count_at_the_door(self) -> None:
        """Count what is let in, and what is not."""
        self.open_connections = Gauge(
            "tidemark_api_open_connections",
            "Connections of any kind",
            ["port"],
            registry=self.registry,
        )
        self.refused_connections = Counter(
            "tidemark_api_refused_connections",
            "Connections that were not let in",
            ["port", "reason"],
            registry=self.registry,
        )
        self.limited_requests = Counter(
            "tidemark_api_limited_requests",
            "Requests that were refused because their address sent too many",
            registry=self.registry,
        )
        self.refused_sockets = Counter(
            "tidemark_api_refused_sockets",
            "Websockets that were not let in",
            ["reason"],
            registry=self.registry,
        )
        self.cut_connections = Counter(
            "tidemark_api_cut_connections",
            "Connections that were ended because they were late, or to make room",
            ["port", "reason"],
            registry=self.registry,
        )

    def tell_freshness(self, freshness: Freshness) -> None:
        """Report how old everything is."""
        self.registry.register(_FreshnessCollector(freshness))

    def deliver(self, hub: Hub, directory: Directory) -> None:
        """Report what is delivered by ``hub`` to the subscriptions of ``directory``."""
        self.registry.register(_DeliveryCollector(hub, directory))
        written = Histogram(
            "tidemark_api_written_seconds",
            "From a change, or a time, to the last write that it made due",
            buckets=_WRITTEN_BUCKETS_S,
            registry=self.registry,
        )
        hub.on_written = written.observe


class _DeliveryCollector(Collector):
    """Reads the hub's counts at each scrape. A Prometheus counter takes a lock, which costs as much as encoding."""

    def __init__(self, hub: Hub, directory: Directory) -> None:
        self._hub = hub
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        hub = self._hub
        subscriptions = GaugeMetricFamily("tidemark_api_subscriptions", "Subscriptions of /v1/ws", labels=["channel"])
        for channel, count in self._directory.counts().items():
            subscriptions.add_metric([channel], count)
        return (
            subscriptions,
            CounterMetricFamily("tidemark_api_messages", "Messages handed to the transport", hub.messages),
            CounterMetricFamily(
                "tidemark_api_conflated_changes", "Changes that found an older one still waiting", hub.conflated
            ),
            CounterMetricFamily("tidemark_api_turns", "Turns of the loop in which messages were written", hub.turns),
            CounterMetricFamily("tidemark_api_turn_seconds", "Time those turns took", hub.busy_s),
            CounterMetricFamily(
                "tidemark_api_slow_closes", "Connections closed because their clients did not read", hub.slow_closes
            ),
            GaugeMetricFamily(
                "tidemark_api_blocked_connections", "Connections whose clients do not read what waits", hub.blocked
            ),
            GaugeMetricFamily("tidemark_api_outbox_bytes", "Bytes of answers that wait for them", hub.control_bytes),
        )


class _FreshnessCollector(Collector):
    """Looks at the ages at each scrape; a part that was never heard of has none."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness

    def collect(self) -> Iterable[GaugeMetricFamily]:
        age = GaugeMetricFamily("tidemark_part_age_seconds", "Age of the newest sign of life", labels=["part"])
        stale = GaugeMetricFamily("tidemark_part_stale", "1 while what it keeps fresh is stale", labels=["part"])
        unfolded = GaugeMetricFamily(
            "tidemark_unfolded_partitions", "Partitions in which nobody folds its records", labels=["deployment"]
        )
        seen = self._freshness.look()
        for name, part in seen.parts.items():
            if part.age_ms is not None:
                age.add_metric([name], part.age_ms / 1_000)
                stale.add_metric([name], float(part.state is State.STALE))
        for deployment, partitions in self._freshness.unfolded_partitions(seen).items():
            unfolded.add_metric([deployment], partitions)
        return age, stale, unfolded


class _FeedCollector(Collector):
    """Reads the feeds at each scrape."""

    def __init__(self, settings: Settings, feeds: Feeds, clock_ms: Callable[[], int]) -> None:
        self._deployments = tuple(settings.deployments)
        self._partitions = settings.topics.partitions
        self._feeds = feeds
        self._clock_ms = clock_ms

    def collect(self) -> Iterable[GaugeMetricFamily]:
        ready = GaugeMetricFamily("tidemark_feed_ready", "1 once the table has been read to its end", labels=["table"])
        rows = GaugeMetricFamily("tidemark_feed_rows", "Rows in memory", labels=["table"])
        lag = GaugeMetricFamily("tidemark_feed_lag_records", "Records known and not read yet", labels=["table"])
        now_ms = self._clock_ms()
        behind = GaugeMetricFamily("tidemark_feed_behind_seconds", "Age of what is not read yet", labels=["table"])
        for table, feed in self._feeds.by_table().items():
            ready.add_metric([table], float(feed.is_ready))
            rows.add_metric([table], len(feed.rows))
            lag.add_metric([table], feed.lag_records)
            behind.add_metric([table], behind_ms(feed, now_ms) / 1000)
        unsupported = GaugeMetricFamily(
            "tidemark_deployment_unsupported",
            "1 while the deployment's figures are unknown because of logs this version does not support",
            labels=["deployment"],
        )
        for deployment in self._deployments:
            progress = known_progress(self._feeds, deployment, self._partitions)
            unsupported.add_metric([deployment], float(progress is not None and progress.unsupported_since is not None))
        return (ready, rows, lag, behind, unsupported)
