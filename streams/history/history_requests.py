"""Answers who asks for history: the api asks on a topic, and the file stays with the process that writes it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING, NamedTuple, assert_never

import msgspec
from prometheus_client import Counter

from models.booking_requests import BookingsRequest
from models.errors import BadRecord
from models.history import DAY_S, HOUR_S, KEPT_S, coarser
from models.history_records import (
    HISTORY_WAITED_FOR_S,
    PAGE_MAX,
    HistoryAnswer,
    HistoryRequest,
    bar_texts,
    decode_request,
    encode_answer,
)
from streams.history.booking_reader import answer_bookings
from streams.kafka.reader import TopicReader, offsets_since
from streams.kafka.topics import HISTORY_ANSWERS, HISTORY_REQUESTS, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    from models.history_records import Answer, Request
    from streams.history.bar_store import BarStore
    from streams.history.booking_store import BookingStore
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_REQUESTS = Counter("tidemark_history_requests_total", "Requests for history, by what became of them.", ("outcome",))
# A page of a thousand bars takes some 5 ms.
_WAITING_MAX = 500
# What reading can raise for what is asked, or for what stands where it asks: a bound, a step, a row, a file.
_OF_ONE_REQUEST = (ArithmeticError, LookupError, ValueError, msgspec.DecodeError, sqlite3.Error)


class HistoryRequests(TopicReader):
    """The requests that wait for an answer, in their order.

    Args:
        settings: Name the broker and the topic.
        clock: Tells which requests of before the start still wait for an answer.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, HISTORY_REQUESTS), clock)
        self._waiting: asyncio.Queue[tuple[float, Request]] = asyncio.Queue(_WAITING_MAX)

    async def next(self) -> Request:
        """The request that waits for longest, of those whose asker still does."""
        while True:
            since_s, request = await self._waiting.get()
            if self._clock.monotonic_s() - since_s < HISTORY_WAITED_FOR_S:
                return request
            _REQUESTS.labels("given_up").inc()

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin with the requests that somebody may still wait for."""
        since_ms = max(0, self._clock.now_ms() - int(HISTORY_WAITED_FOR_S * 1_000))
        return await offsets_since(consumer, end, since_ms)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                try:
                    self._waiting.put_nowait((self._clock.monotonic_s(), decode_request(record.value)))
                except BadRecord as error:
                    _REQUESTS.labels("unreadable").inc()
                    _log.warning(
                        "history request refused partition=%d offset=%d error=%s", tp.partition, record.offset, error
                    )
                except asyncio.QueueFull:
                    _REQUESTS.labels("no_room").inc()


class Kept(NamedTuple):
    """What requests are answered out of: the bars, the bookings, and who reads these."""

    bars: BarStore
    bookings: BookingStore
    booking_reader: TopicReader

    async def answer(self, request: Request, now_s: int) -> Answer | None:
        """Answer a request; None where that cannot be said yet, so that another of these processes may.

        Args:
            request: What is asked.
            now_s: The time now, Unix s, by which is known what is kept no longer.
        """
        match request:
            case HistoryRequest():
                return answer_of(self.bars, request, now_s)
            case BookingsRequest():
                # What is still being read would look as if it never was.
                if not self.booking_reader.is_ready:
                    return None
                # All bookings of an account take some 0.5 s, in which others are read and written.
                return await asyncio.to_thread(answer_bookings, self.bookings, request)
            case _:
                assert_never(request)


async def answer_requests(
    requests: HistoryRequests, settings: Settings, kept: Kept, producer: AIOKafkaProducer, clock: Clock
) -> None:
    """Answer requests on ``history-answers``, until cancelled.

    Args:
        requests: Started.
        settings: Name the topic.
        kept: What they are answered out of.
        producer: Started.
        clock: Tells what is kept no longer.

    Raises:
        KafkaError: The broker did not take an answer.
    """
    topic = topic_name(settings, HISTORY_ANSWERS)
    while True:
        request = await requests.next()
        try:
            answer = await kept.answer(request, clock.now_ms() // 1_000)
        except _OF_ONE_REQUEST as error:
            # All of these processes read it, and again after a start: were it to end one, it would end them all.
            _REQUESTS.labels("failed").inc()
            _log.warning("history request could not be answered request=%r error=%r", request, error)
            continue
        if answer is None:
            _REQUESTS.labels("not_ready").inc()
            continue
        await producer.send_and_wait(topic, encode_answer(answer), key=request.id.encode())
        _REQUESTS.labels("answered").inc()


def answer_of(store: BarStore, request: HistoryRequest, now_s: int) -> HistoryAnswer:
    """Read the bars that a request asks for.

    Args:
        store: The bars.
        request: What is asked.
        now_s: The time now, Unix s.
    """
    # Days are made of hours as they are asked for.
    kept_step_s = HOUR_S if request.step_s == DAY_S else request.step_s
    parts = request.step_s // kept_step_s
    most = min(request.most, PAGE_MAX)
    kept_s = KEPT_S[kept_step_s]
    began_s = store.began_s
    held_s = began_s if began_s is None or kept_s is None else max(began_s, now_s - kept_s)
    from_s = request.from_s // request.step_s * request.step_s
    found = store.bars(request.series, kept_step_s, (from_s, request.to_s), most * parts + 1)
    bars = list(coarser(found, request.step_s))
    # What was shown last may be so long ago that only a longer bar of it is left.
    older = (
        store.last_before(request.series, step_s, from_s - step_s + 1) for step_s in KEPT_S if step_s >= kept_step_s
    )
    before = next((bar for bar in older if bar is not None), None)
    return HistoryAnswer(
        request.id,
        [bar_texts(bar) for bar in bars[:most]],
        None if before is None else bar_texts(before),
        has_more=len(bars) > most or len(found) > most * parts,
        held_from_s=held_s,
    )
