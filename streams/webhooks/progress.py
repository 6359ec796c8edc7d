"""What a receiver took, kept in the topic ``webhook-progress``: the ordinal of the last transition of each account."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import msgspec

from models.body_reader import NOT_DECODED
from streams.kafka.reader import TopicReader
from streams.kafka.topics import WEBHOOK_PROGRESS, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import TopicPartition

    from streams.kafka.record import Record
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.settings import Settings


_log = logging.getLogger(__name__)


class _Progress(msgspec.Struct):
    taken: Annotated[int, msgspec.Meta(ge=0)]


_decode = msgspec.json.Decoder(_Progress).decode


class KeptProgress(TopicReader):
    """Reads what was kept of one webhook and one epoch, and keeps more.

    Args:
        settings: Name the broker, the topic and the epoch.
        name: The webhook.
        sink: Takes records.
        clock: Tells when the broker last answered.
    """

    def __init__(self, settings: Settings, name: str, sink: RecordSink, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, WEBHOOK_PROGRESS), clock)
        self._begun = f"{name}:{settings.epoch}".encode()
        self._prefix = self._begun + b":"
        self._sink = sink
        self._taken: dict[bytes, int] = {}
        self.has_begun = False

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for records in fetched.values():
            for record in records:
                if record.key == self._begun:
                    self.has_begun = True
                elif record.key.startswith(self._prefix) and record.value is not None:
                    self._take_one(record)

    def _take_one(self, record: Record[bytes]) -> None:
        try:
            taken = _decode(record.value or b"").taken
        except NOT_DECODED as error:
            # What it said was taken is sent once more, which receivers know by its id.
            _log.warning("progress refused key=%r offset=%d error=%s", record.key, record.offset, error)
            return
        self._note(record.key.removeprefix(self._prefix), taken)

    def of(self, key: bytes) -> int:
        """Return the ordinal of the last transition of an account that was taken, 0 where none was."""
        return self._taken.get(key, 0)

    async def advance(self, key: bytes, ordinal: int) -> None:
        """Put on record that a transition was taken, and all before it.

        Args:
            key: The account.
            ordinal: The transition's.

        Raises:
            NotWritten: The broker did not take it.
        """
        await self._sink.send(WEBHOOK_PROGRESS, self._prefix + key, json.dumps({"taken": ordinal}).encode())
        self._note(key, ordinal)

    async def begin(self, counts: Mapping[bytes, int]) -> None:
        """Begin with what comes from now on: what stands already is passed over.

        Args:
            counts: How many transitions of each account there are.

        Raises:
            NotWritten: The broker did not take it.
        """
        for key, count in counts.items():
            await self.advance(key, count)
        # Last, so that a start that was cut short is begun anew.
        await self._sink.send(WEBHOOK_PROGRESS, self._begun, b"{}")
        self.has_begun = True

    def _note(self, key: bytes, ordinal: int) -> None:
        # What a process wrote that slept never lowers what was taken.
        self._taken[key] = max(ordinal, self.of(key))
