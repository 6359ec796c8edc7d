"""The log in Kafka, read without a consumer group: nothing is committed, and rights to read are enough."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from streams.kafka.admin import opened_admin
from streams.kafka.consumer import know_topics, start_consumer
from streams.kafka.record import Record
from streams.process.supervision import waited_out
from streams.replay.bounded_log import BrokenOff, Held, LogRecord, NoSuchTopic, Place, Span

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.process.clock import Clock
    from streams.settings.kafka_client import Bootstrap

_MOST_RECORDS = 5_000
# What has an end is there already, so a broker has no reason to wait.
_FETCH_WAIT_MS = 50
_POLL_MS = 500
# A broker that hands out nothing for so long is asked whether it is there. A consumer itself never says.
_ASK_AFTER_S = 10.0
_ANSWER_WITHIN_S = 5.0
# The end of a span that goes on for as long as the topic does.
_ENDLESS = 2**62
# A broker that answers and yet hands out nothing of what it says to have is given up after so many questions.
_ASKED_AT_MOST = 6


class Kept(NamedTuple):
    """How long the records of a topic stay.

    ``ms``: that long at least, in ms, unless its bytes are bounded too (``is_bounded``): then the oldest ones go when
    there are too many.
    """

    ms: int
    is_bounded: bool = False


class _WithHeaders(Record[bytes | None], Protocol):
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class KafkaLog:
    """Topics of a cluster.

    Only what was committed is read: of a transaction that was aborted, or is still open, nobody reads anything.

    Args:
        bootstrap: How the cluster is reached.
        kept: How long the records of a topic stay, by its full name; of those that are not named, the oldest record
            tells.
        clock: Tells the instant now.
    """

    def __init__(self, bootstrap: Bootstrap, kept: Mapping[str, Kept], clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._kept = kept
        self._clock = clock

    async def cluster(self) -> str | None:
        """The cluster's id.

        Raises:
            KafkaError: The cluster does not answer.
        """
        async with opened_admin(self._bootstrap) as admin:
            found: str | None = (await admin.describe_cluster())["cluster_id"]
            return found

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """None beside the one."""
        return {}

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        """What the cluster holds of every partition of these topics.

        Raises:
            NoSuchTopic: There is none of that name, or we may not see it.
            BrokenOff: The cluster stopped answering, or deleted its oldest record just now.
            KafkaError: The cluster does not answer.
        """
        if not topics:
            return {}
        partitions = await self._partitions(topics)
        tps = [TopicPartition(topic, number) for topic in topics for number in partitions[topic]]
        async with _consumer(self._bootstrap, topics) as consumer:
            begins = await consumer.beginning_offsets(tps)
            ends = await consumer.end_offsets(tps)
            cut = {Place(*tp): Span(begins[tp], ends[tp]) for tp in tps if begins[tp] > 0}
            oldest = await _first_records(consumer, cut)
        now_ms = self._clock.now_ms()
        held = {}
        for tp in tps:
            since_ms = self._since_ms(tp.topic, oldest.get(Place(*tp)), now_ms) if begins[tp] > 0 else None
            held[Place(*tp)] = Held(begins[tp], ends[tp], since_ms)
        return held

    def _since_ms(self, topic: str, oldest: LogRecord | None, now_ms: int) -> int:
        """Since when a place is held of which records are gone, Unix ms."""
        kept = self._kept.get(topic)
        found_ms = now_ms if oldest is None else oldest.time_ms
        # What went for its bytes may be as young as the oldest record; it leaves as many bytes as are allowed, so that
        # a place which is empty was emptied by time.
        if kept is None or (kept.is_bounded and oldest is not None):
            return found_ms
        # A quiet partition's oldest record may be young though nothing younger than the retention is gone.
        return min(found_ms, now_ms - kept.ms)

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        """The first offset of each place at which a record was made at an instant or later; its end where none was.

        Args:
            held: What the cluster holds.
            time_ms: The instant, Unix ms.

        Raises:
            BrokenOff: The cluster stopped answering, or deleted what was to be looked at.
            KafkaError: The cluster does not answer.
        """
        if not held:
            return {}
        async with _consumer(self._bootstrap, (place.topic for place in held)) as consumer:
            told = await consumer.offsets_for_times({TopicPartition(*place): max(0, time_ms) for place in held})
            left = {}
            for place, one in held.items():
                at = told[TopicPartition(*place)]
                left[place] = Span(one.end if at is None else min(at.offset, one.end), one.end)
            # Kafka counts what nobody reads as well: the end of a transaction bears the instant at which it was ended,
            # which in a restored cluster is later than all the records behind it.
            found = await _first_records(consumer, left, time_ms)
        return {place: found[place].offset if place in found else one.end for place, one in held.items()}

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[KafkaReading]:
        """Read these spans, for as long as the block lasts.

        Raises:
            KafkaError: The cluster cannot be reached.
        """
        async with _consumer(self._bootstrap, (place.topic for place in vector)) as consumer:
            yield KafkaReading(consumer, vector)

    async def follow(self, begins: Mapping[Place, int]) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Yield what stands from these offsets on and what is written from now on, for ever, a batch at a time.

        Raises:
            BrokenOff: The cluster stopped answering, or deleted what was to be read.
            KafkaError: The cluster cannot be reached.
        """
        async with self.reading({place: Span(begin, _ENDLESS) for place, begin in begins.items()}) as reading:
            while True:
                found = await reading.more(begins.keys())
                yield sorted(record for records in found.values() for record in records)

    async def _partitions(self, topics: Collection[str]) -> dict[str, list[int]]:
        # Asked for by name, a topic that does not exist would be created where the cluster creates topics by itself.
        async with opened_admin(self._bootstrap) as admin:
            described = {one["topic"]: one["partitions"] for one in await admin.describe_topics()}
        missing = sorted(set(topics) - described.keys())
        if missing:
            msg = f"expected topics {', '.join(missing)} on {self._bootstrap}, found none of that name that we may see"
            raise NoSuchTopic(msg)
        return {topic: sorted(one["partition"] for one in described[topic]) for topic in topics}


