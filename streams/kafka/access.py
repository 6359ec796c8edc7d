"""Which process may do what with the cluster: the one table from which access control lists are made.

A process needs nothing that is not listed. Reading and writing include describing, as Kafka's authorizer has it. An
idempotent producer needs no right of its own on brokers from 2.8 on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from models.engine.tables import ACCOUNTS, ALERTS, INSTRUMENTS, MARKETS, SERVED_TABLES, TABLES, WATERMARKS
from streams.kafka.topics import (
    DEAD_LETTERS,
    FIGURE_SETTINGS,
    FUNDING,
    HEARTBEATS,
    HISTORY,
    HISTORY_ANSWERS,
    HISTORY_REQUESTS,
    INSTRUMENT_FACTS,
    INTEREST,
    LEASES,
    NONCES,
    OWNER_REQUESTS,
    OWNERS,
    OWNERSHIP,
    PRICE_TICKS,
    WEBHOOK_PROGRESS,
    WHITELIST,
    archived_names,
    bookings_name,
    changelog_name,
    registry,
    routed_name,
    served_name,
    topic_name,
)
from streams.settings.own_topics import own_topics
from streams.settings.venues import venues_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.venue import Venue
    from streams.settings import Settings

_FUNDER_TABLES = frozenset({ACCOUNTS, INSTRUMENTS, MARKETS, WATERMARKS})
_AUDIT_TABLES = frozenset({ACCOUNTS, WATERMARKS})


class Resource(StrEnum):
    """What a right is for, as Kafka's tools and Strimzi call it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"
    CLUSTER = "cluster"


class Operation(StrEnum):
    """What may be done with it."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Grant(NamedTuple):
    """Operations that are allowed on the resource of a name, or with ``is_prefix`` on all whose names begin so."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False


# The one cluster has this name in every access control list.
CLUSTER_NAME = "kafka-cluster"


def fence_name(settings: Settings, process: str, name: str) -> str:
    """Make the transactional id under which only one process writes.

    Args:
        settings: Have the prefix.
        process: ``ingest`` or ``funder``.
        name: The deployment whose records are written.
    """
    return f"{settings.topics.prefix}tidemark-{process}-{name}"


def grants(settings: Settings) -> dict[str, tuple[Grant, ...]]:
    """List what each process may do, by its name: worker, api, ingest-prices, tools, analyst and so on."""
    venues = [installed.venue for installed in venues_of(settings).installed]
    return {
        "worker": tuple(_worker(settings, venues)),
        "api": tuple(_api(settings, venues)),
        "funder": tuple(_funder(settings, venues)),
        "history": tuple(_history(settings)),
        "ingest-prices": tuple(_ingest_prices(settings)),
        **{f"ingest-{venue.kind}": tuple(_ingest_venue(settings, venue)) for venue in venues},
        "webhooks": tuple(_webhooks(settings)),
        "tools": tuple(_tools(settings, venues)),
        "archive": tuple(_topics(archived_names(settings), Operation.READ)),
        "analyst": tuple(_analyst(settings, venues)),
    }


def _worker(settings: Settings, venues: Iterable[Venue[Any, Any, Any]]) -> Iterator[Grant]:
    tables = [changelog_name(settings, table) for table in TABLES]
    routed = [routed_name(settings, venue.routed) for venue in venues if venue.routed is not None]
    told = [topic_name(settings, venue.told.name) for venue in venues if venue.told is not None]
    raw = [topic_name(settings, venue.raw.name) for venue in venues]
    references = [topic_name(settings, venue.references.name) for venue in venues if venue.references is not None]
    facts = [topic_name(settings, topic) for topic in (PRICE_TICKS, INSTRUMENT_FACTS)]
    # What it reads and also writes: its tables, claims and what it showed, and what its router writes for accounts.
    both = (*tables, *routed, topic_name(settings, OWNERSHIP), served_name(settings))
    yield from _topics(both, Operation.READ, Operation.WRITE)
    yield from _topics((*facts, *raw, *told, *references, topic_name(settings, INTEREST)), Operation.READ)
    written = (HEARTBEATS, DEAD_LETTERS, FIGURE_SETTINGS)
    yield from _topics((topic_name(settings, topic) for topic in written), Operation.WRITE)
    yield from _topics([bookings_name(settings)], Operation.WRITE)
    # It starts only if every topic is as the registry has it.
    yield from _topics((topic.name for topic in registry(settings)), Operation.DESCRIBE)
    yield Grant(Resource.GROUP, settings.app_id, (Operation.READ,))


def _api(settings: Settings, venues: Iterable[Venue[Any, Any, Any]]) -> Iterator[Grant]:
    yield from _topics((changelog_name(settings, table) for table in SERVED_TABLES), Operation.READ)
    heard = (FUNDING, HEARTBEATS, OWNERS, HISTORY_ANSWERS)
    yield from _topics((topic_name(settings, topic) for topic in heard), Operation.READ)
    yield from _topics(
        (topic_name(settings, topic) for topic in (LEASES, NONCES, WHITELIST)), Operation.READ, Operation.WRITE
    )
    # It explains figures out of the log, in a process beside it.
    read = [topic_name(settings, PRICE_TICKS), *(topic_name(settings, venue.raw.name) for venue in venues)]
    read += [topic_name(settings, venue.references.name) for venue in venues if venue.references is not None]
    yield from _topics(read, Operation.READ)
    told = [topic_name(settings, venue.told.name) for venue in venues if venue.told is not None]
    asked = [topic_name(settings, topic) for topic in (INTEREST, OWNER_REQUESTS, HISTORY_REQUESTS)]
    # Records of accounts may come in over HTTP, where no ingest of the venue's own writes them.
    folded = [topic_name(settings, venue.raw.name) for venue in venues if venue.routed is None]
    # It keeps in the one of what was served what it made figures of that it computes itself.
    yield from _topics((*asked, *told, *folded, served_name(settings)), Operation.WRITE)
    for own in own_topics(settings):
        operations = {Operation.READ: own.is_read, Operation.WRITE: own.is_written}
        yield from _topics(
            [topic_name(settings, own.name)], *(one for one, is_wanted in operations.items() if is_wanted)
        )


