"""One consumer for several readers of topics: what a fetch costs is paid once for all of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from models.errors import TidemarkError
from streams.kafka.admin import opened_admin
from streams.kafka.consumer import start_consumer
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.kafka.record import Record
    from streams.process.cadence import Pacing
    from streams.settings.kafka_client import Bootstrap

# Of topics in which some partition always has new records: one idle partition's long poll delays the busy ones of the
# same node; 50 ms cost half as much at p50 as 100 ms.
BUSY_WAIT_MS = 50
# Of topics that are seldom written. Their records come as soon as they are there, since the broker answers with the
# first byte; only a question to it on the same connection waits so long, such as where a partition ends.
QUIET_WAIT_MS = 500
# Applying records blocks the loop: 5,000 rows take about 5 ms.
_MAX_POLL_RECORDS = 5_000
# A wait for records ends after so long, since work that does not depend on records is done between two waits.
_LONGEST_WAIT_S = 1.0
# And after so long as what was there at the start is being read.
_LONGEST_WAIT_AT_START_S = 0.2
# One small request every two seconds, so that a broker that is gone is noticed within five.
_CHECK_EVERY_S = 2.0
_ANSWER_WITHIN_S = 3.0
# Who waits for what is in the topic looks again so often.
_LOOK_AGAIN_S = 0.02


class TopicMissing(TidemarkError):
    """The topic does not exist. Create the topics (``tidemark topics create``) and check epoch and prefix."""


class Reader(Protocol):
    """Who reads a topic through a consumer; ``TopicReader`` is one."""

    topic: str
    """The topic's full name."""

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Find where to begin in each partition of the topic.

        Args:
            consumer: Tells what is in the topic.
            end: Where each partition ends.
        """

    def begun(self, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]) -> None:
        """Take note that the topic is read from ``begin`` on, and ended at ``end``."""

    @property
    def wanted(self) -> Sequence[TopicPartition]:
        """The partitions whose records are to be taken in next; none for all."""

    def fetched(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        """Take records in; there may be none."""

    @property
    def left(self) -> Sequence[TopicPartition]:
        """The partitions of which not all is read that was there at the start."""

    def reached(self, tp: TopicPartition, position: int) -> None:
        """Take note of a position of the consumer in a partition that is ``left``."""

    def ends_at(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take note that the broker has answered, and where each partition ends."""


