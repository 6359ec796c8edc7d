"""Readers that share a consumer, over a broker of the test: one that stops, begins again or is not known yet."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiokafka.errors import IllegalStateError

from models.codec import encode_row
from streams.kafka import shared_consumer
from streams.kafka.feed import Feed
from streams.kafka.shared_consumer import SharedConsumer, TopicMissing
from streams.process.clock import SystemClock
from streams.settings.kafka_client import Bootstrap
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from aiokafka import TopicPartition


class Said(NamedTuple):
    """A record."""

    offset: int
    key: bytes
    value: bytes
    timestamp: int = 0


class Broker:
    """Topics of one partition; ``known`` are those of which its metadata tells."""

    def __init__(self, *topics: str) -> None:
        self.topics: dict[str, list[Said]] = {topic: [] for topic in topics}
        self.known: set[str] = set(topics)
        self.is_held = False
        self.open = 0

    def say(self, topic: str, key: bytes) -> None:
        """Append a row."""
        log = self.topics[topic]
        log.append(Said(len(log), key, encode_row(0, len(log) + 1, {})))


class Consumer:
    """As much of aiokafka's consumer as readers use; it hands out one record of each partition at a time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._at: dict[TopicPartition, int] = {}
        self._client = SimpleNamespace(set_topics=self._set_topics)
        broker.open += 1

    async def _set_topics(self, _topics: Collection[str]) -> bool:
        return True

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self._broker.known else None

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await asyncio.sleep(0)
        return {tp: len(self._broker.topics[tp.topic]) for tp in partitions}

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._at = dict.fromkeys(partitions, -1)

    def assignment(self) -> Collection[TopicPartition]:
        return self._at.keys()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._at[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        if tp not in self._at:
            msg = f"Partition {tp} is not assigned"
            raise IllegalStateError(msg)
        return self._at[tp]

    async def getmany(self, *_: TopicPartition, timeout_ms: int) -> Mapping[TopicPartition, Sequence[Said]]:
        del timeout_ms
        await asyncio.sleep(0)
        fetched = {}
        for tp, at in self._at.items():
            log = self._broker.topics[tp.topic]
            if not self._broker.is_held and at < len(log):
                fetched[tp] = log[at : at + 1]
                self._at[tp] = at + 1
        return fetched

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self._broker.open -= 1


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker with two topics, which ``SharedConsumer`` finds."""
    made = Broker("marks", "markets")

    async def start_consumer(*_: object, **_options: object) -> Consumer:
        await asyncio.sleep(0)
        return Consumer(made)

    async def topics(_: SharedConsumer) -> Iterable[str]:
        await asyncio.sleep(0)
        return made.topics

    monkeypatch.setattr(shared_consumer, "start_consumer", start_consumer)
    monkeypatch.setattr(SharedConsumer, "_topics", topics)
    return made


def sharing() -> tuple[Feed, Feed]:
    """A feed of each topic, both through one consumer."""
    bootstrap = Bootstrap("nowhere:1")
    consumer = SharedConsumer(bootstrap, 50)
    marks, markets = (Feed(bootstrap, topic, SystemClock(), table=topic) for topic in ("marks", "markets"))
    for feed in (marks, markets):
        feed.read_through(consumer)
    return marks, markets


async def test_a_topic_of_which_the_metadata_does_not_tell_yet_is_missing_and_not_empty(broker: Broker) -> None:
    marks, markets = sharing()
    broker.say("markets", b"main:1")
    broker.known.remove("markets")
    await marks.start()
    with pytest.raises(TopicMissing, match="markets"):
        await markets.start()
    assert not markets.is_ready

    broker.known.add("markets")
    await markets.start()
    await markets.wait_ready()
    assert [b"main:1"] == list(markets.rows)
    for feed in (marks, markets):
        await feed.stop()
    assert 0 == broker.open


async def test_nothing_stays_open_where_the_metadata_tells_of_no_topic(broker: Broker) -> None:
    marks, _ = sharing()
    broker.known.clear()
    with pytest.raises(TopicMissing, match="marks"):
        await marks.start()

    assert 0 == broker.open


async def test_a_reader_that_was_stopped_before_it_had_read_all_reads_all_when_it_is_started_again(
    broker: Broker,
) -> None:
    marks, markets = sharing()
    broker.is_held = True
    for key in (b"main:1", b"main:2"):
        broker.say("markets", key)
    await asyncio.gather(marks.start(), markets.start())
    await markets.stop()
    await marks.stop()
    # The consumer has no partitions now of the one that was stopped and has still to read them.
    await marks.start()
    await markets.start()
    assert not markets.is_ready

    broker.is_held = False
    broker.say("marks", b"binance:BTC")
    await markets.wait_ready()
    assert [b"main:1", b"main:2"] == list(markets.rows)
    await eventually(lambda: b"binance:BTC" in marks.rows)
    for feed in (marks, markets):
        await feed.stop()
    assert 0 == broker.open


async def test_a_reader_that_was_started_again_is_ready_when_it_has_read_what_is_there_now(broker: Broker) -> None:
    marks, markets = sharing()
    await asyncio.gather(marks.start(), markets.start())
    await markets.wait_ready()
    await markets.stop()
    broker.is_held = True
    broker.say("markets", b"main:1")
    await markets.start()
    assert not markets.is_ready

    broker.is_held = False
    await markets.wait_ready()
    assert [b"main:1"] == list(markets.rows)
    for feed in (marks, markets):
        await feed.stop()


async def test_a_reader_that_starts_while_the_last_one_stops_is_read_for(broker: Broker) -> None:
    marks, markets = sharing()
    await marks.start()
    stopping = asyncio.create_task(marks.stop())
    await asyncio.sleep(0)
    broker.say("markets", b"main:1")
    await markets.start()
    await stopping

    await asyncio.wait_for(markets.wait_ready(), 5)
    await eventually(lambda: b"main:1" in markets.rows)
    assert 1 == broker.open
    await markets.stop()
    assert 0 == broker.open


def test_a_second_reader_of_a_topic_is_refused_since_one_of_the_two_would_get_nothing() -> None:
    bootstrap = Bootstrap("nowhere:1")
    consumer = SharedConsumer(bootstrap, 50)
    first, second = (Feed(bootstrap, "marks", SystemClock(), table="marks") for _ in range(2))
    first.read_through(consumer)
    first.read_through(consumer)

    with pytest.raises(AssertionError, match="expected one reader of marks, found two"):
        second.read_through(consumer)
