"""Follows ``served`` into bars, from where the file of the bars has got to."""

from __future__ import annotations

import logging
from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.errors import BadRow
from streams.kafka.reader import TopicReader
from streams.kafka.topics import served_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.history.keeper import Keeper
    from streams.history.refusals import Refusals
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_ROWS = Counter("tidemark_history_rows_total", "Rows that were shown and went into history.", ("outcome",))
_kept, _unreadable = (_ROWS.labels(outcome) for outcome in ("kept", "unreadable"))
# Bars are a second old at the most, and a thousand of them are written in some 10 ms.
_COMMIT_EVERY_S = 1.0
_WAIT_MS = 250


class ServedReader(TopicReader):
    """Hands records to a keeper, those of all partitions in the order of time, and has it commit once a second.

    Totals are sums over partitions: of one that is read behind the others, an old part would stand beside their new
    ones, and bars would have sums that never were shown.

    Args:
        settings: Name the broker and the topic.
        keeper: Makes the bars.
        refusals: Take the rows that cannot be read.
        clock: Tells when to commit, and which rows were made after now.
    """

    def __init__(self, settings: Settings, keeper: Keeper, refusals: Refusals, clock: Clock) -> None:
        super().__init__(settings.bootstrap, served_name(settings), clock, wait_ms=_WAIT_MS)
        self._keeper = keeper
        self._refusals = refusals
        self._committed_s = clock.monotonic_s()
        self._at_hand: dict[TopicPartition, deque[Record[bytes]]] = {}
        self._next: dict[TopicPartition, int] = {}
        self._until: dict[TopicPartition, int] = {}

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin behind what is in the store, or at the oldest that there is."""
        oldest = await consumer.beginning_offsets(list(end))
        begin = {}
        for tp in end:
            begin[tp] = self._keeper.next_offset(tp.partition)
            if not oldest[tp] <= begin[tp] <= end[tp]:
                _log.warning(
                    "history has a gap partition=%d expected_offset=%d found_oldest=%d", *tp[1:], begin[tp], oldest[tp]
                )
                begin[tp] = oldest[tp]
                self._keeper.restart(tp.partition, oldest[tp])
            self._at_hand[tp] = deque()
        self._next, self._until = dict(begin), dict(end)
        return begin

    @property
    def wanted(self) -> Sequence[TopicPartition]:
        """The partitions whose records are to be taken in next; none for all."""
        # Where some wait for others, these alone are asked for, so that what waits is bounded.
        return [tp for tp, waiting in self._at_hand.items() if not waiting] if any(self._at_hand.values()) else ()

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            self._at_hand[tp].extend(records)
            self._next[tp] = records[-1].offset + 1
        # Where nothing came, nobody is waited for any longer.
        self._fold(is_all=not fetched)
        now_s = self._clock.monotonic_s()
        if now_s >= self._committed_s + _COMMIT_EVERY_S:
            self._keeper.commit(self._clock.now_ms() // 1_000)
            self._committed_s = now_s

    def _fold(self, *, is_all: bool) -> None:
        """Fold what is at hand, up to where a partition has more that is not."""
        if not is_all and any(not waiting and self._is_behind(tp) for tp, waiting in self._at_hand.items()):
            return
        heads = [(waiting[0].timestamp, tp) for tp, waiting in self._at_hand.items() if waiting]
        heapify(heads)
        while heads:
            _, tp = heappop(heads)
            waiting = self._at_hand[tp]
            self._fold_one(tp, waiting.popleft())
            if waiting:
                heappush(heads, (waiting[0].timestamp, tp))
            elif not is_all and self._is_behind(tp):
                return

    def _is_behind(self, tp: TopicPartition) -> bool:
        return self._next[tp] < max(self._until[tp], self._ends.get(tp, 0))

    def _fold_one(self, tp: TopicPartition, record: Record[bytes]) -> None:
        if record.value is None:
            return
        try:
            self._keeper.take(
                tp.partition, record.offset, record.timestamp, record.key or b"", record.value,
                now_ms=self._clock.now_ms(),
            )  # fmt: skip
        except BadRow as error:
            # The record stays where it is; the bar of its span is without it.
            _unreadable.inc()
            self._refusals.refuse(self.topic, tp.partition, record, error)
        else:
            _kept.inc()