class SharedConsumer:
    """Reads the topics of all readers that were added, from the start of the first of them until the last is stopped.

    Args:
        bootstrap: How the cluster is reached.
        wait_ms: How long the broker may wait for records before it answers that there are none, in ms.
        committed_only: Whether records of transactions that were aborted, or are still open, are passed over.
        pacing: Says how far apart fetches are that bring little; without it, one follows the other at once.
        own_id: Tells the id of a producer whose batches are passed over, since its readers know what is in them. Their
            ``lag_records`` counts what is passed over until something else is read behind it.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        wait_ms: int,
        *,
        committed_only: bool = False,
        pacing: Pacing | None = None,
        own_id: Callable[[], int] | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._wait_ms = wait_ms
        self._is_committed_only = committed_only
        self._pacing = pacing
        self._own_id = own_id
        self._readers: dict[str, Reader] = {}
        self._started: set[str] = set()
        self._positions: dict[str, dict[TopicPartition, int]] = {}
        self._beginning: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._following: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None

    def add(self, reader: Reader) -> None:
        """Read the topic of one more reader, from the next start on; no other one reads that topic here."""
        if self._readers.setdefault(reader.topic, reader) is not reader:
            msg = f"expected one reader of {reader.topic}, found two; give the second a consumer of its own"
            raise AssertionError(msg)

    async def start(self, reader: Reader) -> None:
        """Begin to read for a reader, and for all others whose topics are there.

        After an error nothing is read for the reader, and it may be started again.

        Raises:
            TopicMissing: Its topic does not exist.
            KafkaError: The broker cannot be reached.
        """
        self.add(reader)
        self._started.add(reader.topic)
        is_begun = False
        try:
            # What was under way before this reader came may have begun without it.
            while reader.topic not in self._positions:
                beginning, is_own = self._beginning, False
                if beginning is None or beginning.done():
                    beginning, is_own = asyncio.create_task(self._begin(), name=f"begin to read {reader.topic}"), True
                    beginning.add_done_callback(_look_at)
                    self._beginning = beginning
                await asyncio.shield(beginning)
                if is_own and reader.topic not in self._positions:
                    msg = f"expected topic {reader.topic}, found no such topic on {self._bootstrap}"
                    raise TopicMissing(msg)
            is_begun = True
        finally:
            if not is_begun:
                await self.stop(reader)

    async def stop(self, reader: Reader) -> None:
        """Read no more for a reader; the last one that stops disconnects."""
        self._readers.pop(reader.topic, None)
        self._positions.pop(reader.topic, None)
        self._started.discard(reader.topic)
        if self._started:
            return
        tasks = [task for task in (self._beginning, self._following, self._checking) if task is not None]
        consumer = self._consumer
        # Whoever starts while this one ends begins with nothing of it.
        self._beginning = self._following = self._checking = self._consumer = None
        self._positions.clear()
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            if consumer is not None:
                await waited_out(consumer.stop())

    async def closed(self) -> None:
        """Wait until reading ends, which it does only by an error, and raise that error."""
        if self._following is not None:
            await asyncio.shield(self._following)

    async def wait(self, ready: asyncio.Event) -> None:
        """Wait until something has been read.

        Raises:
            Exception: The error by which reading ended before.
        """
        following = self._following
        if following is None:
            await ready.wait()
            return
        waiting = asyncio.ensure_future(ready.wait())
        try:
            await asyncio.wait([waiting, following], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not ready.is_set():
            following.result()

    async def read_until_now(self, reader: Reader) -> None:
        """Wait until everything has been read that is in the reader's topic now; it has been started.

        Raises:
            KafkaError: The broker does not say where the topic ends.
        """
        consumer = self._consumer
        if consumer is None:
            msg = f"expected a reader of {reader.topic} that was started"
            raise AssertionError(msg)
        ends = await consumer.end_offsets(list(self._positions[reader.topic]))
        # Readers take records in within the turn of the loop in which the consumer's position moves.
        for tp, end in ends.items():
            while await consumer.position(tp) < end:  # noqa: ASYNC110 - a consumer tells nobody that it has moved
                await asyncio.sleep(_LOOK_AGAIN_S)

    # -- beginning

    async def _begin(self) -> None:
        there = await self._topics()
        found = [reader for topic, reader in self._readers.items() if topic in there and topic not in self._positions]
        if not found:
            return
        consumer, is_new = self._consumer, False
        if consumer is None:
            is_new = True
            consumer = await start_consumer(
                self._bootstrap,
                wait_ms=self._wait_ms,
                most_records=_MAX_POLL_RECORDS,
                committed_only=self._is_committed_only,
                pacing=self._pacing,
                own_id=None if self._own_id is None else self._own_id(),
            )
        is_begun = False
        try:
            await self._assign(consumer, found)
            is_begun = bool(self._positions)
        finally:
            if is_new and not is_begun:
                await waited_out(consumer.stop())
        if is_new and is_begun:
            self._consumer = consumer
            topics = ", ".join(self._positions)
            self._following = asyncio.create_task(self._follow(consumer), name=f"reader of {topics}")
            self._checking = asyncio.create_task(self._check_ends(consumer), name=f"ends of {topics}")

    async def _topics(self) -> Iterable[str]:
        # A consumer waits 40 s for a topic that does not exist, and a cluster that creates topics by itself creates it.
        try:
            async with opened_admin(self._bootstrap) as admin:
                topics: Iterable[str] = await admin.list_topics()
        except TimeoutError as error:
            msg = f"expected Kafka at {self._bootstrap} to list its topics, found no answer"
            raise KafkaConnectionError(msg) from error
        return topics

    async def _assign(self, consumer: AIOKafkaConsumer, found: Sequence[Reader]) -> None:
        await consumer._client.set_topics([*self._positions, *(reader.topic for reader in found)])
        begins: list[tuple[Reader, Mapping[TopicPartition, int], Mapping[TopicPartition, int]]] = []
        for reader in found:
            partitions = consumer.partitions_for_topic(reader.topic)
            if not partitions:
                # One broker has it, and another, or one that has not answered, does not say so yet.
                continue
            end = await consumer.end_offsets([TopicPartition(reader.topic, number) for number in partitions])
            begins.append((reader, await reader.begin_at(consumer, end), end))
        for reader, begin, end in begins:
            if reader.topic in self._readers:
                self._positions[reader.topic] = dict(begin)
                reader.begun(begin, end)
        if not begins:
            return
        # An assignment replaces the one before, and forgets where each partition was.
        positions = {tp: offset for parts in self._positions.values() for tp, offset in parts.items()}
        consumer.assign(list(positions))
        for tp, offset in positions.items():
            consumer.seek(tp, offset)

    # -- following

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        clock_s = asyncio.get_running_loop().time
        all_told_s = clock_s()
        while True:
            is_reading = any(self._readers[topic].left for topic in self._positions)
            longest_s = _LONGEST_WAIT_AT_START_S if is_reading else _LONGEST_WAIT_S
            wait_s = max(0.0, min(longest_s, all_told_s + _LONGEST_WAIT_S - clock_s()))
            fetched = await consumer.getmany(*self._wanted(), timeout_ms=round(wait_s * 1_000))
            now_s = clock_s()
            are_all_told = not fetched or now_s >= all_told_s + _LONGEST_WAIT_S
            if are_all_told:
                all_told_s = now_s
            self._hand_out(fetched, are_all_told=are_all_told)
            # One that was stopped before it had read all has no partitions here until it has begun again.
            for reader in [self._readers[topic] for topic in self._positions]:
                for tp in reader.left:
                    # The consumer's position counts, and not the last record read: the last record may have been
                    # compacted away.
                    reader.reached(tp, await consumer.position(tp))
            if sum(map(len, fetched.values())) >= _MAX_POLL_RECORDS:
                await asyncio.sleep(0)

    def _hand_out(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]], *, are_all_told: bool) -> None:
        by_topic: dict[str, dict[TopicPartition, Sequence[Record[bytes]]]] = {}
        if are_all_told:
            by_topic = {topic: {} for topic in self._positions}
        for tp, records in fetched.items():
            if tp.topic in self._positions:
                self._positions[tp.topic][tp] = records[-1].offset + 1
                by_topic.setdefault(tp.topic, {})[tp] = records
        for topic, parts in by_topic.items():
            self._readers[topic].fetched(parts)

    def _wanted(self) -> list[TopicPartition]:
        chosen = {topic: self._readers[topic].wanted for topic in self._positions}
        if not any(chosen.values()):
            return []
        return [tp for topic, wanted in chosen.items() for tp in wanted or self._positions[topic]]

    async def _check_ends(self, consumer: AIOKafkaConsumer) -> None:
        # A consumer whose broker is gone fetches nothing and raises nothing: only an answer shows that the broker
        # lives.
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    ends = await consumer.end_offsets(list(consumer.assignment()))
                for topic, reader in self._readers.items():
                    reader.ends_at({tp: end for tp, end in ends.items() if tp.topic == topic})
            await asyncio.sleep(_CHECK_EVERY_S)


def _look_at(beginning: asyncio.Task[None]) -> None:
    """Take note of an error that nobody waits for any longer."""
    if not beginning.cancelled():
        beginning.exception()
