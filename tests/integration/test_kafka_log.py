"""The log in Kafka read within bounds: windows, captures, what is gone, and what happens in the middle of a reading."""

from __future__ import annotations

import os
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from models.prices import MarkTick
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.process.clock import SystemClock
from streams.replay import kafka_log
from streams.replay.bounded_log import BrokenOff, LogRecord, NoSuchTopic, OutOfRetention, Place, Span
from streams.replay.captured_log import CapturedLog, CaptureWriter, Manifest
from streams.replay.kafka_log import KafkaLog, Kept
from streams.replay.log_window import check_offsets, read_offsets, resolve_times, write_offsets
from streams.replay.merging import merged
from streams.settings.kafka_client import Bootstrap
from tests.support.broker import new_broker
from tests.support.pipeline import producer, write_ticks
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from streams.replay.bounded_log import Log, Reading
    from streams.settings import Settings

SYMBOLS = [f"S{number}USDT" for number in range(12)]
CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is silent is asked soon."""
    monkeypatch.setattr(kafka_log, "_ASK_AFTER_S", 0.5)
    monkeypatch.setattr(kafka_log, "_ANSWER_WITHIN_S", 1.0)


def ticks(count: int) -> Iterator[MarkTick]:
    for number in range(count):
        yield MarkTick("v", SYMBOLS[number % len(SYMBOLS)], 1 + number, 1 + number, str(1 + number), None, None, None)


def log_of(settings: Settings) -> KafkaLog:
    return KafkaLog(settings.bootstrap, {}, CLOCK)


async def read(log: Log, vector: Mapping[Place, Span]) -> list[LogRecord]:
    topics = sorted({place.topic for place in vector})
    async with log.reading(vector) as reading:
        return [one async for one in merged(reading, vector, topics)]


async def drain(reading: Reading, places: Collection[Place], found: list[LogRecord]) -> None:
    """Read on until the reading breaks off; that a place is over is a failure."""
    while True:
        for place, records in (await reading.more(places)).items():
            assert records, place
            found += records


async def capture(log: Log, vector: Mapping[Place, Span], directory: Path) -> Manifest:
    writer = CaptureWriter(directory, vector)
    for one in await read(log, vector):
        writer.take(one)
    return writer.finish(code="test", made_ms=CLOCK.now_ms(), since_ms=None, until_ms=None)


async def test_a_window_is_read_again_and_again_from_kafka_and_from_captures_with_one_digest(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    own = settings()
    await create_all(own)
    log, topic = log_of(own), topic_name(own, PRICE_TICKS)
    began_ms = CLOCK.now_ms()
    await write_ticks(own, ticks(6_000))

    vector = await resolve_times(log, [topic], began_ms, None)
    # What is written afterwards is not in the window any more.
    await write_ticks(own, ticks(100))
    again = read_offsets(write_offsets(vector))
    await check_offsets(log, again)
    first = await read(log, vector)

    assert 6_000 == len(first)
    assert first == await read(log, again)
    digests = {(await capture(log, vector, tmp_path / str(number))).digest for number in range(3)}
    digests.add((await capture(CapturedLog(tmp_path / "0"), vector, tmp_path / "of capture")).digest)
    assert 1 == len(digests)
    assert first == await read(CapturedLog(tmp_path / "0"), vector)
    # Nobody joined a group.
    admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka)
    await admin.start()
    groups = [name for name, *_ in await admin.list_consumer_groups()]
    await admin.close()
    assert [] == [name for name in groups if own.topics.prefix in name]


async def test_what_an_open_or_aborted_transaction_wrote_is_not_read(
    settings: Callable[..., Settings], kafka: str
) -> None:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415 - of this test alone

    own = settings()
    await create_all(own)
    log, topic = log_of(own), topic_name(own, PRICE_TICKS)
    sender = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{own.topics.prefix}t")
    await sender.start()
    await sender.begin_transaction()
    await sender.send_and_wait(topic, b"{}", partition=0)
    await sender.abort_transaction()
    async with sender.transaction():
        await sender.send_and_wait(topic, b"committed", partition=0)
    vector = await resolve_times(log, [topic], None, None)
    await sender.stop()

    assert [b"committed"] == [one.value for one in await read(log, vector)]
    assert vector[Place(topic, 0)].end > 2


async def test_what_retention_has_deleted_is_refused_and_named_also_in_the_middle_of_a_reading(
    settings: Callable[..., Settings], kafka: str
) -> None:
    own = settings(topics={"partitions": 1})
    await create_all(own)
    log, topic = log_of(own), topic_name(own, PRICE_TICKS)
    began_ms = CLOCK.now_ms()
    async with producer(own) as sender:
        for _ in range(40):
            # A fetch of a partition holds but one of them, so that what is read is fetched bit by bit.
            await sender.send_and_wait(topic, os.urandom(900_000), partition=0)
    vector = await resolve_times(log, [topic], began_ms, None)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()

    async with log.reading(vector) as reading:
        found = list((await reading.more(vector))[Place(topic, 0)])
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=39)})
        with pytest.raises(BrokenOff, match="deleted"):
            await drain(reading, vector, found)
    assert len(found) < 39
    with pytest.raises(OutOfRetention, match="found 39"):
        await check_offsets(log, vector)
    with pytest.raises(OutOfRetention, match="held since"):
        await resolve_times(log, [topic], began_ms, None)
    # What is younger than the topic's retention was not deleted by it, however young the oldest record is.
    kept = Kept(CLOCK.now_ms() - began_ms + 60_000)
    keeping = KafkaLog(own.bootstrap, {topic: kept}, CLOCK)
    assert Span(39, 40) == (await resolve_times(keeping, [topic], began_ms, None))[Place(topic, 0)]
    # What went for its bytes may be of any age.
    bounded = KafkaLog(own.bootstrap, {topic: kept._replace(is_bounded=True)}, CLOCK)
    with pytest.raises(OutOfRetention, match="held since"):
        await resolve_times(bounded, [topic], began_ms, None)
    await admin.close()


async def test_a_topic_that_is_missing_or_made_anew_while_it_is_read_is_said(
    settings: Callable[..., Settings], kafka: str
) -> None:
    own = settings()
    topic = topic_name(own, PRICE_TICKS)
    with pytest.raises(NoSuchTopic, match=topic):
        await log_of(own).held([topic])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    assert topic not in await admin.list_topics()

    await create_all(own)
    await write_ticks(own, ticks(12))
    held = await log_of(own).held([topic])
    vector = {place: Span(one.begin, one.end + 5) for place, one in held.items()}
    async with log_of(own).reading(vector) as reading:
        # There is less than there was when the window was made.
        with pytest.raises(BrokenOff, match="made anew"):
            await drain(reading, vector, [])
    await admin.close()


async def test_what_is_written_is_followed_in_the_order_of_each_partition(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    log, topic = log_of(own), topic_name(own, PRICE_TICKS)
    await write_ticks(own, ticks(50))
    vector = await resolve_times(log, [topic], None, None)
    offsets: dict[int, list[int]] = {}
    async with aclosing(log.follow({place: span.begin for place, span in vector.items()})) as batches:
        written, seen = False, 0
        async for batch in batches:
            for one in batch:
                offsets.setdefault(one.partition, []).append(one.offset)
            seen += len(batch)
            if seen >= 50 and not written:
                written = True
                await write_ticks(own, ticks(30))
            if seen == 80:
                break

    assert all(list(range(len(found))) == found for found in offsets.values())


# aiokafka leaves a connection open that it was making when the broker ended.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_broker_that_stops_in_the_middle_of_a_reading_is_said(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    broker = new_broker(tmp_path)
    try:
        own = settings(kafka=broker.start())
        await create_all(own)
        await write_ticks(own, ticks(24))
        log, topic = KafkaLog(Bootstrap(broker.bootstrap), {}, CLOCK), topic_name(own, PRICE_TICKS)
        vector = {place: Span(span.begin, span.end + 1) for place, span in
                  (await resolve_times(log, [topic], None, None)).items()}  # fmt: skip
        async with log.reading(vector) as reading:
            await reading.more(vector)
            broker.kill()
            with pytest.raises(BrokenOff, match="does not answer"):
                await drain(reading, vector, [])
    finally:
        broker.kill()
