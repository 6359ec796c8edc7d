"""Whose sub-accounts are, as ingest has answered: a compacted topic, read by every replica of the api."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.owners import decode_owner
from streams.kafka.reader import TopicReader
from streams.kafka.topics import OWNERS, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiokafka import TopicPartition

    from models.owners import SubAccountOwner
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)


class OwnerAnswers:
    """The newest answer for every account that was asked for and has an owner."""

    def __init__(self) -> None:
        self._known: dict[bytes, SubAccountOwner] = {}
        self._listeners: list[Callable[[bytes], None]] = []

    @property
    def known(self) -> Mapping[bytes, SubAccountOwner]:
        """Owners by the account's key."""
        return self._known

    def listen(self, on_answer: Callable[[bytes], None]) -> None:
        """Call ``on_answer`` in the loop with the key of each account that is answered for, after ``known`` says so."""
        self._listeners.append(on_answer)

    def take(self, key: bytes, owner: SubAccountOwner | None) -> None:
        """Take an answer in; None says that no MultiAccount made the account."""
        if owner is None:
            self._known.pop(key, None)
        else:
            self._known[key] = owner
        for on_answer in self._listeners:
            on_answer(key)


class OwnersReader(TopicReader):
    """Follows the topic.

    Args:
        settings: Name the broker and the topic.
        answers: Are told what is read.
        clock: As for ``TopicReader``.
    """

    def __init__(self, settings: Settings, answers: OwnerAnswers, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, OWNERS), clock)
        self._answers = answers

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                try:
                    owner = None if record.value is None else decode_owner(record.key, record.value)
                except BadRecord as error:
                    _log.warning("owner refused partition=%d offset=%d error=%s", tp.partition, record.offset, error)
                else:
                    self._answers.take(record.key, owner)
