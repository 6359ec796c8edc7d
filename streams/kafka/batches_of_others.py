"""Batches of others alone, for who reads back what it has written: its own it need not unpack to know them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from aiokafka.consumer.fetcher import FetchResult

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka import AIOKafkaConsumer, TopicPartition


def read_batches_of_others(
    consumer: AIOKafkaConsumer, own_id: int, partitions: Collection[TopicPartition] | None = None
) -> None:
    """Let a consumer that was started pass over the batches of one producer.

    To unpack a row of 2 kB takes as long as to encode it, and the head of its batch says already who wrote it.

    Args:
        consumer: The consumer.
        own_id: The id of the producer, as its batches have it; no other producer of the cluster ever has the same. What
            it wrote under terms that are over must not matter to who reads: a worker's has no such rows on their way
            when it owns the partition anew (``SliceConsumer.wait_empty``).
        partitions: Where its batches are passed over, by default everywhere; of others all are handed out.
    """
    fetcher = consumer._fetcher
    receive = fetcher._proc_fetch_request

    async def receive_of_others(assignment: Any, node_id: int, request: Any) -> bool:
        has_new_data: bool = await receive(assignment, node_id, request)
        for tp, result in fetcher._records.items():
            fetched = result._partition_records if isinstance(result, FetchResult) else None
            # What came with an earlier answer and is not read yet is in our hands already.
            if fetched is None or isinstance(fetched._records, BatchesOfOthers):
                continue
            if partitions is None or tp in partitions:
                fetched._records = BatchesOfOthers(fetched, own_id)
        return has_new_data

    fetcher._proc_fetch_request = receive_of_others


class BatchesOfOthers:
    """The batches of what was fetched of one partition, without those of one producer.

    Args:
        fetched: What was fetched, as aiokafka has it; it is told how far was read.
        own_id: The id of the producer.
    """

    def __init__(self, fetched: Any, own_id: int) -> None:
        # It holds us, and would stay until Python looks for cycles.
        self._fetched = weakref.ref(fetched)
        self._batches = fetched._records
        self._own_id = own_id
        self._next: Any = None

    def has_next(self) -> bool:
        """Whether there is one more of another."""
        while self._next is None and self._batches.has_next():
            batch = self._batches.next_batch()
            if batch.producer_id != self._own_id:
                self._next = batch
            elif (fetched := self._fetched()) is not None:
                fetched.next_fetch_offset = max(fetched.next_fetch_offset, batch.next_offset)
        return self._next is not None

    def next_batch(self) -> Any:
        """The next one, None where there is none."""
        batch, self._next = (self._next, None) if self.has_next() else (None, None)
        return batch
