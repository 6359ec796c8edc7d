from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.batches_of_others import BatchesOfOthers
from streams.kafka.record import PlainRecords, hand_out_plain_records

if TYPE_CHECKING:
    from collections.abc import Sequence

TP = TopicPartition("t", 0)
OURS = 7
_SNAPPY = 2
_ATTRIBUTES_AT, _CRC_AT, _CONTROL = 21, 17, 0x20
_LENGTH_AT, _COUNT_AT, _HEAD_BYTES = 8, 57, 61
_ABORT, _COMMIT = b"\0\0\0\0", b"\0\0\0\1"


class Batch:
    """A batch of ``count`` offsets of which some are left, as a broker hands it out."""

    def __init__(
        self, count: int, left: Sequence[int], producer: int, *, transactional: bool, marker: bytes | None
    ) -> None:
        self.count, self.left, self.producer = count, sorted({*left, count - 1}), producer
        self.is_transactional = transactional or marker is not None
        self.marker = marker

    def encoded(self, base: int) -> bytes:
        codec = _SNAPPY if self.marker is None else 0
        builder = DefaultRecordBatchBuilder(2, codec, int(self.is_transactional), self.producer, 0, 0, 10_000)
        for number in self.left:
            key = b"k" if self.marker is None else self.marker
            assert builder.append(number, base + number, key, b"%d" % (base + number), [("h", b"1")])
        batch = bytearray(builder.build())
        batch[:8] = base.to_bytes(8, "big")
        if self.marker is not None:
            batch[_ATTRIBUTES_AT + 1] |= _CONTROL
            batch[_CRC_AT : _CRC_AT + 4] = calc_crc32c(bytes(batch[_ATTRIBUTES_AT:])).to_bytes(4, "big")
        return bytes(batch)


class Reading:
    """A partition that a consumer is at ``at`` of, with what was fetched for it."""

    def __init__(self, batches: bytes, at: int, level: int = READ_UNCOMMITTED, aborted: Sequence[Any] = ()) -> None:
        self.state = SimpleNamespace(paused=False, position=at, consumed_to=self._consumed_to)
        assignment = SimpleNamespace(active=True, state_value=lambda _: self.state)
        self.fetched = PartitionRecords(TP, MemoryRecords(batches), aborted, at, None, None, True, level)  # noqa: FBT003
        self.result = FetchResult(TP, assignment=assignment, partition_records=self.fetched, backoff=0)

    def _consumed_to(self, position: int) -> None:
        self.state.position = position


Told = tuple[list[tuple[int, int, bytes | None, bytes | None, tuple[Any, ...]]], int, bool]


def told(reading: Reading, records: Sequence[Any]) -> Told:
    """What a consumer knows after a take: the records, its position, and whether there is more."""
    found = [(one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) for one in records]
    return found, reading.state.position, reading.result.has_more()


@st.composite
def partitions(draw: st.DrawFn) -> tuple[bytes, list[Any], int]:
    """Batches as a broker may hand them out, the transactions in them that were aborted, and where they end."""
    encoded, base = b"", 0
    aborted: list[Any] = []
    for _ in range(draw(st.integers(1, 6))):
        producer = draw(st.integers(6, 8))
        count = draw(st.integers(1, 5))
        marker = draw(st.sampled_from([None, None, None, _ABORT, _COMMIT]))
        is_transactional = draw(st.booleans())
        left = [0] if marker is not None else draw(st.lists(st.integers(0, count - 1), max_size=count))
        batch = Batch(1 if marker else count, left, producer, transactional=is_transactional, marker=marker)
        if is_transactional and marker is None and draw(st.booleans()):
            aborted.append((producer, base))
        encoded += batch.encoded(base)
        base += batch.count + draw(st.integers(0, 2))
    return encoded, aborted, base


@pytest.mark.parametrize("of_others", [False, True])
@given(partition=partitions(), data=st.data(), level=st.sampled_from([READ_UNCOMMITTED, READ_COMMITTED]))
def test_a_consumer_is_handed_what_aiokafka_hands_out_and_stands_where_it_would(
    partition: tuple[bytes, list[Any], int], data: st.DataObject, level: int, *, of_others: bool
) -> None:
    encoded, aborted, end = partition
    at = data.draw(st.integers(0, end - 1))
    theirs, ours = Reading(encoded, at, level, aborted), Reading(encoded, at, level, aborted)
    if of_others:
        for reading in (theirs, ours):
            reading.fetched._records = BatchesOfOthers(reading.fetched, OURS)
    plain = PlainRecords(ours.result)
    all_theirs, all_ours = list[Any](), list[Any]()
    while theirs.result.has_more():
        all_theirs += told(theirs, theirs.result.getall(data.draw(st.integers(1, 7))))[0]
    while ours.result.has_more():
        found, position, _ = told(ours, plain.take(data.draw(st.sampled_from([None, 1, 2, 3, 7]))))
        assert all(offset < position for offset, *_ in found)
        all_ours += found

    assert (all_theirs, theirs.state.position) == (all_ours, ours.state.position)


