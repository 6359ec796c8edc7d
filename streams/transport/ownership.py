"""Which partitions this worker owns, and under which term."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import orjson

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
    """What writes rows of an owned partition outside slices, and so must end before the partition goes."""

    async def start(self, partition: int) -> None:
        """The partition is recovered and ours."""

    async def stop(self) -> None:
        """Write nothing more, in any partition."""


class Ownership:
    """Claims partitions, hands them to their writers, gives them up.

    A claim is a record in the partition of the ``ownership`` topic; its offset is the term under which this worker
    writes there. Terms are unique and only rise, so whatever a paused owner writes when it wakes is below the rows of
    the owner that came after it.
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
        """Claim through ``producer``."""
        self._producer = producer

    async def claim(self, partitions: Sequence[int]) -> None:
        """Claim the terms of partitions that were assigned; they are not ours before ``take``."""
        self._claimed_at = self._given_up
        claim, producer = orjson.dumps({"instance": self._instance}), self._producer
        if producer is None:
            msg = "expected Ownership to be started before partitions are assigned"
            raise NotOwner(msg)
        sent = [
            await producer.send(self._topic, claim, key=b"%d" % partition, partition=partition)
            for partition in partitions
        ]
        metadata = await asyncio.gather(*sent)
        self._claimed = {each.partition: each.offset for each in metadata}

    def expect_latest(self, partition: int, term: int) -> None:
        """Refuse to recover a partition in which rows stand under a later term than the one claimed.

        Raises:
            Superseded: This process slept between its claim and its recovery.
        """
        claimed = self._claimed[partition]
        if term > claimed:
            msg = f"expected rows of partition {partition} under terms up to {claimed}, which we claimed, found {term}"
            raise Superseded(msg)

    async def take(self, partitions: Sequence[int], standbys: Collection[int]) -> bool:
        """Own the claimed partitions, recovered as they now are, and start their writers; keep rows of the standbys.

        Returns:
            False where they were given up again meanwhile.
        """
        if self._claimed_at != self._given_up:
            return False
        terms = {partition: self._claimed[partition] for partition in partitions}
        self._terms.hold(terms)
        self._rows.keep_only({*partitions, *standbys})
        # The last record of a key must be its highest row: compaction would keep the wrong one.
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
        """End what writes outside slices; slices may still finish. What was claimed and not taken yet is given up."""
        self._given_up += 1
        for writer in self._writers:
            await writer.stop()

    async def release(self, within_s: float) -> bool:
        """Give all partitions up, once what was written is acknowledged or ``within_s`` is over.

        Returns:
            Whether all was acknowledged. What was not may still arrive: this process must not own anything again.
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