class KafkaReading:
    """Reads spans of partitions, each in the order of its offsets.

    Args:
        consumer: Started, without partitions.
        vector: What is read, and nothing else.
    """

    def __init__(self, consumer: AIOKafkaConsumer, vector: Mapping[Place, Span]) -> None:
        self._consumer = consumer
        self._spans = {TopicPartition(*place): span for place, span in vector.items()}
        consumer.assign(list(self._spans))
        for tp, span in self._spans.items():
            consumer.seek(tp, span.begin)

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        """Read on.

        Args:
            places: Of the vector, of which none is over.

        Returns:
            The next records of at least one of the places; none of them where a place is over.

        Raises:
            BrokenOff: The broker stopped answering, or the log is not what it was.
        """
        tps = [TopicPartition(*place) for place in places]
        loop = asyncio.get_running_loop()
        heard_s, asked = loop.time(), 0
        while True:
            found = await self._fetch(tps)
            if found:
                return found
            if loop.time() - heard_s >= _ASK_AFTER_S:
                await self._expect_standing(tps)
                heard_s, asked = loop.time(), asked + 1
                if asked >= _ASKED_AT_MOST and any(self._spans[tp].end < _ENDLESS for tp in tps):
                    silent_s = asked * _ASK_AFTER_S
                    msg = f"expected the broker to hand out {_names(tps)}, found nothing in {silent_s:.0f} s"
                    raise BrokenOff(msg)

    async def _fetch(self, tps: Sequence[TopicPartition]) -> dict[Place, Sequence[LogRecord]]:
        try:
            # Of what is over the broker hands out nothing, and would be waited for.
            over = await self._over(tps)
            fetched = {}
            if not over:
                fetched = await self._consumer.getmany(*tps, timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
                over = await self._over([tp for tp in tps if tp not in fetched])
        except OffsetOutOfRangeError as error:
            msg = f"expected the records of {_names(tps)} to stay while they are read, found some deleted: {error}"
            raise BrokenOff(msg) from error
        except KafkaError as error:
            msg = f"expected the broker to hand out {_names(tps)}, found: {error!r}"
            raise BrokenOff(msg) from error
        found: dict[Place, Sequence[LogRecord]] = {Place(*tp): () for tp in over}
        for tp, records in fetched.items():
            found[Place(*tp)] = _logged(tp, records, self._spans[tp].end)
        for place, records in found.items():
            if not records:
                # It would go on fetching what nobody reads.
                self._consumer.pause(TopicPartition(*place))
        return found

    async def _over(self, tps: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [tp for tp in tps if await self._consumer.position(tp) >= self._spans[tp].end]

    async def _expect_standing(self, tps: Sequence[TopicPartition]) -> None:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                ends = await self._consumer.end_offsets(list(tps))
                positions = {tp: await self._consumer.position(tp) for tp in tps}
        except (KafkaError, TimeoutError) as error:
            msg = f"expected the broker to hand out {_names(tps)}, found that it does not answer: {error!r}"
            raise BrokenOff(msg) from error
        for tp, end in ends.items():
            least = positions[tp] if self._spans[tp].end == _ENDLESS else self._spans[tp].end
            if end < least:
                msg = f"expected {_names([tp])} to reach offset {least}, found it to end at {end}: it was made anew"
                raise BrokenOff(msg)


async def _first_records(
    consumer: AIOKafkaConsumer, vector: Mapping[Place, Span], least_ms: int | None = None
) -> dict[Place, LogRecord]:
    """The first committed record of each span that was made at ``least_ms`` or later; none of a span without one."""
    left = {place: span for place, span in vector.items() if span.begin < span.end}
    found: dict[Place, LogRecord] = {}
    if not left:
        # A consumer that is stopped while it still connects leaves its connection open.
        return found
    reading = KafkaReading(consumer, left)
    while left:
        for place, records in (await reading.more(left.keys())).items():
            first = next((one for one in records if least_ms is None or one.time_ms >= least_ms), None)
            if first is not None:
                found[place] = first
            if first is not None or not records:
                del left[place]
    return found


@asynccontextmanager
async def _consumer(bootstrap: Bootstrap, topics: Iterable[str]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = await start_consumer(
        bootstrap, wait_ms=_FETCH_WAIT_MS, most_records=_MOST_RECORDS, committed_only=True, begins_anywhere=False
    )
    try:
        await know_topics(consumer, topics)
        yield consumer
    finally:
        try:
            await waited_out(consumer.stop())
        except asyncio.CancelledError:
            # aiokafka hands on that it cancelled a fetch of its own which was waiting for a broker that is gone.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise


def _logged(tp: TopicPartition, records: Sequence[_WithHeaders], end: int) -> Sequence[LogRecord]:
    """Records below an offset."""
    topic, partition = tp
    return [
        LogRecord(one.timestamp, topic, partition, one.offset, one.key, one.value, tuple(one.headers))
        for one in records
        if one.offset < end
    ]


def _names(tps: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{tp.topic}:{tp.partition}" for tp in tps)
