"""The registry of topics, from which they are created: name, key, partitions, retention and compaction of each."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    QUOTE_HISTORY,
    QUOTES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    TABLES,
    VALUATIONS,
    WATERMARKS,
)
from models.errors import TidemarkError
from streams.kafka.admin import opened_admin
from streams.kafka.ends import true_ends
from streams.settings.installed import BadPackage
from streams.settings.own_topics import own_topics
from streams.settings.venues import venues_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.venue import TopicSpec, Venue
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap
    from streams.settings.own_topics import OwnTopic

PRICE_TICKS = "price-ticks"
INSTRUMENT_FACTS = "instrument-facts"
OWNERSHIP = "ownership"
INTEREST = "interest"
LEASES = "leases"
NONCES = "nonces"
WHITELIST = "whitelist"
OWNER_REQUESTS = "owner-requests"
OWNERS = "owners"
HEARTBEATS = "heartbeats"
DEAD_LETTERS = "dead-letters"
FUNDING = "funding"
FIGURE_SETTINGS = "figure-settings"
SERVED = "served"
HISTORY = "history"
BOOKINGS = "bookings"
HISTORY_REQUESTS = "history-requests"
HISTORY_ANSWERS = "history-answers"
WEBHOOK_PROGRESS = "webhook-progress"

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_FOREVER_MS = -1
_NO_BOUND = "-1"
# Only the last 15 s are ever read. Brokers look for old segments every 5 minutes and keep the one that they write to,
# so ten minutes become 25: watches of 10,000 accounts, repeated every 5 s in 50 bytes each, then take 150 MB.
_INTEREST_MS = 10 * _MINUTE_MS
# Who asks waits for two seconds.
_OWNER_REQUESTS_MS = 10 * _MINUTE_MS
# Who asks waits for three seconds.
_HISTORY_REQUESTS_MS = 10 * _MINUTE_MS
# Only the last six minutes are ever read; an owner's leases are said again every 5 s by each replica, in 150 bytes.
_LEASES_MS = 15 * _MINUTE_MS
# A segment is compacted only when the broker no longer writes to it, by default after a week; a replica that starts
# reads all that is left. Twelve parts that beat once a second leave 14,000 records in twenty minutes.
_HEARTBEAT_SEGMENT_MS = 10 * _MINUTE_MS
_SERVED_KEY = "deployment:account, or : and of what"
_SERVED_MS = 30 * _DAY_MS
_SEGMENT_BYTES = 2**30
_SEGMENT_BYTES_MIN = 2**20
# A fenced owner's late row must not outlive the current owner's: the cleaner waits until that one has surely written
# its row again (rule 2).
_COMPACTION_LAG_MS = 3_600_000
# An account with 150 quotes and an undo of 64 blocks stays under 1 MB, which is also the broker's own limit.
MAX_RECORD_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A cluster answers that a topic was created before all of its brokers know of it.
_VISIBLE_TIMEOUT_S = 30.0
_VISIBLE_POLL_S = 0.05


class BadTopic(TidemarkError):
    """A topic on the cluster differs from the registry. Change ``topics.partitions`` back, or start a new epoch."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is to be created; ``name`` is its full name, ``key`` describes a record's key in words.

    ``is_archived`` is whether ``tidemark archive`` keeps its records: not of what is said again within minutes, and not
    of what a worker makes of other topics.
    """

    name: str
    key: str
    partitions: int
    replication_factor: int
    config: dict[str, str]
    is_archived: bool = True

    @property
    def kept(self) -> str:
        """How long records stay, in words."""
        if self.config.get("cleanup.policy") == "compact":
            return "newest of each key"
        retention_ms = int(self.config.get("retention.ms", _FOREVER_MS))
        if retention_ms == _FOREVER_MS:
            return "for ever"
        days = retention_ms // _DAY_MS
        said = f"for {days} days" if days else f"for {retention_ms // _MINUTE_MS} minutes"
        bytes_kept = self.config.get("retention.bytes", _NO_BOUND)
        return said if bytes_kept == _NO_BOUND else f"{said}, or {int(bytes_kept) * self.partitions / 1e9:.3g} GB"


def topic_name(settings: Settings, topic: str) -> str:
    """Make a topic's full name on the cluster."""
    return f"{settings.topics.prefix}{topic}"


