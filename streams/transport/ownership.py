"""Which partitions this worker owns, and under which term."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import orjson

from streams.topics import OWNERSHIP, topic_name
from streams.transport.terms import NotOwner

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings
    from streams.tables import Rows
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
        self._producer: AIOKafkaProducer | None = None

    def start(self, producer: AIOKafkaProducer) -> None:
        """Claim through ``producer``."""
        self._producer = producer

    async def claim(self, partitions: Sequence[int]) -> None:
        """Claim the terms of partitions that were assigned; they are not ours before ``take``."""
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

    async def take(self, partitions: Sequence[int], standbys: Collection[int]) -> bool:
        """Own the claimed partitions, recovered as they now are, and start their writers; keep rows of the standbys.

        Returns:
            False where they were given up again meanwhile.
        """
        terms = {partition: self._claimed[partition] for partition in partitions}
        self._terms.hold(terms)
        self._rows.keep_only({*partitions, *standbys})
        # The last record of a key must be its highest row: compaction would keep the wrong one.
        rewritten = sum(map(self._rows.rewrite_overwritten, partitions))
        self._rows.flush()
        _log.info("owner of terms=%s rewritten=%d standby for=%s", terms, rewritten, sorted(standbys))
        for writer in self._writers:
            for partition in partitions:
                if not self._terms.are(terms):
                    return False
                await writer.start(partition)
        return self._terms.are(terms)

    async def stop_writers(self) -> None:
        """End what writes outside slices; slices may still finish."""
        for writer in self._writers:
            await writer.stop()

    async def release(self, within_s: float) -> None:
        """Give all partitions up, once what was written is acknowledged or ``within_s`` is over."""
        released = sorted(self._terms.partitions)
        if not released:
            return
        try:
            await asyncio.wait_for(self._rows.drain(), within_s)
        except TimeoutError:
            _log.warning("released with unacknowledged records=%d", self._rows.unacked)
        self._rows.forget_unacked()
        self._terms.hold({})
        _log.info("released partitions=%s", released)
