"""Every topic there is: its name, key, partitions, retention and compaction, in one registry they are created from."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from models.errors import TidemarkError

if TYPE_CHECKING:
    from streams.settings import Settings

PRICE_TICKS = "price-ticks"
INSTRUMENT_FACTS = "instrument-facts"
CHAIN_BLOCKS = "chain-blocks"
ACCOUNT_EVENTS = "account-events"
OWNERSHIP = "ownership"
INTEREST = "interest"
LEASES = "leases"
WHITELIST = "whitelist"
DEAD_LETTERS = "dead-letters"
POSITION_STATES_IN = "position-states-in"
FUNDING = "funding"

MARKS = "marks"
INSTRUMENTS = "instruments"
QUOTES = "quotes"
MARKETS = "markets"
DEPLOYMENTS = "deployments"
ACCOUNTS = "accounts"
WATERMARKS = "watermarks"
QUOTE_HISTORY = "quote-history"
VALUATIONS = "valuations"
SUBTOTALS = "subtotals"
ALERTS = "alerts"
POSITION_STATES = "position-states"
TABLES = (
    MARKS,
    INSTRUMENTS,
    QUOTES,
    MARKETS,
    DEPLOYMENTS,
    ACCOUNTS,
    WATERMARKS,
    QUOTE_HISTORY,
    VALUATIONS,
    SUBTOTALS,
    ALERTS,
    POSITION_STATES,
)

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_FOREVER_MS = -1
# Only the last 15 s are ever read. Brokers look for old segments every 5 minutes and keep the one they write to, so ten
# minutes become 25: 10,000 watched accounts, said again every 5 s in 50 bytes each, are then 150 MB.
_INTEREST_MS = 10 * _MINUTE_MS
# Only the last six minutes are ever read; an owner's leases are said again every 5 s by each replica, in 150 bytes.
_LEASES_MS = 15 * _MINUTE_MS
# A stranger's late row must not outlive the owner's: the cleaner waits until the owner has surely repaired it (rule 2).
_COMPACTION_LAG_MS = 3_600_000
# One account with 150 quotes and an undo of 64 blocks stays under 1 MB; the broker's own limit is the same.
MAX_RECORD_BYTES = 1_000_000
# A cluster answers that a topic was created before all of its brokers know of it.
_VISIBLE_TIMEOUT_S = 30.0
_VISIBLE_POLL_S = 0.05


class BadTopic(TidemarkError):
    """A topic on the cluster is not as the registry says. Change ``topics.partitions`` back, or start a new epoch."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it is to be created; ``name`` is without the prefix, ``key`` says what a record's key is."""

    name: str
    key: str
    partitions: int
    replication_factor: int
    config: dict[str, str]

    @property
    def kept(self) -> str:
        """How long records stay, in words."""
        if self.config.get("cleanup.policy") == "compact":
            return "newest of each key"
        retention_ms = int(self.config.get("retention.ms", _FOREVER_MS))
        if retention_ms == _FOREVER_MS:
            return "for ever"
        days = retention_ms // _DAY_MS
        return f"for {days} days" if days else f"for {retention_ms // _MINUTE_MS} minutes"


def topic_name(settings: Settings, topic: str) -> str:
    """A topic's full name on the cluster."""
    return f"{settings.topics.prefix}{topic}"


def account_events_name(settings: Settings) -> str:
    """The full name of ``account-events``: derived from chain-blocks, so every epoch has its own."""
    return topic_name(settings, f"{ACCOUNT_EVENTS}-{settings.epoch}")


def changelog_name(settings: Settings, table: str) -> str:
    """The full name of a table's changelog, which is what the table serves; Faust names it so."""
    return f"{settings.app_id}-{table}-changelog"


def registry(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of this configuration, under its full name."""

    def kept(name: str, key: str, retention_ms: int) -> Topic:
        return make(name, key, {"cleanup.policy": "delete", "retention.ms": str(retention_ms)})

    def passing(name: str, key: str, retention_ms: int, config: dict[str, str] | None = None) -> Topic:
        # A segment is only deleted when it is no longer written to; by default that takes a week.
        kept_ms = {"retention.ms": str(retention_ms), "segment.ms": str(retention_ms)}
        return make(name, key, {"cleanup.policy": "delete", **kept_ms, **(config or {})})

    def compacted(name: str, key: str) -> Topic:
        # The lag counts a record's own time: a late row, sent by a process that slept, would carry an old one.
        config = {"min.compaction.lag.ms": str(_COMPACTION_LAG_MS), "message.timestamp.type": "LogAppendTime"}
        return make(name, key, {"cleanup.policy": "compact", **config})

    def make(name: str, key: str, config: dict[str, str]) -> Topic:
        limit = {"max.message.bytes": str(MAX_RECORD_BYTES)}
        return Topic(name, key, settings.topics.partitions, settings.topics.replication_factor, config | limit)

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
    }
    return (
        kept(topic_name(settings, PRICE_TICKS), "source:symbol", 7 * _DAY_MS),
        # All of it is said again within the hour; a month of every ticker would be 40 GB.
        kept(topic_name(settings, INSTRUMENT_FACTS), "source:symbol", 7 * _DAY_MS),
        kept(topic_name(settings, CHAIN_BLOCKS), "deployment", _FOREVER_MS),
        kept(topic_name(settings, POSITION_STATES_IN), "deployment:account", 90 * _DAY_MS),
        # A table of itself: the newest record of a key holds. Nothing is asked for of an epoch that is long over.
        passing(
            topic_name(settings, FUNDING), "deployment:kind:of what", 90 * _DAY_MS, {"cleanup.policy": "compact,delete"}
        ),
        kept(
            account_events_name(settings),
            "deployment:account; deployment for what goes to every partition",
            30 * _DAY_MS,
        ),
        compacted(topic_name(settings, OWNERSHIP), "partition"),
        passing(topic_name(settings, INTEREST), "deployment:account", _INTEREST_MS),
        compacted(topic_name(settings, WHITELIST), "deployment:account"),
        passing(topic_name(settings, LEASES), "limit:owner", _LEASES_MS, {"message.timestamp.type": "LogAppendTime"}),
        kept(topic_name(settings, DEAD_LETTERS), "key of the refused record", 30 * _DAY_MS),
        *(compacted(changelog_name(settings, table), row_keys[table]) for table in TABLES),
    )


async def create_topics(bootstrap: str, topics: tuple[Topic, ...]) -> list[str]:
    """Create what is missing, wait until all can be used, and check what was there.

    Returns:
        The names of the topics that were created.

    Raises:
        BadTopic: A topic exists with another number of partitions, or the cluster refuses to create one.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
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
        return created
    finally:
        await admin.close()


async def check_topics(bootstrap: str, topics: tuple[Topic, ...]) -> None:
    """Check that every topic is there as the registry says.

    Raises:
        BadTopic: One is missing, or has another number of partitions.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        _expect(topics, await _partitions(admin))
    finally:
        await admin.close()


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
    """Partitions of every topic whose partitions all have a leader."""
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
