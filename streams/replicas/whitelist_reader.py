"""Accounts that somebody put on a deployment's whitelist: a compacted topic, read by every replica."""

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
    """The accounts, by key; one that is taken off, by a record without a value, is gone at once.

    Args:
        settings: Name the broker and the topic.
        clock: As for ``TopicReader``.
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