def _funder(settings: Settings, venues: Iterable[Venue[Any, Any, Any]]) -> Iterator[Grant]:
    yield from _topics((changelog_name(settings, table) for table in sorted(_FUNDER_TABLES)), Operation.READ)
    # They say what was opened and what ended since an epoch began.
    routed = [routed_name(settings, venue.routed) for venue in venues if venue.routed is not None]
    yield from _topics(routed, Operation.READ)
    yield from _topics((topic_name(settings, topic) for topic in (PRICE_TICKS, INSTRUMENT_FACTS)), Operation.READ)
    yield from _topics((topic_name(settings, topic) for topic in (FUNDING, LEASES)), Operation.READ, Operation.WRITE)
    yield from _topics([topic_name(settings, HEARTBEATS)], Operation.WRITE)
    yield _fence(settings, "funder")


def _history(settings: Settings) -> Iterator[Grant]:
    read = served_name(settings), bookings_name(settings), topic_name(settings, HISTORY_REQUESTS)
    yield from _topics(read, Operation.READ)
    yield from _topics([topic_name(settings, HISTORY)], Operation.READ, Operation.WRITE)
    written = (HISTORY_ANSWERS, HEARTBEATS, DEAD_LETTERS)
    yield from _topics((topic_name(settings, topic) for topic in written), Operation.WRITE)


def _ingest_prices(settings: Settings) -> Iterator[Grant]:
    written = (PRICE_TICKS, INSTRUMENT_FACTS, HEARTBEATS, DEAD_LETTERS)
    yield from _topics((topic_name(settings, topic) for topic in written), Operation.WRITE)
    yield from _topics([topic_name(settings, LEASES)], Operation.READ, Operation.WRITE)


def _ingest_venue(settings: Settings, venue: Venue[Any, Any, Any]) -> Iterator[Grant]:
    own = topic_name(settings, venue.raw.name), topic_name(settings, LEASES)
    yield from _topics(own, Operation.READ, Operation.WRITE)
    if venue.references is not None:
        # Who says what accounts have also says what their values depend on, and after a start reads what it said.
        yield from _topics([topic_name(settings, venue.references.name)], Operation.READ, Operation.WRITE)
    yield from _topics([topic_name(settings, OWNER_REQUESTS)], Operation.READ)
    yield from _topics((topic_name(settings, topic) for topic in (OWNERS, HEARTBEATS, DEAD_LETTERS)), Operation.WRITE)
    yield _fence(settings, "ingest")


def _webhooks(settings: Settings) -> Iterator[Grant]:
    yield from _topics([changelog_name(settings, ALERTS)], Operation.READ)
    own = (topic_name(settings, topic) for topic in (LEASES, WEBHOOK_PROGRESS))
    yield from _topics(own, Operation.READ, Operation.WRITE)


def _tools(settings: Settings, venues: Iterable[Venue[Any, Any, Any]]) -> Iterator[Grant]:
    """What the command line needs to create topics, to look at a deployment, and to audit and repair accounts."""
    names = [topic.name for topic in registry(settings)]
    yield from _topics(names, Operation.CREATE, Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS)
    raw = [topic_name(settings, venue.raw.name) for venue in venues]
    yield from _topics(raw, Operation.READ, Operation.WRITE)
    yield from _topics((changelog_name(settings, table) for table in sorted(_AUDIT_TABLES)), Operation.READ)
    yield from _topics([topic_name(settings, HEARTBEATS)], Operation.READ)
    yield Grant(Resource.GROUP, settings.app_id, (Operation.DESCRIBE,))
    yield Grant(Resource.CLUSTER, CLUSTER_NAME, (Operation.DESCRIBE,))


def _analyst(settings: Settings, venues: Iterable[Venue[Any, Any, Any]]) -> Iterator[Grant]:
    """What a person needs to read records and rows; who is let in under which limit is nothing for them."""
    kept = (HISTORY, PRICE_TICKS, INSTRUMENT_FACTS, FUNDING, FIGURE_SETTINGS, OWNERS, DEAD_LETTERS)
    facts = [topic_name(settings, topic) for topic in kept]
    of_venues = [topic_name(settings, venue.raw.name) for venue in venues]
    of_venues += [routed_name(settings, venue.routed) for venue in venues if venue.routed is not None]
    of_venues += [topic_name(settings, venue.told.name) for venue in venues if venue.told is not None]
    of_venues += [topic_name(settings, venue.references.name) for venue in venues if venue.references is not None]
    tables = [changelog_name(settings, table) for table in TABLES]
    shown = served_name(settings), bookings_name(settings)
    yield from _topics((*facts, *of_venues, *tables, *shown), Operation.READ)
    yield Grant(Resource.GROUP, f"{settings.topics.prefix}analyst-", (Operation.READ,), is_prefix=True)


def _topics(names: Iterable[str], *operations: Operation) -> Iterator[Grant]:
    for name in names:
        yield Grant(Resource.TOPIC, name, operations)


def _fence(settings: Settings, process: str) -> Grant:
    # Of every deployment, so that one more needs no new rights.
    operations = (Operation.WRITE, Operation.DESCRIBE)
    return Grant(Resource.TRANSACTIONAL_ID, fence_name(settings, process, ""), operations, is_prefix=True)
