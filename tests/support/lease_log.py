"""The log of leases as several replicas read it, on a virtual clock: who is farther away hears of a record later."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition

from models.leases import LEASE_TTL_MAX_MS, Ledger, encode_lease
from streams.kafka.partitions import partition_of
from streams.replicas.lease_holder import Leases
from streams.replicas.lease_log import LedgerReader
from streams.settings import Settings
from tests.support.clocks import LoopClock

if TYPE_CHECKING:
    from models.leases import LeaseRecord

BEGAN_MS = LEASE_TTL_MAX_MS


class _Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes
    value: bytes


class LeaseLog:
    """The topic; ``records`` counts what was written."""

    def __init__(self) -> None:
        self.records = 0
        self._readers: list[tuple[_Reader, float]] = []

    def replica(self, away_s: float) -> Leases:
        """A replica that is so many s away from the broker."""
        return _LoggedLeases(self, away_s)

    def read_by(self, reader: _Reader, away_s: float) -> None:
        self._readers.append((reader, away_s))

    def append(self, key: bytes, record: LeaseRecord) -> None:
        self.records += 1
        written = _Record(self.records, LoopClock(BEGAN_MS).now_ms(), key, encode_lease(record))
        for reader, away_s in self._readers:
            reader.coming.append(written)
            asyncio.get_running_loop().call_later(away_s, reader.hear_next)


class _Reader(LedgerReader):
    """Reads what it is told, rather than a topic."""

    def begin(self) -> None:
        # Timers of one instant come in any order, and records in the log's.
        self.coming: deque[_Record] = deque()
        self._ledgers = [Ledger(0) for _ in range(self._partitions)]
        self._ready.set()
        self.answered_ms = self._clock.now_ms() + LEASE_TTL_MAX_MS

    def hear_next(self) -> None:
        record = self.coming.popleft()
        self._take({TopicPartition(self.topic, partition_of(record.key, self._partitions)): [record]})


class _LoggedLeases(Leases):
    """Writes to the log and hears of it, without a broker."""

    def __init__(self, log: LeaseLog, away_s: float) -> None:
        settings, clock = Settings(kafka="127.0.0.1:1"), LoopClock(BEGAN_MS)
        super().__init__(settings, clock)
        self._log = log
        self._away_s = away_s
        reader = _Reader(settings, clock, self.holder, self._on_verdict, self._on_ended)
        reader.begin()
        self._reader = reader
        self._going: deque[tuple[bytes, LeaseRecord]] = deque()
        log.read_by(reader, away_s)

    def _send(self, key: bytes, record: LeaseRecord) -> None:
        self._going.append((key, record))
        asyncio.get_running_loop().call_later(self._away_s, self._append_next)

    def _append_next(self) -> None:
        self._log.append(*self._going.popleft())
