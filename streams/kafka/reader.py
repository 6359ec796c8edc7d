"""A reader of all partitions of a topic, without a consumer group: first up to their ends at start, then it follows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from models.errors import TidemarkError
from streams.kafka.connection import client_arguments
from streams.kafka.consumer import start_consumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings.kafka_client import Bootstrap


# One idle partition's long poll delays the busy ones of the same node; 50 ms cost half as much at p50 as 100 ms.
FETCH_MAX_WAIT_MS = 50
# Applying records blocks the loop: 5,000 rows take about 5 ms.
_MAX_POLL_RECORDS = 5_000
# A wait for records ends after so long, since work that does not depend on records is done between two waits.
_LONGEST_WAIT_MS = 1_000
# One small request every two seconds, so that a broker that is gone is noticed within five.
_CHECK_EVERY_S = 2.0
_ANSWER_WITHIN_S = 3.0
# Who waits for what is in the topic looks again so often.
_LOOK_AGAIN_S = 0.02


class TopicMissing(TidemarkError):
    """The topic does not exist. Create the topics (``tidemark topics create``) and check epoch and prefix."""


class TopicReader:
    """Reads every partition of one topic; subclasses say what to do with the records.

    It is ready when it has read to the end offsets that it saw at start; then it follows the topic.

    Args:
        bootstrap: How the cluster is reached.
        topic: The topic's full name.
        clock: Tells when the broker last answered.
        wait_ms: How long the broker may wait for records before it answers that there are none, in ms. The default is
            short, for topics in which some partition always has new records.

    Attributes:
        topic: The topic's full name.
        answered_ms: When the broker last answered, in Unix ms.
    """

    # Whether records of transactions that were aborted, or are still open, are passed over.
    _is_committed_only = False

    def __init__(self, bootstrap: Bootstrap, topic: str, clock: Clock, wait_ms: int = FETCH_MAX_WAIT_MS) -> None:
        self.topic = topic
        self._clock = clock
        self._wait_ms = wait_ms
        self._bootstrap = bootstrap
        self._positions: dict[TopicPartition, int] = {}
        self._ready = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._following: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._left: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self.answered_ms = 0

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        """Take records in.

        Called in the loop at least every ``_LONGEST_WAIT_MS``, without records where there are none.
        """
        raise NotImplementedError

    def _wanted(self) -> Sequence[TopicPartition]:
        """The partitions whose records are to be taken in next; none for all."""
        return ()

    async def _seek(self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Seek where to begin, and return these offsets; by default at the oldest record of each partition."""
        begin: dict[TopicPartition, int] = await consumer.beginning_offsets(list(end))
        return begin

    @staticmethod
    async def _seek_time(
        consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int], since_ms: int
    ) -> dict[TopicPartition, int]:
        """Seek the first record of each partition at or after ``since_ms``, its end where there is none yet."""
        found = await consumer.offsets_for_times(dict.fromkeys(end, since_ms))
        begin = {tp: end[tp] if found[tp] is None else found[tp].offset for tp in end}
        for tp, offset in begin.items():
            consumer.seek(tp, offset)
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
        await self._require_topic()
        consumer = await start_consumer(
            self._bootstrap,
            self.topic,
            wait_ms=self._wait_ms,
            most_records=_MAX_POLL_RECORDS,
            committed_only=self._is_committed_only,
        )
        is_started = False
        try:
            end = await consumer.end_offsets(list(consumer.assignment()))
            begin = await self._seek(consumer, end)
            is_started = True
        finally:
            if not is_started:
                await consumer.stop()
        self._consumer = consumer
        self._left = {tp: end[tp] for tp in end if end[tp] > begin[tp]}
        if not self._left:
            self._ready.set()
        self.answered_ms = self._clock.now_ms()
        self._following = asyncio.create_task(self._follow(consumer), name=f"reader of {self.topic}")
        self._checking = asyncio.create_task(self._check_ends(consumer), name=f"ends of {self.topic}")

    async def _require_topic(self) -> None:
        # A consumer waits 40 s for a topic that does not exist, and a cluster that creates topics by itself creates it.
        admin = AIOKafkaAdminClient(**client_arguments(self._bootstrap))
        try:
            await admin.start()
            topics = await admin.list_topics()
        except TimeoutError as error:
            msg = f"expected Kafka at {self._bootstrap} to list its topics, found no answer"
            raise KafkaConnectionError(msg) from error
        finally:
            await admin.close()
        if self.topic not in topics:
            msg = f"expected topic {self.topic}, found no such topic on {self._bootstrap}"
            raise TopicMissing(msg)

    async def stop(self) -> None:
        """Disconnect; what was read is kept."""
        tasks = [task for task in (self._following, self._checking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._consumer is not None:
            await self._consumer.stop()

    @property
    def is_ready(self) -> bool:
        """Whether everything that was in the topic at start has been read."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until the reader is ready.

        Raises:
            Exception: The error that ended the reader before.
        """
        if self._following is None:
            await self._ready.wait()
            return
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait([ready, self._following], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            self._following.result()

    async def read_until_now(self) -> None:
        """Wait until everything has been read that is in the topic now; the reader has been started.

        Raises:
            KafkaError: The broker does not say where the topic ends.
        """
        consumer = self._consumer
        if consumer is None:
            msg = f"expected a reader of {self.topic} that was started"
            raise AssertionError(msg)
        ends = await consumer.end_offsets(list(consumer.assignment()))
        # Who reads takes records in within the turn of the loop in which the consumer's position moves.
        for tp, end in ends.items():
            while await consumer.position(tp) < end:  # noqa: ASYNC110 - a consumer tells nobody that it has moved
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def closed(self) -> None:
        """Wait until the reader ends, which it does only by an error, and raise that error."""
        if self._following is not None:
            await asyncio.shield(self._following)

    @property
    def lag_records(self) -> int:
        """How many records are known to be in the topic and are not read yet; 0 when the reader has caught up."""
        lag = 0
        for tp, position in self._positions.items():
            lag += max(0, self._ends.get(tp, 0) - position)
        return lag

    async def _check_ends(self, consumer: AIOKafkaConsumer) -> None:
        # A consumer whose broker is gone fetches nothing and raises nothing: only an answer shows that the broker
        # lives.
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    self._ends = await consumer.end_offsets(list(consumer.assignment()))
                self.answered_ms = self._clock.now_ms()
            await asyncio.sleep(_CHECK_EVERY_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            wait_ms = 200 if self._left else _LONGEST_WAIT_MS
            fetched = await consumer.getmany(*self._wanted(), timeout_ms=wait_ms)
            for tp, records in fetched.items():
                self._positions[tp] = records[-1].offset + 1
            self._take(fetched)
            for tp in list(self._left):
                # The consumer's position counts, and not the last record read: the last record may have been compacted
                # away.
                if await consumer.position(tp) >= self._left[tp]:
                    del self._left[tp]
            if not self._left:
                self._ready.set()
            if sum(map(len, fetched.values())) >= _MAX_POLL_RECORDS:
                await asyncio.sleep(0)