def batches(*counts: int) -> list[bytes]:
    encoded, base = [], 0
    for count in counts:
        encoded.append(Batch(count, range(count), -1, transactional=False, marker=None).encoded(base))
        base += count
    return encoded


def test_so_many_are_handed_out_as_are_asked_for_and_the_position_is_behind_the_last() -> None:
    reading = Reading(b"".join(batches(4, 3)), 1)
    plain = PlainRecords(reading.result)

    assert ([1, 2], 3, True) == seen(reading, plain.take(2))
    assert ([3, 4], 5, True) == seen(reading, plain.take(2))
    assert ([5, 6], 7, False) == seen(reading, plain.take())


def seen(reading: Reading, records: Sequence[Any]) -> tuple[list[int], int, bool]:
    return [one.offset for one in records], reading.state.position, reading.result.has_more()


def test_records_that_wait_are_dropped_where_the_consumer_was_sought_elsewhere() -> None:
    reading = Reading(b"".join(batches(4)), 0)
    plain = PlainRecords(reading.result)
    plain.take(1)
    reading.state.position = 3

    assert ([], 3, False) == seen(reading, plain.take())


@pytest.mark.parametrize("taken", [0, 1])
def test_behind_a_corrupt_batch_nothing_is_handed_out_and_all_that_was_not_is_fetched_anew(taken: int) -> None:
    first, corrupt, last = batches(2, 2, 2)
    reading = Reading(first + corrupt[:-1] + bytes([corrupt[-1] ^ 1]) + last, 0)
    plain = PlainRecords(reading.result)
    plain.take(taken)

    with pytest.raises(CorruptRecordException):
        plain.take()
    assert ([], taken, False) == seen(reading, plain.take())


def received(result: FetchResult) -> SimpleNamespace:
    """A fetcher that had fetched ``result`` before it was told to hand out plain records, and received nothing more."""

    async def receive(assignment: object, node_id: int, request: object) -> bool:
        return bool(assignment or node_id or request)

    fetcher = SimpleNamespace(_proc_fetch_request=receive, _records={TP: result})
    hand_out_plain_records(SimpleNamespace(_fetcher=fetcher))
    asyncio.run(fetcher._proc_fetch_request(None, 0, None))
    return fetcher


def test_the_rest_of_a_batch_that_was_begun_before_is_handed_out_too() -> None:
    reading = Reading(b"".join(batches(4, 3)), 0)

    assert ([0], 1, True) == seen(reading, reading.result.getall(1))
    received(reading.result)
    assert ([1, 2, 3, 4, 5, 6], 7, False) == seen(reading, reading.result.getall())


def test_a_transactions_end_that_the_cleaner_has_emptied_is_passed_over() -> None:
    emptied = bytearray(Batch(1, [0], OURS, transactional=True, marker=_ABORT).encoded(0)[:_HEAD_BYTES])
    emptied[_LENGTH_AT : _LENGTH_AT + 4] = (_HEAD_BYTES - _LENGTH_AT - 4).to_bytes(4, "big")
    emptied[_COUNT_AT : _COUNT_AT + 4] = bytes(4)
    emptied[_CRC_AT : _CRC_AT + 4] = calc_crc32c(bytes(emptied[_ATTRIBUTES_AT:])).to_bytes(4, "big")
    last = Batch(2, [0, 1], OURS, transactional=True, marker=None).encoded(1)
    reading = Reading(bytes(emptied) + last, 0, READ_COMMITTED)

    assert ([1, 2], 3, False) == seen(reading, PlainRecords(reading.result).take())


@pytest.mark.parametrize("of_others", [False, True])
@pytest.mark.parametrize("is_handed_out", [False, True])
def test_what_was_fetched_is_freed_once_it_was_handed_out_or_dropped_without_a_search_for_cycles(
    *, of_others: bool, is_handed_out: bool
) -> None:
    reading = Reading(b"".join(batches(4, 3)), 0)
    fetcher = received(reading.result)
    if of_others:
        reading.fetched._records = BatchesOfOthers(reading.fetched, OURS)
    held = [weakref.ref(reading.fetched), weakref.ref(reading.result)]
    del reading.fetched, reading.result
    gc.disable()
    try:
        assert 4 == len(fetcher._records[TP].getall(4))
        if is_handed_out:
            assert 3 == len(fetcher._records[TP].getall(4))
            assert not fetcher._records[TP].has_more()
        del fetcher._records[TP]
        assert [None, None] == [one() for one in held]
    finally:
        gc.enable()
