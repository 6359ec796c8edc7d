"""The way of rows and outputs to the broker, in batches; each is charged to what waits for its acknowledgement."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Protocol

from models.errors import TidemarkError
from streams.kafka.topics import MAX_RECORD_BYTES
from streams.process.cadence import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from streams.process.cadence import Pacing

# Kafka's record header, batch header and varints around key and value take under 100 bytes.
_RECORD_OVERHEAD_BYTES = 100
# So many records are worth a request of their own.
_MANY = 500
# What nobody waits for leaves in batches of a hundred rows and more, which take the worker 3 µs a row instead of 60.
_PATIENT_LINGER_S = 0.1


class RecordTooLarge(TidemarkError):
    """A row or output is over the broker's limit.

    It is refused before the store is written, and nothing is committed.
    """


class Charge(Protocol):
    """What records are charged to: it is not complete before all of them are acknowledged."""

    def opened(self) -> None:
        """Count one more record."""

    def acked(self, count: int) -> None:
        """Count ``count`` records as acknowledged."""


class Receipt:
    """A charge whose records can be waited for."""

    def __init__(self) -> None:
        self._pending = 0
        self._settled = asyncio.Event()
        self._settled.set()

    def opened(self) -> None:
        """Count one more record."""
        self._pending += 1
        self._settled.clear()

    def acked(self, count: int) -> None:
        """Count ``count`` records as acknowledged."""
        self._pending -= count
        if not self._pending:
            self._settled.set()

    async def acknowledged(self) -> None:
        """Wait until every record that is charged so far is acknowledged."""
        await self._settled.wait()


def check_size(topic: str, key: bytes, value: bytes) -> None:
    """Refuse a record that the broker would refuse.

    Args:
        topic: The topic's full name, for the message.
        key: The record's key.
        value: The record's value.

    Raises:
        RecordTooLarge: It is over ``MAX_RECORD_BYTES``.
    """
    size = len(key) + len(value) + _RECORD_OVERHEAD_BYTES
    if size > MAX_RECORD_BYTES:
        msg = f"expected a record of {topic} of at most {MAX_RECORD_BYTES} bytes, found {size} for key {key!r}"
        raise RecordTooLarge(msg)


class Publisher:
    """Collects records per topic and partition and sends whole batches, in order within a partition.

    Each partition has a task of its own while it has something to send, so a partition whose last batch is still on its
    way does not delay the others.

    Args:
        fatal: Ends the process without a commit; called where the broker did not take a record.
        on_acked: Called with each acknowledged batch: topic, partition, keys and values, offset of the first record.
        pacing: Says how far apart requests are.
        patient: Full names of topics whose records nobody waits for.
    """

    def __init__(
        self,
        fatal: Callable[[BaseException], None],
        on_acked: Callable[[str, int, list[tuple[bytes, bytes]], int], None],
        pacing: Pacing,
        patient: Collection[str] = (),
    ) -> None:
        self._fatal = fatal
        self._on_acked = on_acked
        self._groups: dict[tuple[str, int], list[tuple[bytes, bytes, Charge]]] = {}
        self._unacked = 0
        self._unsent = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer: AIOKafkaProducer | None = None
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._leaving: asyncio.TimerHandle | None = None
        self._leaves_s = 0.0
        self._rounds = Rounds(pacing)
        self._patient = frozenset(patient)
        self._patient_due_s = 0.0
        self._late: asyncio.TimerHandle | None = None

    def start(self, producer: AIOKafkaProducer) -> None:
        """Send through ``producer``, which is started, acks=all and idempotent."""
        self._producer = producer

    @property
    def producer_id(self) -> int:
        """The id that the broker knows the producer by, and that its batches have; it has been started."""
        manager = None if self._producer is None else self._producer._txn_manager
        if manager is None or not manager.has_pid():
            msg = "expected an idempotent producer that was started, found one that has no id"
            raise AssertionError(msg)
        return int(manager.producer_id)

    @property
    def unsent(self) -> int:
        """How many records were appended and not sent yet, without those that nobody waits for."""
        return self._unsent

    @property
    def unacked(self) -> int:
        """How many records were appended and not acknowledged yet."""
        return self._unacked

    def append(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        """Add a record; it leaves with the next ``flush``.

        Args:
            topic: The topic's full name.
            partition: The partition that the key belongs to.
            key: The record's key.
            value: The record's value.
            charge: What is not complete before the record is acknowledged.

        Raises:
            RecordTooLarge: The broker would refuse it.
        """
        check_size(topic, key, value)
        charge.opened()
        self._groups.setdefault((topic, partition), []).append((key, value, charge))
        self._unacked += 1
        self._unsent += topic not in self._patient
        self._idle.clear()

    def flush(self, *, at_once: bool = False) -> None:
        """Send what was appended in the next round; what nobody waits for, not sooner than ``_PATIENT_LINGER_S``.

        Args:
            at_once: Whether something cannot go on before it is acknowledged, so that it waits for no round.
        """
        if self._producer is None:
            return
        # Whoever has much to send is behind, and a request is a small part of what that costs.
        due_s = self._rounds.soonest_s if at_once or self._unsent >= _MANY else self._rounds.due_s()
        if self._leaving is not None:
            if self._leaves_s <= due_s:
                return
            self._leaving.cancel()
        # uvloop's handles do not say when they are due.
        self._leaves_s = due_s
        self._leaving = asyncio.get_running_loop().call_at(due_s, self._leave, self._producer)

    def _leave(self, producer: AIOKafkaProducer) -> None:
        loop = asyncio.get_running_loop()
        self._leaving, now_s, is_round = None, loop.time(), False
        are_all_due = now_s >= self._patient_due_s
        if are_all_due:
            self._patient_due_s = now_s + _PATIENT_LINGER_S
        for where in list(self._groups):
            if where not in self._sending and (are_all_due or where[0] not in self._patient):
                self._sending[where] = asyncio.create_task(self._send_all(producer, where))
                is_round = True
            elif where[0] in self._patient and self._late is None:
                self._late = loop.call_at(self._patient_due_s, self._flush_late)
        if is_round:
            self._rounds.began(now_s)

    def _flush_late(self) -> None:
        self._late = None
        self.flush()

    async def drain(self) -> None:
        """Send, and wait until every record is acknowledged."""
        self._patient_due_s = 0.0
        self.flush(at_once=True)
        await self._idle.wait()

    async def stop(self) -> None:
        """Send nothing more."""
        self._producer = None
        for timer in (self._leaving, self._late):
            if timer is not None:
                timer.cancel()
        sending = list(self._sending.values())
        for task in sending:
            task.cancel()
        if sending:
            await asyncio.wait(sending)

    async def _send_all(self, producer: AIOKafkaProducer, where: tuple[str, int]) -> None:
        try:
            while group := self._groups.pop(where, None):
                if where[0] in self._patient:
                    await self._send(producer, *where, group)
                    break
                self._unsent -= len(group)
                await self._send(producer, *where, group)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)
            raise
        finally:
            del self._sending[where]

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, partition: int, group: list[tuple[bytes, bytes, Charge]]
    ) -> None:
        at = 0
        while at < len(group):
            batch = producer.create_batch()
            first = at
            while at < len(group) and batch.append(key=group[at][0], value=group[at][1], timestamp=None) is not None:
                at += 1
            if at == first:
                msg = f"expected a record of {topic} to fit an empty batch, found {len(group[at][1])} bytes"
                raise RecordTooLarge(msg)
            batch.close()
            sent = await producer.send_batch(batch, topic, partition=partition)
            sent.add_done_callback(partial(self._acknowledge, group[first:at]))

    def _acknowledge(self, records: list[tuple[bytes, bytes, Charge]], sent: asyncio.Future[RecordMetadata]) -> None:
        error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        if error is not None:
            self._fatal(error)
            return
        written = sent.result()
        rows = [(key, value) for key, value, _ in records]
        try:
            self._on_acked(written.topic, written.partition, rows, written.offset)
            for charge, count in Counter(charge for _, _, charge in records).items():
                charge.acked(count)
        except BaseException as fault:
            # The loop only logs what a callback raises, and whoever waits for these records would wait for ever.
            self._fatal(fault)
            raise
        self._unacked -= len(records)
        if not self._unacked:
            self._idle.set()
