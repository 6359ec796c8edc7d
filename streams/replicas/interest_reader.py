"""The accounts that the api's replicas serve to somebody; every worker reads them from the ``interest`` topic."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from models.errors import BadRecord
from models.interest import INTEREST_TTL_MS, Watches, decode_watch
from streams.kafka.reader import TopicReader, offsets_since
from streams.kafka.topics import INTEREST, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_ACCOUNTS = Gauge("tidemark_interest_accounts", "Accounts that are watched at any replica of the api.")
_REFUSED = Counter("tidemark_interest_refused_records_total", "Records of interest without effect.", ("cause",))
_UNREADABLE = _REFUSED.labels("unreadable")
_NO_ROOM = _REFUSED.labels("no_room")

# A watch lasts fifteen seconds, and its end is noticed within one more.
_EXPIRE_EVERY_MS = 1_000
# A replica that writes records that cannot be read writes many of them.
_LOG_EVERY_MS = 60_000


class Interest(TopicReader):
    """The accounts that are watched, in all partitions.

    Interest is a hint: a record that cannot be read, or for which there is no room, is counted, and its account is only
    published later. Watches expire by our clock and are dated by that of the api's host: the two should not differ by
    more than seconds.

    Args:
        settings: Name the topic and the broker.
        clock: Tells which watches have expired.
        on_watched: Called in the loop with the keys of accounts that have begun to be watched, also at the start.
        on_unwatched: Called in the loop with the keys of accounts that nobody watches any more.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        on_watched: Callable[[Collection[bytes]], None],
        on_unwatched: Callable[[Collection[bytes]], None],
    ) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, INTEREST), clock)
        self._on_watched = on_watched
        self._on_unwatched = on_unwatched
        self._watches = Watches()
        self._expired_ms = 0
        self._logged_ms = 0

    def watched(self) -> Collection[bytes]:
        """Return the keys of the accounts that are watched now; the collection changes with them."""
        return self._watches.replicas.keys()

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin with the watches that may not have expired yet."""
        since_ms = max(0, self._clock.now_ms() - INTEREST_TTL_MS)
        return await offsets_since(consumer, end, since_ms)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        now_ms = self._clock.now_ms()
        for tp, records in fetched.items():
            for record in records:
                self._apply(tp, record, now_ms)
        if now_ms - self._expired_ms >= _EXPIRE_EVERY_MS:
            self._watches.expire(now_ms)
            self._expired_ms = now_ms
        begun, ended = self._watches.take_changes()
        _ACCOUNTS.set(len(self._watches.replicas))
        if begun:
            self._on_watched(begun)
        if ended:
            self._on_unwatched(ended)

    def _apply(self, tp: TopicPartition, record: Record[bytes], now_ms: int) -> None:
        try:
            watch = decode_watch(record.key, record.value)
        except BadRecord as error:
            _UNREADABLE.inc()
            if now_ms - self._logged_ms >= _LOG_EVERY_MS:
                self._logged_ms = now_ms
                _log.warning(
                    "interest record refused topic=%s partition=%d offset=%d error=%s",
                    *tp,
                    record.offset,
                    error,
                )
            return
        if not self._watches.apply(record.key, watch, now_ms):
            _NO_ROOM.inc()
