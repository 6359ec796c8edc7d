"""Telling the workers which accounts are served to anybody, so that they publish those at every flush."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.interest import INTEREST_EVERY_S, INTEREST_TTL_MS, Watch, encode_watch
from streams.kafka.partitions import partition_of
from streams.kafka.topics import INTEREST, BadTopic, check_topics, registry, topic_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A broker is back within seconds; asking more often only fills the log.
_RETRY_S = 1.0
# Everything ends within 5 s of a Ctrl-C; what is not taken back by then expires.
_STOP_WITHIN_S = 1.0
# Well within the time to live, so that a request that is lost leaves time for another.
_REQUEST_TIMEOUT_MS = 3_000
# 1,800 accounts of one partition, some 2 ms of work.
_BATCH_BYTES = 256 * 1024
# Accounts of one partition that were left while the broker was not answering: the rest expires by itself.
_LEFT_MAX = 2_000


class InterestSink(Protocol):
    """Wants to know which accounts are watched; ``InterestSender`` does."""

    def watch(self, account: bytes) -> None:
        """The account, by its key, has one more watcher."""

    def unwatch(self, account: bytes) -> None:
        """The account has one watcher less."""


class InterestOutlet(Protocol):
    """Takes records of the ``interest`` topic; ``kafka_outlet`` makes one."""

    async def send(self, partition: int, records: Sequence[tuple[bytes, bytes]], at_ms: int) -> None:
        """Write keys and values that were said at ``at_ms``, and wait until the broker has them.

        Raises:
            KafkaError: It does not take them.
        """


class _Share:
    """The watched accounts of one partition, and those of which the workers have not been told yet."""

    def __init__(self) -> None:
        self.watched: set[bytes] = set()
        self._new: set[bytes] = set()
        self._left: set[bytes] = set()

    def begin(self, account: bytes) -> None:
        self.watched.add(account)
        if account in self._left:
            # What was said last still holds.
            self._left.discard(account)
        else:
            self._new.add(account)

    def end(self, account: bytes) -> None:
        self.watched.discard(account)
        if account in self._new:
            self._new.discard(account)
        elif len(self._left) < _LEFT_MAX:
            self._left.add(account)

    def take_changes(self) -> tuple[set[bytes], set[bytes]]:
        new, self._new = self._new, set()
        left, self._left = self._left, set()
        return new, left


class InterestSender:
    """Says which accounts are watched here: at once when one begins or ceases to be, and again within 5 s, all of them.

    What is said again is spread over the partitions, one at a time. While the broker cannot be reached nothing is kept
    but the accounts that are watched now; when it is back, all are said anew. Nothing here fails the caller.

    Args:
        partitions: How many partitions the topic has.
        connect: Makes an outlet for as long as it is held.
        clock_ms: Our own time, in Unix ms.
        every_s: How long until all have been said again, in s.
    """

    def __init__(
        self,
        partitions: int,
        connect: Callable[[], AbstractAsyncContextManager[InterestOutlet]],
        clock_ms: Callable[[], int],
        every_s: float = INTEREST_EVERY_S,
    ) -> None:
        self.replica = uuid.uuid4().hex
        self._connect = connect
        self._clock_ms = clock_ms
        self._step_s = every_s / partitions
        self._watchers: dict[bytes, int] = {}
        self._shares = [_Share() for _ in range(partitions)]
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def watch(self, account: bytes) -> None:
        """Count one more watcher of the account; to be paired with ``unwatch``."""
        watchers = self._watchers.get(account, 0)
        self._watchers[account] = watchers + 1
        if not watchers:
            self._share_of(account).begin(account)
            self._changed.set()

    def unwatch(self, account: bytes) -> None:
        """Count one watcher of the account less."""
        self._watchers[account] -= 1
        if not self._watchers[account]:
            del self._watchers[account]
            self._share_of(account).end(account)
            self._changed.set()

    def start(self) -> None:
        """Begin to say; a broker that does not answer is asked again."""
        self._telling = asyncio.create_task(self._tell_for_ever(), name="interest")

    async def stop(self) -> None:
        """Take everything back, as far as that goes within a second, and say no more."""
        if self._telling is None:
            return
        self._stopping.set()
        self._changed.set()
        _, late = await asyncio.wait([self._telling], timeout=_STOP_WITHIN_S)
        for task in late:
            task.cancel()

    async def closed(self) -> None:
        """Wait for the end, which comes by ``stop``, or by an error of our own, and raise that."""
        if self._telling is not None:
            await asyncio.shield(self._telling)

    def _share_of(self, account: bytes) -> _Share:
        return self._shares[partition_of(account, len(self._shares))]

    async def _tell_for_ever(self) -> None:
        while not self._stopping.is_set():
            try:
                async with self._connect() as outlet:
                    await self._tell(outlet)
            except (KafkaError, BadTopic, TimeoutError) as error:
                _log.warning("interest is not told, trying again error=%r", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._stopping.wait()

    async def _tell(self, outlet: InterestOutlet) -> None:
        clock_s = asyncio.get_running_loop().time
        for share in self._shares:
            # What changed while nobody heard is in what is watched now.
            share.take_changes()
        await asyncio.gather(*(self._say(outlet, n, watched=share.watched) for n, share in enumerate(self._shares)))
        due_s = clock_s() + self._step_s
        for partition in cycle(range(len(self._shares))):
            await self._say_changes_until(due_s, outlet)
            if self._stopping.is_set():
                break
            await self._say(outlet, partition, watched=self._shares[partition].watched)
            due_s = max(due_s + self._step_s, clock_s())
        await asyncio.gather(*(self._say(outlet, n, left=share.watched) for n, share in enumerate(self._shares)))

    async def _say_changes_until(self, due_s: float, outlet: InterestOutlet) -> None:
        clock_s = asyncio.get_running_loop().time
        while not self._stopping.is_set() and clock_s() < due_s:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._changed.wait()
            self._changed.clear()
            changes = [(n, *share.take_changes()) for n, share in enumerate(self._shares)]
            await asyncio.gather(
                *(self._say(outlet, n, watched=new, left=left) for n, new, left in changes if new or left)
            )

    async def _say(
        self,
        outlet: InterestOutlet,
        partition: int,
        *,
        watched: Collection[bytes] = (),
        left: Collection[bytes] = (),
    ) -> None:
        if not watched and not left:
            return
        now_ms = self._clock_ms()
        until, no_longer = (encode_watch(Watch(self.replica, ms)) for ms in (now_ms + INTEREST_TTL_MS, 0))
        records = [(account, until) for account in watched] + [(account, no_longer) for account in left]
        await outlet.send(partition, records, now_ms)


class _KafkaOutlet:
    """Writes records in whole batches."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, partition: int, records: Sequence[tuple[bytes, bytes]], at_ms: int) -> None:
        at = 0
        while at < len(records):
            batch = self._producer.create_batch()
            while at < len(records):
                key, value = records[at]
                if batch.append(key=key, value=value, timestamp=at_ms) is None:
                    break
                at += 1
            batch.close()
            await (await self._producer.send_batch(batch, self._topic, partition=partition))


@asynccontextmanager
async def kafka_outlet(settings: Settings) -> AsyncIterator[InterestOutlet]:
    """The ``interest`` topic, open for as long as the block lasts.

    Raises:
        BadTopic: There is no such topic, or it has another number of partitions.
        KafkaError: The broker cannot be reached.
    """
    name = topic_name(settings, INTEREST)
    # A producer makes a missing topic, of any number of partitions, where the cluster makes topics by itself.
    await check_topics(settings.bootstrap, tuple(topic for topic in registry(settings) if topic.name == name))
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        acks=1,
        compression_type="lz4",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
    )
    try:
        await producer.start()
        yield _KafkaOutlet(producer, name)
    finally:
        await producer.stop()
