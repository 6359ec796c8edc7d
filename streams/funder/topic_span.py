"""A span of a topic: the records of some keys between two instants, read up to now and, when asked again, read on.

* ``NotRead``: the broker did not answer. It is asked again with the next pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.errors import BadRecord, TidemarkError
from streams.kafka.consumer import start_consumer
from streams.kafka.partitions import partition_of
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.kafka.record import Record
    from streams.settings import Settings

# Records of other keys are passed over: 5,000 take some 5 ms.
_MOST_RECORDS = 5_000
_WAIT_MS = 50


class NotRead(TidemarkError):
    """The broker did not answer while records were read."""


class TopicSpan:
    """Hands the records of some keys to ``take``, each once, those of one key in the order of the log.

    Args:
        settings: Name the broker.
        topic: The topic's full name.
        keys: The keys.
        since_ms: Where to begin, by the timestamps of records, Unix ms.
        until_ms: Where to end, likewise; a partition is read to its end at most, and to its end without it.
        take: Takes a record's key, value and offset. What it raises ``BadRecord`` for is passed over: whoever folds the
            topic has put it on ``dead-letters``.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        keys: Collection[bytes],
        *,
        since_ms: int,
        until_ms: int | None = None,
        take: Callable[[bytes, bytes, int], None],
    ) -> None:
        self._bootstrap = settings.bootstrap
        self._topic = topic
        self._keys = frozenset(keys)
        numbers = sorted({partition_of(key, settings.topics.partitions) for key in keys})
        self._left = {TopicPartition(self._topic, number) for number in numbers}
        self._since_ms = max(0, since_ms)
        self._until_ms = until_ms
        self._take = take
        # Where to read on, by partition; none before the first time.
        self._positions: dict[TopicPartition, int] = {}

    async def read_on(self) -> None:
        """Read what has been written until now.

        Raises:
            NotRead: The broker does not answer.
        """
        if not self._left:
            return
        try:
            consumer = await start_consumer(self._bootstrap, wait_ms=_WAIT_MS, most_records=_MOST_RECORDS)
            try:
                await self._read(consumer)
            finally:
                # Between two readings it would fetch ahead what nobody may ever ask for.
                await waited_out(consumer.stop())
        except KafkaError as error:
            msg = f"expected the broker to hand out {self._topic}, found: {error!r}"
            raise NotRead(msg) from error

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign(self._left)
        ends = await consumer.end_offsets(list(self._left))
        if not self._positions:
            begins = await consumer.offsets_for_times(dict.fromkeys(self._left, self._since_ms))
            self._positions = {tp: ends[tp] if begin is None else begin.offset for tp, begin in begins.items()}
        for tp in self._left:
            consumer.seek(tp, self._positions[tp])
        behind = {tp for tp in self._left if self._positions[tp] < ends[tp]}
        while behind:
            fetched = await consumer.getmany(*behind, timeout_ms=200, max_records=_MOST_RECORDS)
            for tp, records in fetched.items():
                if self._take_in(records):
                    self._left.discard(tp)
            for tp in behind:
                self._positions[tp] = await consumer.position(tp)
            behind = {tp for tp in behind & self._left if self._positions[tp] < ends[tp]}

    def _take_in(self, records: Sequence[Record[bytes | None]]) -> bool:
        """Take records in, and tell whether the span is over."""
        for record in records:
            if record.key is None or record.value is None or record.key not in self._keys:
                continue
            try:
                self._take(record.key, record.value, record.offset)
            except BadRecord:
                continue
        return self._until_ms is not None and records[-1].timestamp > self._until_ms
