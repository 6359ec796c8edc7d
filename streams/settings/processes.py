"""Settings of the topics, the worker, the ingest processes, logs and the embedded broker."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from streams.settings.values import Port, Section


class TopicSettings(Section):
    """How topics are created. Every topic, and so every table, has the same number of ``partitions``.

    What was shown is kept for 30 days, and for as long as it takes no more than ``served_kept_gb`` on the disks of each
    replica: some 0.3 kB a row of a valuation, which a busy deployment writes thousands of times a second.
    """

    prefix: str = ""
    partitions: PositiveInt = 8
    replication_factor: PositiveInt = 1
    served_kept_gb: PositiveFloat = 20.0

    @property
    def served_kept_bytes(self) -> int:
        """How much of what was shown is kept, in bytes on each replica."""
        return round(self.served_kept_gb * 10**9)


class WorkerSettings(Section):
    """The Faust worker. ``flush_ms`` is the shortest time between two flushes of a partition's valuations.

    A row that nobody watches is written when its uPnL has moved by ``deadband_bps`` of its notional, or when it has
    been out of date for too long: longer than the worker needs to value all rows in a fifth of its time, and at most
    ``unwatched_max_age_s`` if the worker can keep up. ``slice_records`` bounds how many records an agent gets at once.
    ``standby_replicas`` is how many other workers keep the rows of each partition, so that a takeover need not read
    whole changelogs; it has to be the same for every worker.
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


class LogSettings(Section):
    """How processes write their logs to stderr: ``text`` for a terminal, ``json`` with one object a line."""

    format: Literal["text", "json"] = "text"


class BrokerSettings(Section):
    """The embedded broker, used where ``kafka`` is not set; its jars are fetched into the directory ``jars``."""

    port: Port = 9_092
    jars: Path = Path(".kafka/libs")
