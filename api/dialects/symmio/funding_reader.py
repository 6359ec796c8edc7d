"""What is on record of funding, read by every replica of the api; what records mean is their venue's to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.reader import TopicReader, offsets_since
from streams.kafka.topics import FUNDING, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

KEPT_MS = 3 * 86_400_000
"""Epochs are hours long. Those of three days, of a thousand accounts with ten quotes each, take some 20 MB."""


class FundingRecords:
    """Hands each record to those who listen.

    Attributes:
        is_read: Tells whether all that was on record at the start has been handed out.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[bytes, bytes], None]] = []
        self.is_read: Callable[[], bool] = lambda: True

    def listen(self, on_record: Callable[[bytes, bytes], None]) -> None:
        """Call ``on_record`` in the loop with the key and the value of each record; the newest of a key holds."""
        self._listeners.append(on_record)

    def take(self, key: bytes, value: bytes) -> None:
        """Take a record in."""
        for on_record in self._listeners:
            on_record(key, value)


class FundingReader(TopicReader):
    """Follows the topic, from the records of three days ago on.

    Args:
        settings: Name the broker and the topic.
        records: Is handed what is read.
        clock: Tells when it is.
    """

    # An executor that was fenced leaves records behind that do not count.
    is_committed_only = True

    def __init__(self, settings: Settings, records: FundingRecords, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, FUNDING), clock)
        self._records = records
        records.is_read = lambda: self.is_ready

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin as far back as epochs are kept."""
        return await offsets_since(consumer, end, max(0, self._clock.now_ms() - KEPT_MS))

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for records in fetched.values():
            for record in records:
                if record.value is not None:
                    self._records.take(record.key, record.value)
