from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
import uvloop

from streams.kafka.topics import MAX_RECORD_BYTES
from streams.transport.publisher import Publisher, Receipt, RecordTooLarge
from tests.support.eventually import eventually
from tests.support.pacing import Even
from tests.support.virtual_loop import run_in_no_time


class Written(NamedTuple):
    topic: str
    partition: int
    offset: int


class FakeBatch:
    def __init__(self, room: int) -> None:
        self.records: list[tuple[bytes, bytes]] = []
        self._room = room

    def append(self, *, key: bytes, value: bytes, timestamp: None) -> object | None:
        assert timestamp is None
        if len(self.records) == self._room:
            return None
        self.records.append((key, value))
        return self.records

    def close(self) -> None:
        pass


class FakeProducer:
    """Keeps batches until the test acknowledges them."""

    def __init__(self, room: int = 100) -> None:
        self._room = room
        self.sent: list[tuple[str, int, list[tuple[bytes, bytes]], asyncio.Future[Written]]] = []

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self._room)

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[Written]:
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, partition, batch.records, future))
        return future

    def acknowledge(self, at: int, offset: int) -> None:
        topic, partition, _, future = self.sent[at]
        future.set_result(Written(topic, partition, offset))


class Made(NamedTuple):
    publisher: Publisher
    producer: FakeProducer
    acked: list[tuple[str, int, list[tuple[bytes, bytes]], int]]
    fatal: list[BaseException]


def made(room: int = 100) -> Made:
    producer = FakeProducer(room)
    acked: list[Any] = []
    fatal: list[BaseException] = []
    publisher = Publisher(fatal.append, lambda *batch: acked.append(batch), Even(0.003))
    publisher.start(producer)
    return Made(publisher, producer, acked, fatal)


async def pumped() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_leaves_before_a_flush_and_then_one_batch_a_topic_and_partition() -> None:
    publisher, producer, _, _ = made()
    receipt = Receipt()
    for partition, key in ((0, b"a"), (1, b"b"), (0, b"c")):
        publisher.append("rows", partition, key, b"v", receipt)
    await pumped()
    assert [] == producer.sent

    publisher.flush()
    await pumped()

    assert [("rows", 0, [(b"a", b"v"), (b"c", b"v")]), ("rows", 1, [(b"b", b"v")])] == [
        batch[:3] for batch in producer.sent
    ]
    await publisher.stop()


async def test_a_charge_is_settled_only_when_every_one_of_its_records_is_acknowledged() -> None:
    publisher, producer, acked, _ = made(room=2)
    receipt = Receipt()
    for key in (b"a", b"b", b"c"):
        publisher.append("rows", 0, key, b"v", receipt)
    publisher.flush()
    await pumped()
    waiting = asyncio.ensure_future(receipt.acknowledged())

    producer.acknowledge(0, offset=10)
    await pumped()
    assert not waiting.done()
    producer.acknowledge(1, offset=12)
    await pumped()

    assert waiting.done()
    assert 0 == publisher.unacked
    assert [10, 12] == [offset for *_, offset in acked]
    await publisher.stop()


async def test_a_record_over_the_brokers_limit_is_refused_and_charged_to_nobody() -> None:
    publisher, _, _, fatal = made()
    receipt = Receipt()

    with pytest.raises(RecordTooLarge, match="expected a record of rows of at most"):
        publisher.append("rows", 0, b"key", b"x" * MAX_RECORD_BYTES, receipt)

    await receipt.acknowledged()
    assert [] == fatal
    await publisher.stop()


async def test_a_batch_the_broker_does_not_take_is_fatal_and_settles_nothing() -> None:
    publisher, producer, acked, fatal = made()
    receipt = Receipt()
    publisher.append("rows", 0, b"a", b"v", receipt)
    publisher.flush()
    await pumped()
    fault = ConnectionError("broker is gone")

    producer.sent[0][3].set_exception(fault)
    await pumped()

    assert [fault] == fatal
    assert [] == acked
    assert 1 == publisher.unacked
    await publisher.stop()


def test_what_nobody_waits_for_leaves_in_larger_batches_and_still_leaves() -> None:
    async def in_turns() -> tuple[list[int], list[int], int]:
        producer = FakeProducer()
        publisher = Publisher(_fail, lambda *_: None, Even(0.003), patient=("kept",))
        publisher.start(producer)
        for _ in range(100):
            for topic in ("rows", "kept"):
                publisher.append(topic, 0, b"k", b"v", Receipt())
            assert 1 == publisher.unsent
            publisher.flush()
            await asyncio.sleep(0.004)
        # No flush comes any more.
        await asyncio.sleep(1)
        sizes = {topic: [len(batch[2]) for batch in producer.sent if batch[0] == topic] for topic in ("rows", "kept")}
        await publisher.stop()
        return sizes["rows"], sizes["kept"], publisher.unsent

    rows, kept, unsent = run_in_no_time(in_turns(), least_step_s=1e-6)

    assert ([1] * 100, 0) == (rows, unsent)
    assert 100 == sum(kept)
    assert len(kept) <= 6


def test_all_that_is_flushed_again_and_again_leaves_on_the_loop_that_workers_run_on() -> None:
    async def flushed_again() -> int:
        producer = FakeProducer()
        publisher = Publisher(_fail, lambda *_: None, Even(0.001))
        publisher.start(producer)
        for at in range(20):
            publisher.append("rows", 0, b"k", b"v", Receipt())
            publisher.flush()
            publisher.flush(at_once=at % 2 == 0)
            publisher.flush()
            await asyncio.sleep(0)
        await eventually(lambda: sum(len(batch[2]) for batch in producer.sent) == 20)
        await publisher.stop()
        return publisher.unsent

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert 0 == runner.run(flushed_again())


def test_what_something_waits_for_leaves_before_the_round_that_is_due_later() -> None:
    async def in_turns() -> tuple[float, float]:
        producer = FakeProducer()
        publisher = Publisher(_fail, lambda *_: None, Even(10.0))
        publisher.start(producer)
        loop = asyncio.get_running_loop()
        took_s = []
        for at_once in (*[False] * 5, True):
            publisher.append("rows", 0, b"k", b"v", Receipt())
            publisher.flush()
            publisher.flush(at_once=at_once)
            began_s, sent = loop.time(), len(producer.sent)
            await eventually(lambda sent=sent: len(producer.sent) > sent, 60)  # type: ignore[misc]
            took_s.append(loop.time() - began_s)
        await publisher.stop()
        return took_s[-2], took_s[-1]

    paced_s, at_once_s = run_in_no_time(in_turns(), least_step_s=1e-6)

    assert paced_s > 5
    assert at_once_s < 0.1


def test_whoever_waits_for_everything_does_not_wait_for_the_patient() -> None:
    async def in_turns() -> float:
        producer = FakeProducer()
        publisher = Publisher(_fail, lambda *_: None, Even(0.003), patient=("kept",))
        publisher.start(producer)
        loop = asyncio.get_running_loop()
        publisher.append("kept", 0, b"k", b"1", Receipt())
        publisher.flush()
        await asyncio.sleep(0.01)
        publisher.append("kept", 0, b"k", b"2", Receipt())
        began_s = loop.time()
        draining = asyncio.create_task(publisher.drain())
        await eventually(lambda: len(producer.sent) == 2)
        took_s = loop.time() - began_s
        for at in range(2):
            producer.acknowledge(at, at)
        await draining
        await publisher.stop()
        return took_s

    assert run_in_no_time(in_turns(), least_step_s=1e-6) < 0.05


def _fail(error: BaseException) -> None:
    raise error
