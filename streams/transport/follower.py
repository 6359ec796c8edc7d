"""A reader that follows the changelogs of a worker's partitions after their recovery."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import prometheus_client

from streams.kafka.batches_of_others import read_batches_of_others
from streams.kafka.consumer import start_consumer
from streams.process.supervision import supervised, waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aiokafka import TopicPartition

    from streams.kafka.record import Record
    from streams.settings.kafka_client import Bootstrap
    from streams.transport.tables import Rows

_log = logging.getLogger(__name__)
# Nobody waits for these records, and whole batches cost a fraction of a fetch for each flush of 5 ms. The wait bounds
# how far a standby is behind, and how long a fenced owner's late row is the last of its key; the cleaner waits an hour.
_FETCH_MIN_BYTES = 256 * 1024
_FETCH_MAX_WAIT_MS = 500
# So many are applied or compared in about 5 ms; then other tasks get the loop.
_MAX_POLL_RECORDS = 2_000
_REWRITTEN = prometheus_client.Counter(
    "tidemark_rows_rewritten_total", "Rows of owned partitions published again because a fenced owner wrote over them."
)


class ChangelogFollower:
    """Follows the changelogs of two kinds of partitions.

    In partitions that this worker owns it looks for rows of fenced owners. A paused owner that wakes up writes rows
    that every reader ignores, but a log cleaner would keep them as the last of their keys. So our rows are written
    again. What it has written itself it passes over.

    In partitions for which this worker is a standby it applies the rows to the stores, in order, so that a takeover
    finds them there. Each batch and its offset are one write, so a standby that is interrupted goes on where it was.

    Args:
        bootstrap: How the cluster is reached.
        rows: The rows of this worker.
        own_id: Tells the id under which this worker's producer writes.
        fatal: Ends the process without a commit.

    Attributes:
        standbys: The partitions for which this worker is a standby now.
        standby_lag_records: How many records of their changelogs are not applied yet.
    """

    def __init__(
        self, bootstrap: Bootstrap, rows: Rows, own_id: Callable[[], int], fatal: Callable[[BaseException], None]
    ) -> None:
        self._bootstrap = bootstrap
        self._rows = rows
        self._own_id = own_id
        self._fatal = fatal
        self._following: asyncio.Task[None] | None = None
        self.standbys: frozenset[int] = frozenset()
        self.standby_lag_records = 0

    async def start(self, owned: Mapping[TopicPartition, int], standbys: Collection[TopicPartition]) -> None:
        """Follow from now on.

        Args:
            owned: Changelog partitions that are owned, each with the offset up to which, exclusive, it was restored.
            standbys: Changelog partitions for which this worker is a standby; each goes on where its store is.
        """
        self.standbys = frozenset(tp.partition for tp in standbys)
        if owned or standbys:
            self._following = supervised(self._follow(owned, standbys), "changelog follower", self._fatal)

    async def stop(self) -> None:
        """Read no more."""
        self.standbys = frozenset()
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])

    async def _follow(self, owned: Mapping[TopicPartition, int], standbys: Collection[TopicPartition]) -> None:
        consumer = await start_consumer(
            self._bootstrap,
            wait_ms=_FETCH_MAX_WAIT_MS,
            min_bytes=_FETCH_MIN_BYTES,
            most_records=_MAX_POLL_RECORDS,
        )
        try:
            read_batches_of_others(consumer, self._own_id(), owned.keys())
            consumer.assign([*owned, *standbys])
            for tp, offset in owned.items():
                consumer.seek(tp, offset)
            first, end = await consumer.beginning_offsets(list(standbys)), await consumer.end_offsets(list(standbys))
            for tp in standbys:
                consumer.seek(tp, self._rows.begin(tp.topic, tp.partition, first[tp], end[tp]))
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=_FETCH_MAX_WAIT_MS)).items():
                    if tp in owned:
                        self._hear(tp, records)
                    else:
                        self._rows.restore(tp.topic, tp.partition, records)
                    await asyncio.sleep(0)
                behind = [(consumer.highwater(tp) or 0) - await consumer.position(tp) for tp in standbys]
                self.standby_lag_records = max(0, sum(behind))
        finally:
            await waited_out(consumer.stop())

    def _hear(self, tp: TopicPartition, records: list[Record[bytes]]) -> None:
        rewritten = self._rows.heard(tp.topic, tp.partition, records)
        if rewritten:
            _REWRITTEN.inc(rewritten)
            _log.warning("rows written again behind a fenced owner topic=%s partition=%d rows=%d", *tp, rewritten)
