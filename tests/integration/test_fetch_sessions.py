"""Fetch sessions with a real broker: fetches name little, and nothing is missed where a session is lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

from streams.kafka.consumer import start_consumer
from streams.kafka.fetch_sessions import SessionFetch
from streams.kafka.topics import PRICE_TICKS, topic_name
from tests.support.eventually import eventually
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiokafka import AIOKafkaConsumer

    from streams.settings import Settings

Fetches = list[tuple[SessionFetch, Any]]


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> Fetches:
    """Every fetch that was answered, with its answer."""
    found: Fetches = []
    send = AIOKafkaClient.send

    async def send_and_note(client: AIOKafkaClient, node_id: int, request: object, **kwargs: Any) -> Any:  # noqa: ANN401 - as aiokafka says
        answer = await send(client, node_id, request, **kwargs)
        if isinstance(request, SessionFetch):
            found.append((request, answer))
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", send_and_note)
    return found


class Log:
    """A topic of four partitions, written to and read from."""

    def __init__(self, topic: str, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self.partitions = [TopicPartition(topic, number) for number in range(4)]
        self.consumer = consumer
        self._producer = producer
        self._said = 0
        self._read: list[bytes] = []

    async def is_read(self, *numbers: int) -> None:
        """One more record in each of these partitions is handed out, once."""
        for number in numbers:
            self._said += 1
            await self._producer.send_and_wait(self.partitions[0].topic, b"%d" % self._said, partition=number)
        await eventually(self._has_all)
        assert sorted(range(1, self._said + 1)) == sorted(map(int, self._read))

    async def _has_all(self) -> bool:
        for records in (await self.consumer.getmany(timeout_ms=100)).values():
            self._read += [record.value for record in records]
        return len(self._read) >= self._said


@asynccontextmanager
async def _log(settings: Settings) -> AsyncIterator[Log]:
    assert settings.kafka is not None
    await create_all(settings)
    topic = topic_name(settings, PRICE_TICKS)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    consumer = await start_consumer(settings.bootstrap, topic, wait_ms=50, most_records=100)
    try:
        log = Log(topic, producer, consumer)
        await log.is_read(*range(4))
        yield log
    finally:
        await consumer.stop()
        await producer.stop()


async def test_a_fetch_names_the_partition_that_has_moved_and_so_does_its_answer(
    settings: Callable[..., Settings], fetches: Fetches
) -> None:
    async with _log(settings()) as log:
        await eventually(lambda: not fetches[-1][0].topics)
        del fetches[:]
        await log.is_read(3)
        await eventually(lambda: len(fetches) > 2)
        named = [it[0] for fetch, _ in fetches for _, partitions in fetch.topics for it in partitions]
        answered = [it[0] for _, answer in fetches for _, partitions in answer.topics for it in partitions]
    assert [3] == named
    assert {3} == set(answered)


async def test_partitions_that_are_paused_and_resumed_and_sought_back_are_read_from_where_they_stand(
    settings: Callable[..., Settings],
) -> None:
    async with _log(settings()) as log:
        log.consumer.pause(*log.partitions[:2])
        await log.is_read(2, 3)
        log.consumer.resume(*log.partitions[:2])
        await log.is_read(0, 2)
        log.consumer.seek(log.partitions[2], 0)
        again: list[int] = []

        async def is_read_again() -> bool:
            for records in (await log.consumer.getmany(timeout_ms=100)).values():
                again.extend(record.offset for record in records)
            return len(again) >= 3

        await eventually(is_read_again)
        assert [0, 1, 2] == again


async def test_a_session_that_the_broker_has_dropped_is_followed_by_another(
    settings: Callable[..., Settings], fetches: Fetches
) -> None:
    own = settings()
    async with _log(own) as log:
        await eventually(lambda: fetches[-1][1].session_id != 0)
        whole, answer = fetches[-1]
        stranger = AIOKafkaClient(bootstrap_servers=own.kafka)
        await stranger.bootstrap()
        try:
            # Epoch -1 ends a session, whoever says so.
            end = SessionFetch(whole, session=(answer.session_id, -1), changed=[], forgotten=[])
            await stranger.send(stranger.get_random_node(), end)
        finally:
            await stranger.close()
        await log.is_read(1, 2, 3)
        assert any(answer.error_code for _, answer in fetches)
        assert {answer.session_id, 0} < {answer.session_id for _, answer in fetches}


async def test_a_fetch_whose_connection_breaks_is_followed_by_another_session(
    settings: Callable[..., Settings], fetches: Fetches
) -> None:
    async with _log(settings()) as log:
        connections = log.consumer._client._conns.values()
        await eventually(lambda: any(connection._requests for connection in connections))
        before = fetches[-1][1].session_id
        for connection in connections:
            connection.close()
        await log.is_read(*range(4))
        assert fetches[-1][1].session_id not in {before, 0}
