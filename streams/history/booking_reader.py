"""Follows ``bookings`` into their file, from where that has got to, and reads out of it what is asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from models.booking_requests import BOOKINGS_PAGE_MAX, CLOSED_PAGE_MAX, BookingsAnswer, ClosedPosition
from models.bookings import CLOSE, LIQUIDATION, OPEN, Booked, Unbooked, decode_booking_record, ends_position
from models.errors import BadRecord
from streams.kafka.reader import TopicReader
from streams.kafka.topics import bookings_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from models.booking_requests import BookedLine, BookingsRequest
    from streams.history.booking_store import BookingStore
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_RECORDS = Counter("tidemark_history_bookings_total", "Records of bookings that were read.", ("outcome",))
_kept, _unreadable = (_RECORDS.labels(outcome) for outcome in ("kept", "unreadable"))
_WAIT_MS = 250
# A record of the answer has to stay below the broker's bound; a booking takes 0.4 kB, and 1 kB at the very most.
_ANSWER_BYTES_MAX = 700_000


class BookingReader(TopicReader):
    """Writes each record into the store, and in the same transaction how far that is.

    Args:
        settings: Name the broker and the topic.
        store: Takes the bookings.
        clock: As for ``TopicReader``.
    """

    def __init__(self, settings: Settings, store: BookingStore, clock: Clock) -> None:
        super().__init__(settings.bootstrap, bookings_name(settings), clock, wait_ms=_WAIT_MS)
        self._store = store

    async def _seek(self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        known = self._store.next_offsets()
        oldest = await consumer.beginning_offsets(list(end))
        begin = {}
        for tp in end:
            begin[tp] = known.get(tp.partition, 0)
            if not oldest[tp] <= begin[tp] <= end[tp]:
                _log.warning(
                    "bookings have a gap partition=%d expected_offset=%d found_oldest=%d",
                    *tp[1:],
                    begin[tp],
                    oldest[tp],
                )
                begin[tp] = oldest[tp]
            consumer.seek(tp, begin[tp])
        return begin

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        if not fetched:
            return
        with self._store.transaction():
            for records in fetched.values():
                for record in records:
                    self._take_one(record)
            self._store.put_next({tp.partition: records[-1].offset + 1 for tp, records in fetched.items()})

    def _take_one(self, record: Record[bytes]) -> None:
        key = (record.key or b"").decode(errors="replace")
        try:
            said = decode_booking_record(record.value)
        except BadRecord as error:
            _unreadable.inc()
            _log.warning("bookings refused key=%s offset=%d error=%s", key, record.offset, error)
            return
        match said:
            case Booked():
                self._store.book(key, said)
            case Unbooked():
                self._store.unbook(key, said)
        _kept.inc()


def answer_bookings(store: BookingStore, request: BookingsRequest) -> BookingsAnswer:
    """Read what a request asks for.

    Args:
        store: The bookings.
        request: What is asked.
    """
    span_ms, cut_ms = (request.from_ms, request.to_ms), store.cut_ms(request.series)
    if request.is_closed:
        most = min(request.most, CLOSED_PAGE_MAX)
        ends = store.ends(request.series, span_ms, request.before, most + 1)
        closed = tuple(
            closed_position(store.of_quote(request.series, end.booking.quote or ""), end) for end in ends[:most]
        )
        return BookingsAnswer(request.id, len(ends) > most, closed=closed, cut_ms=cut_ms)
    most = min(request.most, BOOKINGS_PAGE_MAX)
    found = store.lines(request.series, request.names, span_ms, request.before, most + 1)
    lines = _bounded(found[:most])
    return BookingsAnswer(request.id, len(found) > len(lines), bookings=tuple(lines), cut_ms=cut_ms)


def closed_position(lines: Iterable[BookedLine], end: BookedLine) -> ClosedPosition:
    """What the bookings of a position come to.

    Args:
        lines: All of them that are held, oldest first.
        end: The one that left nothing open.
    """
    of_all: list[BookedLine] = []
    for line in lines:
        if line.place > end.place:
            break
        # At some venues the next position in a market has the id of the one before.
        if of_all and ends_position(of_all[-1].booking):
            of_all = []
        of_all.append(line)
    bookings = [line.booking for line in of_all]
    opening = next((line for line in of_all if line.booking.name == OPEN), None)
    parts = [
        (int(one.quantity or 0), one.price) for one in bookings if one.name in {CLOSE, LIQUIDATION} and one.quantity
    ]
    quantity = sum(amount for amount, _ in parts)
    prices_known = all(price is not None for _, price in parts)
    worth = sum(amount * int(price or 0) for amount, price in parts)
    return ClosedPosition(
        end.place,
        end.booking.quote or "",
        end.booking.name,
        end.time_ms,
        end.booking.market,
        end.booking.side,
        quantity=str(quantity),
        opened_ms=None if opening is None else opening.time_ms,
        opened_price=None if opening is None else opening.booking.price,
        closed_price=str(worth // quantity) if quantity and prices_known else None,
        realised=_sum(one.realised for one in bookings) if opening is not None and prices_known else None,
        funding=None if opening is None else _sum(one.funding for one in bookings),
    )


def _sum(amounts: Iterable[str | None]) -> str:
    return str(sum(int(amount) for amount in amounts if amount is not None))


def _bounded(lines: Sequence[BookedLine]) -> Sequence[BookedLine]:
    """The first of the bookings that fit into an answer."""
    size = 0
    for at, line in enumerate(lines):
        size += len(msgspec.json.encode(line))
        if size > _ANSWER_BYTES_MAX:
            return lines[:at]
    return lines
