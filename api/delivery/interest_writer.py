"""Tells the workers which accounts are served to somebody, so that they write those at every flush."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from aiokafka.errors import KafkaError

from models.interest import INTEREST_EVERY_S, INTEREST_TTL_MS, Watch, encode_watch
from streams.kafka.partitions import partition_of
from streams.kafka.producer import start_producer
from streams.kafka.topics import INTEREST, BadTopic, require_topic, topic_name
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A broker is back within seconds; trying more often would only fill the log.
_RETRY_S = 1.0
# Everything ends within 5 s of a Ctrl-C; what is not taken back within this time expires by itself.
_STOP_WITHIN_S = 1.0
# It is well within the time to live, so that after a lost request there is time for another one.
_GIVEN_UP_AFTER_MS = 3_000
# It holds 1,800 accounts of one partition, which take some 2 ms to encode.
_BATCH_BYTES = 256 * 1024
# How many accounts that nobody watches any more are remembered for one partition while the broker does not
# answer; what is beyond that expires by itself.
_LEFT_MAX = 2_000


class InterestSink(Protocol):
    """Hears which accounts are watched; ``InterestSender`` is one."""

    def watch(self, account: bytes) -> None:
        """Count one more watcher of the account, given by its key."""

    def unwatch(self, account: bytes) -> None:
        """Count one watcher less of the account."""


class InterestOutlet(Protocol):
    """Writes records to the ``interest`` topic; ``kafka_outlet`` makes one."""

    async def send(self, partition: int, records: Sequence[tuple[bytes, bytes]], at_ms: int) -> None:
        """Write keys and values, and wait until the broker has them.

        Args:
            partition: Where they are written.
            records: Keys, each an account's, and values.
            at_ms: When they were said, in Unix ms.

        Raises:
            KafkaError: The broker does not take them.
        """


class _Share:
    """The watched accounts of one partition, and the changes among them that are not written yet."""

    def __init__(self) -> None:
        self.watched: set[bytes] = set()
        self._new: set[bytes] = set()
        self._left: set[bytes] = set()

    def begin(self, account: bytes) -> None:
        self.watched.add(account)
        if account in self._left:
            # The last record of it says that it is watched, and that is true again.
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
    """Writes which accounts are watched here: each at once when that begins or ends, and all of them again within 5 s.

    The repetition goes through the partitions one by one. While the broker cannot be reached, only the accounts that
    are watched now are remembered, and all of them are written when it is back. No method raises for want of a broker.

    Args:
        partitions: How many partitions the topic has.
        connect: Makes an outlet for as long as it is held.
        clock_ms: Our own time, in Unix ms.
        every_s: Within which time all accounts are written again, in s.
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
        """Count one more watcher of the account; ``unwatch`` must be called as often."""
        watchers = self._watchers.get(account, 0)
        self._watchers[account] = watchers + 1
        if not watchers:
            self._share_of(account).begin(account)
            self._changed.set()

    def unwatch(self, account: bytes) -> None:
        """Count one watcher less of the account."""
        self._watchers[account] -= 1
        if not self._watchers[account]:
            del self._watchers[account]
            self._share_of(account).end(account)
            self._changed.set()

    def start(self) -> None:
        """Begin to write; a broker that does not answer is tried again."""
        self._telling = asyncio.create_task(self._tell_for_ever(), name="interest")

    async def stop(self) -> None:
        """Write that nothing is watched here any more, as far as that takes less than a second, and end."""
        if self._telling is None:
            return
        self._stopping.set()
        self._changed.set()
        _, late = await asyncio.wait([self._telling], timeout=_STOP_WITHIN_S)
        for task in late:
            task.cancel()

    async def closed(self) -> None:
        """Wait until ``stop`` has ended the writing, or raise the error of ours that did."""
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
            # All watched accounts are written next, so the changes until now need not be.
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
    await require_topic(settings, INTEREST)
    producer = await start_producer(
        settings.bootstrap, compression="lz4", batch_bytes=_BATCH_BYTES, given_up_after_ms=_GIVEN_UP_AFTER_MS
    )
    try:
        yield _KafkaOutlet(producer, topic_name(settings, INTEREST))
    finally:
        await waited_out(producer.stop())
