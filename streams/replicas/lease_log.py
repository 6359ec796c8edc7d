"""A reader that folds the ``leases`` topic into ledgers, one a partition."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.leases import LEASE_TTL_MAX_MS, Claim, Hold, Ledger, Release, Verdict, decode_lease
from streams.kafka.partitions import partition_of
from streams.kafka.reader import TopicReader, offsets_since
from streams.kafka.topics import LEASES, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from models.leases import LeaseRecord
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# We compute where to begin by our clock, and the broker's stamps may differ by so much.
_CLOCKS_DIFFER_MS = 60_000
# A replica that writes records that cannot be read writes many of them.
_LOG_EVERY_MS = 60_000


class LedgerReader(TopicReader):
    """Folds the log from as far back as a lease may last, and reports what became of one holder's claims and holds.

    Args:
        settings: Name the topic and the broker.
        clock: Tells how far back to begin.
        holder: The holder whose claims and holds are reported.
        on_verdict: Called in the loop with the key, the claim and the verdict of each of its claims.
        on_ended: Called in the loop with the key and the numbers of leases that one of its holds named and that had
            already ended.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        holder: str,
        on_verdict: Callable[[bytes, Claim, Verdict], None],
        on_ended: Callable[[bytes, Sequence[int]], None],
    ) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, LEASES), clock)
        self._partitions = settings.topics.partitions
        self._holder = holder
        self._on_verdict = on_verdict
        self._on_ended = on_ended
        self._ledgers: list[Ledger] = []
        # How far each partition's time is ahead of the loop's.
        self._ahead_ms = [0] * self._partitions
        self._logged_ms = 0

    def units(self, key: bytes, but_of: str) -> int:
        """Count the units of a key that may be leased now; those of the holder ``but_of`` do not count."""
        partition = partition_of(key, self._partitions)
        return self._ledgers[partition].units(key, _clock_ms() + self._ahead_ms[partition], but_of)

    def next_end_s(self, key: bytes) -> float:
        """In how many s the first of a key's leases ends; 0 where none is left."""
        partition = partition_of(key, self._partitions)
        now_ms = _clock_ms() + self._ahead_ms[partition]
        ends_ms = self._ledgers[partition].next_end_ms(key, now_ms)
        return 0.0 if ends_ms is None else (ends_ms - now_ms) / 1_000

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin with the leases that may not have ended yet."""
        since_ms = max(1, self._clock.now_ms() - LEASE_TTL_MAX_MS - _CLOCKS_DIFFER_MS)
        self._ledgers = [Ledger(since_ms) for _ in range(self._partitions)]
        return await offsets_since(consumer, end, since_ms)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        clock_ms = _clock_ms()
        for tp, records in fetched.items():
            ledger = self._ledgers[tp.partition]
            for record in records:
                try:
                    lease = decode_lease(record.key, record.value)
                except BadRecord as error:
                    if clock_ms - self._logged_ms >= _LOG_EVERY_MS:
                        self._logged_ms = clock_ms
                        _log.warning(
                            "lease refused partition=%d offset=%d error=%s", tp.partition, record.offset, error
                        )
                else:
                    self._apply(ledger, record.key, lease, record.timestamp)
            self._ahead_ms[tp.partition] = records[-1].timestamp - clock_ms

    def _apply(self, ledger: Ledger, key: bytes, record: LeaseRecord, at_ms: int) -> None:
        match record:
            case Claim():
                verdict = ledger.claim(key, record, at_ms)
                if record.holder == self._holder:
                    self._on_verdict(key, record, verdict)
            case Hold():
                ended = ledger.hold(key, record, at_ms)
                if record.holder == self._holder:
                    self._on_ended(key, ended)
            case Release():
                ledger.release(key, record, at_ms)


def _clock_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1_000)
