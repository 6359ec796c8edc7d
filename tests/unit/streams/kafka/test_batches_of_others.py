from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka.batches_of_others import BatchesOfOthers

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS, THEIRS = 7, 8
_SNAPPY = 2


def fetched(producers: Sequence[int], at: int = 0) -> PartitionRecords:
    """What is fetched from offset ``at`` on of a partition that has a batch of two records of each of the producers."""
    batches = b""
    for number, producer_id in enumerate(producers):
        builder = DefaultRecordBatchBuilder(2, _SNAPPY, 0, producer_id, 0, 0, 10_000)
        for offset in (0, 1):
            assert builder.append(offset, 1, b"k", b"%d" % (2 * number + offset), [])
        # A broker sets the offset of a batch's first record, which no checksum covers.
        batches += (2 * number).to_bytes(8, "big") + bytes(builder.build())[8:]
    return PartitionRecords(
        TopicPartition("t", 0), MemoryRecords(batches), [], at, None, None, True, READ_UNCOMMITTED  # noqa: FBT003
    )  # fmt: skip


@pytest.mark.parametrize(
    ("producers", "at", "expected"),
    [
        ([OURS, OURS], 0, []),
        ([THEIRS, OURS, THEIRS], 0, [0, 1, 4, 5]),
        ([OURS, THEIRS, OURS, OURS], 0, [2, 3]),
        ([OURS, THEIRS], 3, [3]),
        ([-1, OURS], 0, [0, 1]),
    ],
)
def test_records_of_others_alone_are_handed_out_and_all_offsets_are_passed(
    producers: list[int], at: int, expected: list[int]
) -> None:
    records = fetched(producers, at)
    records._records = BatchesOfOthers(records, OURS)

    assert expected == [record.offset for record in records]
    assert 2 * len(producers) == records.next_fetch_offset


def test_there_is_no_batch_behind_the_last_one() -> None:
    batches = BatchesOfOthers(fetched([OURS]), OURS)

    assert batches.next_batch() is None
