"""Records as aiokafka's parser makes them, a batch at a time, without the ``ConsumerRecord`` that aiokafka makes."""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer


K_co = TypeVar("K_co", covariant=True)


class Record(Protocol[K_co]):
    """A record of a topic, without the fields that all records of its partition share; a ``ConsumerRecord`` is one too.

    In a ``Record[bytes]`` there is always a key, as in changelogs; in a ``Record[bytes | None]`` it may be absent.
    """

    @property
    def offset(self) -> int:
        """Its offset in its partition."""

    @property
    def timestamp(self) -> int:
        """When it was made, or appended where its topic is so configured, in Unix ms."""

    @property
    def key(self) -> K_co:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value, None for a tombstone."""


def hand_out_plain_records(consumer: AIOKafkaConsumer) -> None:
    """Let ``getmany`` of a consumer that was started hand out records as they were parsed.

    aiokafka passes each record through two generators and makes a ``ConsumerRecord`` of it, which takes longer than to
    parse and decode a tick.

    Args:
        consumer: The consumer; ``getone`` is not to be used any more.
    """
    fetcher = consumer._fetcher
    receive = fetcher._proc_fetch_request

    async def receive_plain(assignment: Any, node_id: int, request: Any) -> bool:
        has_new_data: bool = await receive(assignment, node_id, request)
        for result in fetcher._records.values():
            if isinstance(result, FetchResult) and "getall" not in vars(result) and _is_whole(result):
                result.getall = PlainRecords(result).take
        return has_new_data

    fetcher._proc_fetch_request = receive_plain


def _is_whole(result: Any) -> bool:
    """Whether nothing was handed out of what was fetched.

    A consumer fetches from the moment on that it knows its partitions, which may be before it is told to hand out plain
    records. Of a batch that aiokafka has begun to hand out, it alone has the rest.
    """
    if not result.has_more():
        return False
    return bool(inspect.getgeneratorstate(result._partition_records._records_iterator) == inspect.GEN_CREATED)


class PlainRecords:
    """Hands out what was fetched of a partition, in place of ``FetchResult.getall``.

    Args:
        result: What was fetched, as aiokafka has it; it is told how far was read.
    """

    def __init__(self, result: Any) -> None:
        # It holds us, and would hold what was fetched until Python looks for cycles.
        self._result = weakref.ref(result)
        # Of a batch that was unpacked and not handed out whole, and where all that was unpacked ends.
        self._left: list[Record[Any]] = []
        self._unpacked_to: int = result._partition_records.next_fetch_offset
        # It holds what was fetched, which holds it: memory would wait for Python's search for cycles.
        result._partition_records._records_iterator = None

    def take(self, most: int | None = None) -> list[Record[Any]]:
        """Take the records that come next; none where the partition is not read any more, or from elsewhere.

        Args:
            most: So many at most; None for all.

        Raises:
            KafkaError: A batch cannot be unpacked. It is fetched anew, and all before it that was not handed out.
        """
        result: Any = self._result()
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            self._end(result)
            return []
        fetched = result._partition_records
        begins, is_unpacked = fetched.next_fetch_offset, False
        try:
            taken = self._unpacked(fetched, most)
            is_over = not self._left and not fetched._records.has_next()
            is_unpacked = True
        finally:
            if not is_unpacked:
                self._left = []
                fetched._records, fetched.next_fetch_offset = MemoryRecords(b""), begins
        result._update_position()
        if is_over:
            self._end(result)
        return taken

    def _end(self, result: Any) -> None:
        """Let go of what was fetched; aiokafka asks nothing of a result that has no more."""
        self._left = []
        result._partition_records = None
        vars(result).pop("getall", None)

    def _unpacked(self, fetched: Any, most: int | None) -> list[Record[Any]]:
        taken = self._left
        if taken:
            fetched.next_fetch_offset = self._unpacked_to
        while (most is None or len(taken) < most) and fetched._records.has_next():
            taken += _next_records(fetched)
        self._left = []
        if most is not None and len(taken) > most:
            self._left, self._unpacked_to = taken[most:], fetched.next_fetch_offset
            taken = taken[:most]
            fetched.next_fetch_offset = taken[-1].offset + 1
        return taken


def _next_records(fetched: Any) -> list[Record[Any]]:
    """Unpack the next batch, as aiokafka's ``PartitionRecords._unpack_records`` does."""
    batch = fetched._records.next_batch()
    if fetched._check_crcs and not batch.validate_crc():
        msg = f"expected batches of {fetched._tp} as they were written, found one whose checksum is another"
        raise CorruptRecordException(msg)
    is_wanted = not batch.is_control_batch
    if fetched._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        fetched._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and _is_abort(batch):
            # Of a topic that is empty otherwise, an abort may be all there is.
            fetched._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in fetched._aborted_producers:
            is_wanted = False
    since = fetched.next_fetch_offset
    # The last records of a batch may be gone from a compacted topic; what is fetched next is what comes behind them.
    fetched.next_fetch_offset = batch.next_offset
    if not is_wanted:
        return []
    records = list(batch)
    if records and records[0].offset < since:
        # A batch is fetched whole, also where it is read from its middle on.
        return [one for one in records if one.offset >= since]
    return records


def _is_abort(marker: Any) -> bool:
    """Whether a control batch ends a transaction that was aborted.

    The cleaner of a compacted topic takes the marker out of its batch, and leaves the batch where nothing else tells
    the epoch of its producer. Nothing of the transaction is left by then; aiokafka itself raises an error for ever.
    """
    record = next(marker, None)
    return record is not None and ControlRecord.parse(record.key) == ABORT_MARKER