def routed_name(settings: Settings, routed: TopicSpec) -> str:
    """Make the full name of the topic that a venue's raw records are routed to.

    It is derived from the raw topic, so every epoch has its own.
    """
    return topic_name(settings, f"{routed.name}-{settings.epoch}")


def changelog_name(settings: Settings, table: str) -> str:
    """Make the full name of a table's changelog, as Faust names it."""
    return f"{settings.app_id}-{table}-changelog"


def served_name(settings: Settings) -> str:
    """Make the full name of the topic that keeps what was shown. Terms are part of it, so every epoch has its own."""
    return topic_name(settings, f"{SERVED}-{settings.epoch}")


def derived_names(settings: Settings) -> frozenset[str]:
    """The full names of the topics, beside changelogs, that every epoch has its own of."""
    return frozenset({served_name(settings), bookings_name(settings), *routed_names(settings)})


def routed_names(settings: Settings) -> frozenset[str]:
    """The full names of the topics to which raw records are routed by account, as SYMMIO's blocks are."""
    routed = (installed.venue.routed for installed in venues_of(settings).installed)
    return frozenset(routed_name(settings, one) for one in routed if one is not None)


def bookings_name(settings: Settings) -> str:
    """Make the full name of the topic of bookings. They follow from the fold, so every epoch has its own."""
    return topic_name(settings, f"{BOOKINGS}-{settings.epoch}")


