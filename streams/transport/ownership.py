"""Which partitions this worker owns, and under which term."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import orjson

from models.errors import TidemarkError
from streams.topics import OWNERSHIP, topic_name

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiokafka import AIOKafkaProducer, ConsumerRecord

    from streams.settings import Settings
    from streams.tables import Rows

_log = logging.getLogger(__name__)


class NotOwner(TidemarkError):
    """A row was to be written in a partition that is not, or no longer, this worker's. A fault of the writer."""


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

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, rows: Rows, writers: Sequence[Writer]) -> None:
        self._topic = topic_name(settings, OWNERSHIP)
        self._instance = settings.worker.instance_id or ""
        self._producer = producer
        self._rows = rows
        self._writers = writers
        self._claimed: dict[int, int] = {}
        self._terms: dict[int, int] = {}
        self._overwritten: set[tuple[str, int, bytes]] = set()

    @property
    def partitions(self) -> Collection[int]:
        """The partitions owned now."""
        return self._terms.keys()

    def owns(self, partition: int) -> bool:
        """Whether rows of ``partition`` may be written."""
        return partition in self._terms

    def term(self, partition: int) -> int:
        """The term under which rows of ``partition`` are written.

        Raises:
            NotOwner: It is not ours.
        """
        term = self._terms.get(partition)
        if term is None:
            msg = f"expected to own partition {partition}, found only {sorted(self._terms)}"
            raise NotOwner(msg)
        return term

    async def claim(self, partitions: Sequence[int]) -> None:
        """Claim the terms of partitions that were assigned; they are not ours before ``take``."""
        claim = orjson.dumps({"instance": self._instance})
        sent = [
            await self._producer.send(self._topic, claim, key=b"%d" % partition, partition=partition)
            for partition in partitions
        ]
        metadata = await asyncio.gather(*sent)
        self._claimed = {each.partition: each.offset for each in metadata}
        self._overwritten.clear()

    def to_rewrite(
        self, table: str, partition: int, records: Sequence[ConsumerRecord[bytes, bytes]], overwritten: set[bytes]
    ) -> None:
        """Remember rows whose last record is not their highest: compaction would keep the wrong one."""
        for record in records:
            self._overwritten.discard((table, partition, record.key))
        self._overwritten.update((table, partition, key) for key in overwritten)

    async def take(self, partitions: Sequence[int]) -> None:
        """Own the claimed partitions, recovered as they now are; start their writers."""
        self._terms = {partition: self._claimed[partition] for partition in partitions}
        self._rows.keep_only(partitions)
        for table, partition, key in sorted(self._overwritten):
            self._rows.publish_again(table, partition, key)
        self._rows.flush()
        _log.info("owner of terms=%s rewritten=%d", self._terms, len(self._overwritten))
        for writer in self._writers:
            for partition in partitions:
                await writer.start(partition)

    async def stop_writers(self) -> None:
        """End what writes outside slices; slices may still finish."""
        for writer in self._writers:
            await writer.stop()

    async def release(self, within_s: float) -> None:
        """Give all partitions up, once what was written is acknowledged or ``within_s`` is over."""
        if not self._terms:
            return
        try:
            await asyncio.wait_for(self._rows.drain(), within_s)
        except TimeoutError:
            _log.warning("released with unacknowledged records=%d", self._rows.unacked)
        self._rows.forget_unacked()
        released, self._terms = sorted(self._terms), {}
        _log.info("released partitions=%s", released)
