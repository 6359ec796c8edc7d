"""A reader of all partitions of a topic, without a consumer group: first up to their ends at start, then it follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.kafka.shared_consumer import QUIET_WAIT_MS, SharedConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings.kafka_client import Bootstrap


class TopicReader:
    """Reads every partition of one topic; subclasses say what to do with the records.

    It is ready when it has read to the end offsets that it saw at start; then it follows the topic. It has a consumer
    of its own, unless it is told to read through one that others use too.

    Args:
        bootstrap: How the cluster is reached.
        topic: The topic's full name.
        clock: Tells when the broker last answered.
        wait_ms: How long the broker may wait for records before it answers that there are none, in ms. The default is
            for topics that are seldom written; a record comes no later for it.

    Attributes:
        topic: The topic's full name.
        is_committed_only: Whether records of transactions that were aborted, or are still open, are passed over.
        answered_ms: When the broker last answered, in Unix ms.
    """

    is_committed_only = False

    def __init__(self, bootstrap: Bootstrap, topic: str, clock: Clock, wait_ms: int = QUIET_WAIT_MS) -> None:
        self.topic = topic
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        self._ready = asyncio.Event()
        self._left: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._consumer = SharedConsumer(bootstrap, wait_ms, committed_only=self.is_committed_only)
        self.answered_ms = 0

    def read_through(self, consumer: SharedConsumer) -> None:
        """Read through a consumer that others use too; the reader has not been started."""
        self._consumer = consumer
        consumer.add(self)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        """Take records in.

        Called in the loop at least every second, without records where there are none.
        """
        raise NotImplementedError

    @property
    def wanted(self) -> Sequence[TopicPartition]:
        """The partitions whose records are to be taken in next; none for all."""
        return ()

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Find where to begin in each partition; by default at its oldest record.

        Args:
            consumer: Tells what is in the topic.
            end: Where each partition ends.
        """
        begin: dict[TopicPartition, int] = await consumer.beginning_offsets(list(end))
        return begin

    def tell(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        """Take records in that somebody else has read, such as a replay, which never calls ``start``; then it is ready.

        Args:
            fetched: Records of the topic.
        """
        self._take(fetched)
        self.answered_ms = self._clock.now_ms()
        self._ready.set()

    async def start(self) -> None:
        """Connect and begin to read. After an error nothing stays open, and ``start`` may be called again.

        Raises:
            TopicMissing: The topic does not exist.
            KafkaError: The broker cannot be reached.
        """
        await self._consumer.start(self)

    async def stop(self) -> None:
        """Disconnect; what was read is kept."""
        await self._consumer.stop(self)

    @property
    def is_ready(self) -> bool:
        """Whether everything that was in the topic at start has been read."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until the reader is ready.

        Raises:
            Exception: The error that ended the reader before.
        """
        await self._consumer.wait(self._ready)

    async def read_until_now(self) -> None:
        """Wait until everything has been read that is in the topic now; the reader has been started.

        Raises:
            KafkaError: The broker does not say where the topic ends.
        """
        await self._consumer.read_until_now(self)

    async def closed(self) -> None:
        """Wait until the reader ends, which it does only by an error, and raise that error."""
        await self._consumer.closed()

    @property
    def lag_records(self) -> int:
        """How many records are known to be in the topic and are not read yet; 0 when the reader has caught up."""
        lag = 0
        for tp, position in self._positions.items():
            lag += max(0, self._ends.get(tp, 0) - position)
        return lag

    # -- what its consumer tells a reader

    def begun(self, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]) -> None:
        """Take note that the topic is read from ``begin`` on, and ended at ``end``."""
        self._left = {tp: end[tp] for tp in end if end[tp] > begin[tp]}
        if self._left:
            self._ready.clear()
        else:
            self._ready.set()
        self.answered_ms = self._clock.now_ms()

    def fetched(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        """Take records in; there may be none."""
        for tp, records in fetched.items():
            self._positions[tp] = records[-1].offset + 1
        self._take(fetched)

    @property
    def left(self) -> Sequence[TopicPartition]:
        """The partitions of which not all is read that was there at the start."""
        return list(self._left)

    def reached(self, tp: TopicPartition, position: int) -> None:
        """Take note of a position of the consumer in a partition that is ``left``."""
        if position >= self._left[tp]:
            del self._left[tp]
        if not self._left:
            self._ready.set()

    def ends_at(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take note that the broker has answered, and where each partition ends."""
        self._ends = dict(ends)
        self.answered_ms = self._clock.now_ms()


async def offsets_since(
    consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int], since_ms: int
) -> dict[TopicPartition, int]:
    """Find the first record of each partition at or after ``since_ms``, its end where there is none yet."""
    found = await consumer.offsets_for_times(dict.fromkeys(end, since_ms))
    return {tp: end[tp] if found[tp] is None else found[tp].offset for tp in end}