def registry(settings: Settings) -> tuple[Topic, ...]:
    """List every topic of this configuration, under its full name.

    Raises:
        BadPackage: A package names a topic of its own as one is named already, or cannot be used.
    """

    def kept(name: str, key: str, retention_ms: int) -> Topic:
        return make(name, key, {"cleanup.policy": "delete", "retention.ms": str(retention_ms)})

    def passing(name: str, key: str, retention_ms: int, config: dict[str, str] | None = None) -> Topic:
        # A segment is deleted only when the broker no longer writes to it; by default that takes a week.
        kept_ms = {"retention.ms": str(retention_ms), "segment.ms": str(retention_ms)}
        return make(name, key, {"cleanup.policy": "delete", **kept_ms, **(config or {})})

    def bounded(name: str, key: str, retention_ms: int, kept_bytes: int) -> Topic:
        # What is kept is bounded by partition, and only whole segments are deleted.
        share = max(1, kept_bytes // settings.topics.partitions)
        segment = min(_SEGMENT_BYTES, max(_SEGMENT_BYTES_MIN, share // 8))
        bounds = {"retention.ms": str(retention_ms), "retention.bytes": str(share), "segment.bytes": str(segment)}
        return make(name, key, {"cleanup.policy": "delete", **bounds})

    def compacted(name: str, key: str) -> Topic:
        # The lag counts from a record's timestamp. One set by a process that slept would be old, so the broker sets it.
        config = {"min.compaction.lag.ms": str(_COMPACTION_LAG_MS), "message.timestamp.type": "LogAppendTime"}
        return make(name, key, {"cleanup.policy": "compact", **config})

    def make(name: str, key: str, config: dict[str, str]) -> Topic:
        limit = {"max.message.bytes": str(MAX_RECORD_BYTES)}
        if "delete" in config["cleanup.policy"].split(","):
            # Else the cluster's own default holds, by which the oldest may be deleted of what is kept for ever.
            config = {"retention.bytes": _NO_BOUND, **config}
        return Topic(name, key, settings.topics.partitions, settings.topics.replication_factor, config | limit)

    def unarchived(topic: Topic) -> Topic:
        return replace(topic, is_archived=False)

    def of_venue(venue: Venue[Any, Any, Any]) -> Iterator[Topic]:
        yield kept(topic_name(settings, venue.raw.name), venue.raw.key, venue.raw.kept_ms)
        if venue.told is not None:
            yield kept(topic_name(settings, venue.told.name), venue.told.key, venue.told.kept_ms)
        if venue.references is not None:
            yield compacted(topic_name(settings, venue.references.name), venue.references.key)
        if venue.routed is not None:
            yield kept(routed_name(settings, venue.routed), venue.routed.key, venue.routed.kept_ms)

    def of_dialect(own: OwnTopic) -> Topic:
        name = topic_name(settings, own.name)
        return compacted(name, own.key) if own.kept_ms is None else kept(name, own.key, own.kept_ms)

    row_keys = {
        MARKS: "source:symbol",
        INSTRUMENTS: "source:symbol",
        QUOTES: "deployment:quote id",
        MARKETS: "deployment:symbol id",
        DEPLOYMENTS: "deployment",
        ACCOUNTS: "deployment:account",
        WATERMARKS: "deployment:partition",
        QUOTE_HISTORY: "deployment:account:quote id",
        VALUATIONS: "deployment:account",
        SUBTOTALS: "kind:deployment:id:partition",
        ALERTS: "deployment:account",
        POSITION_STATES: "deployment:account",
        REFERENCES: "deployment:reference",
        STATEMENTS: "deployment:account",
    }
    topics = (
        kept(topic_name(settings, PRICE_TICKS), "source:symbol", 7 * _DAY_MS),
        # Every fact is repeated within the hour; a month of every ticker would take 40 GB.
        kept(topic_name(settings, INSTRUMENT_FACTS), "source:symbol", 7 * _DAY_MS),
        *(topic for installed in venues_of(settings).installed for topic in of_venue(installed.venue)),
        # This topic is its own table: the newest record of a key holds. Epochs that are long over are not read.
        passing(
            topic_name(settings, FUNDING), "deployment:kind:of what", 90 * _DAY_MS, {"cleanup.policy": "compact,delete"}
        ),
        unarchived(compacted(topic_name(settings, OWNERSHIP), "partition")),
        # Never compacted away: each name is the hash of what stands under it.
        compacted(topic_name(settings, FIGURE_SETTINGS), "hash of the settings"),
        unarchived(passing(topic_name(settings, INTEREST), "deployment:account", _INTEREST_MS)),
        compacted(topic_name(settings, WHITELIST), "deployment:account"),
        unarchived(passing(topic_name(settings, OWNER_REQUESTS), "deployment:account", _OWNER_REQUESTS_MS)),
        compacted(topic_name(settings, OWNERS), "deployment:account"),
        compacted(topic_name(settings, NONCES), "realm:holder"),
        compacted(topic_name(settings, WEBHOOK_PROGRESS), "webhook:epoch:deployment:account"),
        unarchived(
            passing(
                topic_name(settings, LEASES), "limit:owner", _LEASES_MS, {"message.timestamp.type": "LogAppendTime"}
            )
        ),
        unarchived(
            make(
                topic_name(settings, HEARTBEATS),
                "kind:of what",
                {"cleanup.policy": "compact", "segment.ms": str(_HEARTBEAT_SEGMENT_MS)},
            )
        ),
        bounded(served_name(settings), _SERVED_KEY, _SERVED_MS, settings.topics.served_kept_bytes),
        # For ever: the records that they follow from may be kept for a shorter time.
        kept(bookings_name(settings), "deployment:account; deployment for blocks that left the chain", _FOREVER_MS),
        # Bars of hours, for ever: what was shown does not depend on the epoch in which it was.
        compacted(topic_name(settings, HISTORY), "deployment:account:hour"),
        unarchived(passing(topic_name(settings, HISTORY_REQUESTS), "request", _HISTORY_REQUESTS_MS)),
        unarchived(passing(topic_name(settings, HISTORY_ANSWERS), "request", _HISTORY_REQUESTS_MS)),
        kept(topic_name(settings, DEAD_LETTERS), "key of the refused record", 30 * _DAY_MS),
        *(unarchived(compacted(changelog_name(settings, table), row_keys[table])) for table in TABLES),
        *(of_dialect(own) for own in own_topics(settings)),
    )
    _expect_other_names(topics)
    return topics


def _expect_other_names(topics: tuple[Topic, ...]) -> None:
    names = [topic.name for topic in topics]
    for name in names:
        if names.count(name) > 1 or not _NAME.fullmatch(name):
            msg = (
                "tidemark.topics: expected topics of letters, digits, '.', '_' and '-' that nothing else is named as, "
                f"found {name!r}; the package that names it has to call it otherwise"
            )
            raise BadPackage(msg)


def archived_names(settings: Settings) -> list[str]:
    """The full names of the topics that ``tidemark archive`` keeps."""
    return [topic.name for topic in registry(settings) if topic.is_archived]


async def create_topics(bootstrap: Bootstrap, topics: tuple[Topic, ...]) -> list[str]:
    """Create the missing topics, wait until all can be used, and check those that were there.

    Returns:
        The names of the topics that were created.

    Raises:
        BadTopic: A topic exists with another number of partitions, or the cluster refuses to create one.
        KafkaError: The broker cannot be reached.
    """
    async with opened_admin(bootstrap) as admin:
        existing = await _partitions(admin)
        missing = [t for t in topics if t.name not in existing]
        created = await _create(admin, missing) if missing else []
        names = {topic.name for topic in topics}
        deadline = time.monotonic() + _VISIBLE_TIMEOUT_S
        while not names <= (existing := await _partitions(admin)).keys():
            if time.monotonic() > deadline:
                msg = (
                    f"created topics are not known to the cluster after {_VISIBLE_TIMEOUT_S} s: {names - set(existing)}"
                )
                raise BadTopic(msg)
            await asyncio.sleep(_VISIBLE_POLL_S)
        _expect(topics, existing)
    # Where a partition has a leader that has not opened its log yet, which takes seconds on a slow disk, a producer is
    # refused until it has; where the partition ends is known only once it can be written to.
    await true_ends(bootstrap, [TopicPartition(name, number) for name in created for number in range(existing[name])])
    return created


async def check_topics(bootstrap: Bootstrap, topics: tuple[Topic, ...]) -> None:
    """Check that every topic is there as the registry has it.

    Raises:
        BadTopic: A topic is missing, or has another number of partitions.
    """
    async with opened_admin(bootstrap) as admin:
        _expect(topics, await _partitions(admin))


async def topic_names(bootstrap: Bootstrap) -> frozenset[str]:
    """The full names of all topics of the cluster that we may see.

    Raises:
        KafkaError: The cluster does not answer.
    """
    async with opened_admin(bootstrap) as admin:
        return frozenset(await admin.list_topics())


async def require_topic(settings: Settings, *topics: str) -> None:
    """Check that topics of the registry are there before they are written to.

    A producer would make a missing topic, of any number of partitions, where the cluster makes topics by itself; where
    it does not, the producer would ask for it again and again, and say so each time.

    Raises:
        BadTopic: One is missing, or has another number of partitions.
    """
    names = {topic_name(settings, topic) for topic in topics}
    await check_topics(settings.bootstrap, tuple(one for one in registry(settings) if one.name in names))


def _expect(topics: tuple[Topic, ...], existing: dict[str, int]) -> None:
    missing = [topic.name for topic in topics if topic.name not in existing]
    if missing:
        msg = f"expected topics {', '.join(missing)}, found none of these: run tidemark topics create"
        raise BadTopic(msg)
    for topic in topics:
        if existing[topic.name] != topic.partitions:
            msg = f"expected topic {topic.name} to have {topic.partitions} partitions, found {existing[topic.name]}"
            raise BadTopic(msg)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Count the partitions of every topic whose partitions all have a leader."""
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if not topic["error_code"] and not any(partition["error_code"] for partition in topic["partitions"])
    }


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic]) -> list[str]:
    response = await admin.create_topics(
        [NewTopic(t.name, t.partitions, t.replication_factor, topic_configs=t.config) for t in topics]
    )
    created = []
    for name, code, message in response.topic_errors:
        if code == 0:
            created.append(name)
        # Another process may create the same topics at the same time.
        elif code != TopicAlreadyExistsError.errno:
            msg = f"topic {name} could not be created: {message}"
            raise BadTopic(msg) from for_code(code)(message)
    return created
