from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from api.delivery.interest_writer import InterestSender
from models.interest import INTEREST_TTL_MS, Watches, decode_watch
from streams.kafka.partitions import partition_of
from tests.support.eventually import eventually
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PARTITIONS = 4
NOW_MS = 1_745_970_800_000
KEYS = [b"main:0x%040x" % number for number in range(50)]
# Nothing is said again within a test, or nothing within the shortest of waits.
SELDOM_S, OFTEN_S = 1_000.0, 0.02


class FakeBroker:
    """Holds what was written; refuses, or does not answer, while the test says so."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes, bytes]] = []
        self.sent: list[int] = []
        self.connections = 0
        self.refusals = 0
        self.is_down = False
        self.answers = asyncio.Event()
        self.answers.set()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeBroker]:
        if self.is_down:
            self.refusals += 1
            raise KafkaConnectionError
        self.connections += 1
        yield self

    async def send(self, partition: int, records: Sequence[tuple[bytes, bytes]], at_ms: int) -> None:
        assert NOW_MS == at_ms
        await self.answers.wait()
        if self.is_down:
            self.refusals += 1
            raise KafkaTimeoutError
        self.sent.append(len(records))
        self.written += [(partition, key, value) for key, value in records]

    @property
    def watched(self) -> set[bytes]:
        """What a reader of everything that was written knows to be watched."""
        watches = Watches()
        for _, key, value in self.written:
            watches.apply(key, decode_watch(key, value), NOW_MS)
        return set(watches.replicas)


@asynccontextmanager
async def telling(broker: FakeBroker, every_s: float = SELDOM_S) -> AsyncIterator[InterestSender]:
    sender = InterestSender(PARTITIONS, broker.connect, lambda: NOW_MS, every_s)
    sender.start()
    try:
        yield sender
    finally:
        await sender.stop()
        await sender.closed()


async def test_the_first_watch_is_said_at_once_and_the_last_unwatch_takes_it_back() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        for _ in range(3):
            sender.watch(KEYS[0])
        await eventually(lambda: broker.watched == {KEYS[0]})
        sender.unwatch(KEYS[0])
        sender.unwatch(KEYS[0])
        sender.watch(KEYS[1])
        await eventually(lambda: broker.watched == {KEYS[0], KEYS[1]})
        sender.unwatch(KEYS[0])
        await eventually(lambda: broker.watched == {KEYS[1]})

    assert [KEYS[0], KEYS[1], KEYS[0]] == [key for _, key, _ in broker.written[:3]]


async def test_a_word_holds_for_its_time_to_live_and_stands_where_its_account_belongs() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        for key in KEYS:
            sender.watch(key)
        await eventually(lambda: broker.watched == set(KEYS))

        assert {partition_of(key, PARTITIONS) for key in KEYS} == set(range(PARTITIONS))
        for partition, key, value in broker.written:
            watch = decode_watch(key, value)
            assert (sender.replica, NOW_MS + INTEREST_TTL_MS) == (watch.replica, watch.expires_ms)
            assert partition_of(key, PARTITIONS) == partition


async def test_every_replica_has_a_name_of_its_own() -> None:
    broker = FakeBroker()
    first, second = (InterestSender(1, broker.connect, lambda: NOW_MS) for _ in range(2))

    assert first.replica != second.replica


async def test_what_changes_in_one_turn_of_the_loop_goes_out_together_and_what_came_to_nothing_not_at_all() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        await eventually(lambda: broker.connections == 1)
        for key in KEYS:
            sender.watch(key)
        for key in KEYS[10:]:
            sender.unwatch(key)
        await eventually(lambda: broker.watched == set(KEYS[:10]))
        assert 10 == len(broker.written)
        assert len(broker.sent) <= PARTITIONS

        sender.unwatch(KEYS[0])
        sender.watch(KEYS[0])
        sender.watch(KEYS[10])
        await eventually(lambda: KEYS[10] in broker.watched)

        assert 11 == len(broker.written)


async def test_all_that_is_watched_is_said_again_and_again_a_partition_at_a_time() -> None:
    broker = FakeBroker()
    async with telling(broker, OFTEN_S) as sender:
        for key in KEYS:
            sender.watch(key)

        await eventually(lambda: all([key for _, key, _ in broker.written].count(key) >= 4 for key in KEYS))
        first = broker.written[len(KEYS) :][: len(KEYS)]

    assert set(KEYS) == {key for _, key, _ in first}
    assert [0, 1, 2, 3] == list(dict.fromkeys(partition for partition, _, _ in first))


async def test_what_was_said_while_the_broker_was_gone_is_said_anew_when_it_is_back() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        sender.watch(KEYS[0])
        sender.watch(KEYS[1])
        await eventually(lambda: broker.watched == {KEYS[0], KEYS[1]})
        broker.is_down = True
        sender.unwatch(KEYS[0])
        sender.watch(KEYS[2])
        broker.written.clear()
        await eventually(lambda: broker.refusals > 0)
        broker.is_down = False

        await eventually(lambda: broker.watched == {KEYS[1], KEYS[2]})
        assert broker.connections == 2


async def test_a_broker_that_is_not_there_yet_is_asked_until_it_is() -> None:
    broker = FakeBroker()
    broker.is_down = True
    async with telling(broker) as sender:
        sender.watch(KEYS[0])
        await eventually(lambda: broker.refusals > 0)
        broker.is_down = False

        await eventually(lambda: broker.watched == {KEYS[0]})


async def test_nothing_but_what_is_watched_is_kept_for_a_broker_that_does_not_answer() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        await eventually(lambda: broker.connections == 1)
        broker.answers.clear()
        sender.watch(KEYS[0])
        for number in range(100_000):
            sender.watch(b"main:%d" % number)
            sender.unwatch(b"main:%d" % number)
        kept = sum(len(share.watched) + len(share._new) + len(share._left) for share in sender._shares)
        broker.answers.set()

    assert kept <= 3


async def test_accounts_left_while_the_broker_does_not_answer_are_kept_up_to_a_limit_and_then_expire() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        keys = [b"main:%d" % number for number in range(20_000)]
        for key in keys:
            sender.watch(key)
        await eventually(lambda: broker.watched == set(keys))
        broker.answers.clear()
        for key in keys:
            sender.unwatch(key)

        assert PARTITIONS * 2_000 == sum(len(share._left) for share in sender._shares)
        broker.answers.set()
        await eventually(lambda: len(broker.watched) == len(keys) - PARTITIONS * 2_000)
        sender.watch(keys[-1])
        await eventually(lambda: broker.written[-1][1] == keys[-1])


async def test_stopping_takes_everything_back() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        for key in KEYS:
            sender.watch(key)
        await eventually(lambda: broker.watched == set(KEYS))

    assert set() == broker.watched
    assert 2 * len(KEYS) == len(broker.written)


async def test_a_socket_may_close_after_the_end() -> None:
    broker = FakeBroker()
    async with telling(broker) as sender:
        sender.watch(KEYS[0])
        await eventually(lambda: broker.watched == {KEYS[0]})
    sender.unwatch(KEYS[0])

    assert set() == broker.watched


def test_a_broker_that_does_not_answer_holds_the_end_up_for_a_second_at_most() -> None:
    async def held_up_s() -> float:
        broker = FakeBroker()
        sender = InterestSender(PARTITIONS, broker.connect, lambda: NOW_MS)
        sender.start()
        await eventually(lambda: broker.connections == 1)
        broker.answers.clear()
        sender.watch(KEYS[0])
        clock_s = asyncio.get_running_loop().time
        began_s = clock_s()
        await sender.stop()
        return clock_s() - began_s

    assert 0 < run_in_no_time(held_up_s()) <= 1.0
