"""Interest over a real broker: what replicas of the api say, and what a worker hears of it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import KafkaConnectionError

from api.delivery.interest_writer import InterestSender, kafka_outlet
from models.interest import INTEREST_TTL_MS
from streams.kafka.shared_consumer import TopicMissing
from streams.kafka.topics import BadTopic
from streams.process.clock import SystemClock
from streams.replicas.interest_reader import Interest
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from streams.settings import Settings

BOTH, FIRST, SECOND = b"main:0xbb", b"main:0x11", b"main:0x22"
OFTEN_S = 0.2


class Clock(SystemClock):
    """The wall clock, and what a test puts it forward by."""

    def __init__(self) -> None:
        self.forward_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.forward_ms


class Heard:
    """What a worker is told, in order."""

    def __init__(self) -> None:
        self.watched: list[bytes] = []
        self.unwatched: list[bytes] = []

    def on_watched(self, keys: Collection[bytes]) -> None:
        self.watched += sorted(keys)

    def on_unwatched(self, keys: Collection[bytes]) -> None:
        self.unwatched += sorted(keys)


@asynccontextmanager
async def replica(
    settings: Settings, clock: Clock, *accounts: bytes, every_s: float = OFTEN_S
) -> AsyncIterator[InterestSender]:
    """A replica of the api that serves accounts to somebody."""
    sender = InterestSender(settings.topics.partitions, partial(kafka_outlet, settings), clock.now_ms, every_s)
    sender.start()
    for account in accounts:
        sender.watch(account)
    try:
        yield sender
    finally:
        await sender.stop()
        with suppress(asyncio.CancelledError):
            await sender.closed()


async def kill(sender: InterestSender) -> None:
    """End a replica before it can take anything back."""
    assert sender._telling is not None
    sender._telling.cancel()
    await asyncio.wait([sender._telling])


@asynccontextmanager
async def reader(settings: Settings, clock: Clock, heard: Heard | None = None) -> AsyncIterator[Interest]:
    """A worker's side, as it is after an assignment: read to the end."""
    heard = heard or Heard()
    interest = Interest(settings, clock, heard.on_watched, heard.on_unwatched)
    await interest.start()
    try:
        await interest.wait_ready()
        yield interest
    finally:
        await interest.stop()


async def test_interest_appears_survives_one_replicas_goodbye_and_goes_with_the_last(
    settings: Callable[..., Settings],
) -> None:
    own, clock, heard = settings(), Clock(), Heard()
    await create_all(own)
    async with reader(own, clock, heard) as interest:
        async with replica(own, clock, BOTH, FIRST):
            async with replica(own, clock, BOTH, SECOND):
                await eventually(lambda: set(interest.watched()) == {BOTH, FIRST, SECOND})
            await eventually(lambda: set(interest.watched()) == {BOTH, FIRST})
        await eventually(lambda: set(interest.watched()) == set())

    assert sorted([BOTH, FIRST, SECOND]) == sorted(heard.watched)
    assert SECOND == heard.unwatched[0]
    assert sorted([BOTH, FIRST]) == sorted(heard.unwatched[1:])


async def test_what_a_killed_replica_watched_is_forgotten_when_its_word_no_longer_holds(
    settings: Callable[..., Settings],
) -> None:
    own, clock = settings(), Clock()
    await create_all(own)
    async with (
        reader(own, clock) as interest,
        replica(own, clock, BOTH, FIRST) as killed,
        replica(own, clock, BOTH, SECOND),
    ):
        await eventually(lambda: set(interest.watched()) == {BOTH, FIRST, SECOND})
        await kill(killed)
        clock.forward_ms += INTEREST_TTL_MS

        await eventually(lambda: set(interest.watched()) == {BOTH, SECOND})


async def test_a_reader_that_starts_later_knows_what_is_watched_and_not_what_has_expired(
    settings: Callable[..., Settings],
) -> None:
    own, clock = settings(), Clock()
    await create_all(own)
    async with replica(own, clock, FIRST) as first:
        async with reader(own, clock) as interest:
            await eventually(lambda: set(interest.watched()) == {FIRST})
        await kill(first)
    clock.forward_ms += INTEREST_TTL_MS
    async with replica(own, clock, SECOND, every_s=1_000), reader(own, clock) as interest:
        await eventually(lambda: set(interest.watched()) == {SECOND})
        heard = Heard()
        async with reader(own, clock, heard) as later:
            assert {SECOND} == set(later.watched())

        assert [SECOND] == heard.watched
        clock.forward_ms += INTEREST_TTL_MS + 1_000
        async with reader(own, clock) as latest:
            assert set() == set(latest.watched())
            assert {} == latest._positions


async def test_interest_comes_back_with_the_broker(tmp_path: Path) -> None:
    broker = new_broker(tmp_path)
    try:
        own, clock = settings_of_a_test(broker.start(), tmp_path), Clock()
        await create_all(own)
        async with reader(own, clock) as interest, replica(own, clock, FIRST, BOTH) as sender:
            await eventually(lambda: set(interest.watched()) == {FIRST, BOTH})
            await asyncio.to_thread(broker.stop)
            sender.unwatch(BOTH)
            sender.watch(SECOND)
            clock.forward_ms += INTEREST_TTL_MS
            await eventually(lambda: set(interest.watched()) == set())
            await asyncio.to_thread(broker.start)

            await eventually(lambda: set(interest.watched()) == {FIRST, SECOND}, 30)
    finally:
        broker.stop()


async def test_a_missing_topic_or_broker_is_said_at_once_and_leaves_nothing_open(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    unreachable = own.model_copy(update={"kafka": "127.0.0.1:1"})
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for place, error in ((own, BadTopic), (unreachable, KafkaConnectionError)):
            with pytest.raises(error):
                async with kafka_outlet(place):
                    pass
        for place, error in ((own, TopicMissing), (unreachable, KafkaConnectionError)):
            with pytest.raises(error):
                async with reader(place, Clock()):
                    pass
        gc.collect()

    assert [] == [str(warning.message) for warning in warned]
    assert before == asyncio.all_tasks()
