"""The accounts that were put on a deployment's whitelist; every replica reads them from a compacted topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.reader import TopicReader
from streams.kafka.topics import WHITELIST, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings


class WhitelistReader(TopicReader):
    """The whitelisted accounts.

    Args:
        settings: Name the broker and the topic.
        clock: Tells when the broker last answered.

    Attributes:
        accounts: The keys of the accounts; one is taken off by a record without a value.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, WHITELIST), clock)
        self.accounts: set[bytes] = set()

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for records in fetched.values():
            for record in records:
                if record.value is None:
                    self.accounts.discard(record.key)
                else:
                    self.accounts.add(record.key)
