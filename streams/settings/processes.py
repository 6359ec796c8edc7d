"""What the processes beside the api are told: topics, venues, worker, ingest, the embedded broker."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from streams.settings.values import Port, Section


class TopicSettings(Section):
    """How topics are created. ``partitions`` holds for every topic, and so for every table, alike."""

    prefix: str = ""
    partitions: PositiveInt = 8
    replication_factor: PositiveInt = 1


class SourceSettings(Section):
    """One price venue.

    A source called NAME writes marks as ``NAME:SYMBOL`` and middles of the book as ``NAME-book:SYMBOL``.
    """

    kind: Literal["binance-futures"] = "binance-futures"
    websocket: str = "wss://fstream.binance.com/market"
    rest: str = "https://fapi.binance.com"
    book_symbols: tuple[str, ...] = ()
    silent_after_ms: PositiveInt = 5_000


class WorkerSettings(Section):
    """The Faust worker. ``flush_ms`` is the shortest time between two flushes of a partition's valuations.

    A row that nobody watches is written when its uPnL moved by ``deadband_bps`` of its notional, and when it is out of
    date for longer than a fifth of the worker's time needs for all rows, but ``unwatched_max_age_s`` at most as long as
    the worker can keep that.
    ``slice_records`` bounds the records that an agent is handed at once. ``standby_replicas`` other workers keep the
    rows of each partition, so that a takeover does not read whole changelogs; every worker needs the same number.
    """

    store: Literal["memory", "rocksdb"] = "memory"
    flush_ms: PositiveInt = 5
    deadband_bps: NonNegativeInt = 5
    unwatched_max_age_s: PositiveInt = 60
    slice_records: PositiveInt = 5_000
    standby_replicas: NonNegativeInt = 1
    instance_id: str | None = None
    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_101


class IngestSettings(Section):
    """The ingest processes; each serves ``/metrics`` on its admin port."""

    admin_host: str = "127.0.0.1"
    admin_port: Port = 9_103


class BrokerSettings(Section):
    """The embedded broker, used where ``kafka`` is not set; ``jars`` is the directory its jars are fetched into."""

    port: Port = 9_092
    jars: Path = Path(".kafka/libs")
