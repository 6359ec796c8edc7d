"""The partitions that this worker owns: claimed, taken, and given up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import orjson

from streams.kafka.producer import send_all
from streams.kafka.topics import OWNERSHIP, topic_name
from streams.transport.terms import NotOwner, Superseded

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings
    from streams.transport.tables import Rows
    from streams.transport.terms import Terms

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """Writes rows of owned partitions outside slices, and so has to stop before a partition is given up."""

    async def start(self, partition: int) -> None:
        """Begin to write in a partition, which is recovered and owned."""

    async def stop(self) -> None:
        """Write nothing more, in any partition."""


class Ownership:
    """Claims partitions, hands them to their writers, and gives them up.

    A claim is a record in the same partition of the ``ownership`` topic. Its offset is the term under which this worker
    writes there. Terms are unique and only rise, so whatever a paused owner writes when it wakes up is ordered below
    the rows of the owner that came after it.

    Args:
        settings: Name the topic and this worker.
        terms: The terms under which this worker writes; set and cleared here.
        rows: The rows of this worker.
        writers: What writes rows of an owned partition outside slices; started and stopped in this order.
    """

    def __init__(self, settings: Settings, terms: Terms, rows: Rows, writers: Sequence[Writer]) -> None:
        self._topic = topic_name(settings, OWNERSHIP)
        self._instance = settings.worker.instance_id or ""
        self._terms = terms
        self._rows = rows
        self._writers = writers
        self._claimed: dict[int, int] = {}
        self._given_up = 0
        self._claimed_at = 0
        self._producer: AIOKafkaProducer | None = None

    def start(self, producer: AIOKafkaProducer) -> None:
        """Write claims through ``producer`` from now on."""
        self._producer = producer

    async def claim(self, partitions: Sequence[int]) -> None:
        """Claim terms for partitions that were assigned; this worker does not own them before ``take``."""
        self._claimed_at = self._given_up
        claim, producer = orjson.dumps({"instance": self._instance}), self._producer
        if producer is None:
            msg = "expected Ownership to be started before partitions are assigned"
            raise NotOwner(msg)
        metadata = await send_all(
            producer.send(self._topic, claim, key=b"%d" % partition, partition=partition) for partition in partitions
        )
        self._claimed = {each.partition: each.offset for each in metadata}

    def expect_latest(self, partition: int, term: int) -> None:
        """Refuse to recover a partition that has rows of a later term than the one claimed.

        Raises:
            Superseded: There is such a row: this process slept between its claim and its recovery.
        """
        claimed = self._claimed[partition]
        if term > claimed:
            msg = f"expected rows of partition {partition} under terms up to {claimed}, which we claimed, found {term}"
            raise Superseded(msg)

    async def take(self, partitions: Sequence[int], standbys: Collection[int]) -> bool:
        """Own the claimed partitions, which are recovered, and start their writers.

        Args:
            partitions: The partitions to own.
            standbys: The partitions for which this worker is a standby; their rows are kept, those of others dropped.

        Returns:
            False where the partitions were given up again meanwhile.
        """
        if self._claimed_at != self._given_up:
            return False
        terms = {partition: self._claimed[partition] for partition in partitions}
        self._terms.hold(terms)
        self._rows.keep_only({*partitions, *standbys})
        # The last record of a key has to be its current row, since compaction keeps the last record.
        rewritten = sum(map(self._rows.rewrite_overwritten, partitions))
        self._rows.flush()
        _log.info("owner of terms=%s rewritten=%d standby for=%s", terms, rewritten, sorted(standbys))
        for writer in self._writers:
            for partition in partitions:
                if self._claimed_at != self._given_up:
                    return False
                await writer.start(partition)
        return self._claimed_at == self._given_up

    async def stop_writers(self) -> None:
        """Stop the writers, and give up claims that were not taken yet; slices may still finish."""
        self._given_up += 1
        for writer in self._writers:
            await writer.stop()

    async def release(self, within_s: float) -> bool:
        """Give all partitions up, once every row is acknowledged or ``within_s`` seconds are over.

        Returns:
            Whether every row was acknowledged. One that was not may still arrive, so where this is False the process
            must not own anything again.
        """
        released = sorted(self._terms.partitions)
        if not released:
            return True
        is_acknowledged = True
        try:
            await asyncio.wait_for(self._rows.drain(), within_s)
        except TimeoutError:
            is_acknowledged = False
            _log.warning("released with unacknowledged records=%d", self._rows.unacked)
        self._rows.forget_unacked()
        self._terms.hold({})
        _log.info("released partitions=%s", released)
        return is_acknowledged
