"""What processes say of what they keep fresh, read by every replica of the api."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRecord
from models.heartbeats import decode_beat
from streams.kafka.reader import TopicReader
from streams.kafka.topics import HEARTBEATS, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import TopicPartition

    from models.heartbeats import Beat
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A process that writes what cannot be read writes it once a second.
_LOG_EVERY_MS = 60_000


class Heard(NamedTuple):
    """The newest heartbeat of a part, and when it came here, in Unix ms."""

    beat: Beat
    heard_ms: int


class Heartbeats:
    """The newest heartbeat of every part that ever beat, by key."""

    def __init__(self) -> None:
        self._newest: dict[str, Heard] = {}

    @property
    def newest(self) -> Mapping[str, Heard]:
        """By the part's key, as ``models.heartbeats`` makes it."""
        return self._newest

    def take(self, name: str, beat: Beat, heard_ms: int) -> None:
        """Take a heartbeat in.

        One that is older than what was heard before is passed over: a process that slept says late what it was about to
        say, when another one has long taken over.

        Args:
            name: The part's key.
            beat: What is said.
            heard_ms: The instant, in Unix ms.
        """
        before = self._newest.get(name)
        if before is None or beat.at_ms >= before.beat.at_ms or before.beat.at_ms > heard_ms:
            self._newest[name] = Heard(beat, heard_ms)


class HeartbeatReader(TopicReader):
    """Follows the topic.

    Args:
        settings: Name the broker and the topic.
        heartbeats: Are told what is read.
        clock: Tells when it is.
    """

    def __init__(self, settings: Settings, heartbeats: Heartbeats, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, HEARTBEATS), clock)
        self._heartbeats = heartbeats
        self._logged_ms = 0

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        now_ms = self._clock.now_ms()
        for tp, records in fetched.items():
            for record in records:
                try:
                    name, beat = decode_beat(record.key, record.value)
                except BadRecord as error:
                    if now_ms - self._logged_ms >= _LOG_EVERY_MS:
                        self._logged_ms = now_ms
                        _log.warning(
                            "heartbeat refused partition=%d offset=%d error=%s", tp.partition, record.offset, error
                        )
                else:
                    self._heartbeats.take(name, beat, now_ms)
