"""Follows ``bookings`` into their file, from where that has got to, and reads out of it what is asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, assert_never

import msgspec
from prometheus_client import Counter

from models.booking_requests import BOOKINGS_PAGE_MAX, CLOSED_PAGE_MAX, BookingsAnswer, ClosedPosition
from models.bookings import CLOSE, LIQUIDATION, OPEN, Booked, Unbooked, decode_booking_record
from models.engine.tables import ACCOUNTS, DEPLOYMENTS
from models.errors import BadRecord
from models.row_keys import expect_key, key_test
from streams.kafka.partitions import partition_of
from streams.kafka.reader import TopicReader
from streams.kafka.topics import bookings_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from models.booking_requests import BookedLine, BookingsRequest
    from models.bookings import Booking
    from streams.history.booking_store import BookingStore
    from streams.history.refusals import Refusals
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_RECORDS = Counter("tidemark_history_bookings_total", "Records of bookings that were read.", ("outcome",))
_kept, _unreadable = (_RECORDS.labels(outcome) for outcome in ("kept", "unreadable"))
_is_account, _is_deployment = key_test(ACCOUNTS), key_test(DEPLOYMENTS)
# A record of the answer has to stay below the broker's bound; a booking takes 0.4 kB, and 1 kB at the very most.
_ANSWER_BYTES_MAX = 700_000


class BookingReader(TopicReader):
    """Writes each record into the store, and in the same transaction how far that is.

    Args:
        settings: Name the broker and the topic.
        store: Takes the bookings.
        refusals: Take the records that cannot be read.
        clock: As for ``TopicReader``.
    """

    def __init__(self, settings: Settings, store: BookingStore, refusals: Refusals, clock: Clock) -> None:
        super().__init__(settings.bootstrap, bookings_name(settings), clock)
        self._store = store
        self._refusals = refusals
        self._partitions = 0

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin behind what is in the store, or at the oldest that there is."""
        self._partitions = len(end)
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
        return begin

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        if not fetched:
            return
        with self._store.transaction():
            for tp, records in fetched.items():
                for record in records:
                    self._take_one(tp.partition, record)
            self._store.put_next({tp.partition: records[-1].offset + 1 for tp, records in fetched.items()})

    def _take_one(self, partition: int, record: Record[bytes]) -> None:
        key = record.key or b""
        try:
            said = decode_booking_record(record.value)
            match said:
                case Booked():
                    expect_key(ACCOUNTS, key)
                    self._store.book(key.decode(), said)
                case Unbooked():
                    expect_key(DEPLOYMENTS, key)
                    self._store.unbook(key.decode(), said)
                case _:
                    assert_never(said)
        except BadRecord as error:
            _unreadable.inc()
            self._refusals.refuse(self.topic, partition, record, error)
            for series in self._doubted(partition, key):
                place = f"{self.topic}:{partition}:{record.offset}"
                self._store.cannot_read(series, record.offset, record.timestamp, place)
        else:
            _kept.inc()

    def _doubted(self, partition: int, key: bytes) -> Iterable[str]:
        """The accounts of which a record that cannot be read says something, as far as its key can be read.

        What left the chain is said of a deployment, in each partition: there it is of the accounts of that one.
        """
        if _is_account(key):
            return (key.decode(),)
        if not _is_deployment(key):
            return ()
        of_deployment = self._store.series_of(key.decode())
        return [one for one in of_deployment if partition_of(one.encode(), self._partitions) == partition]


def answer_bookings(store: BookingStore, request: BookingsRequest) -> BookingsAnswer:
    """Read what a request asks for.

    Args:
        store: The bookings.
        request: What is asked.
    """
    series, span_ms = request.series, (request.from_ms, request.to_ms)
    with store.reading():
        cut_ms = store.cut_ms(series)
        if request.is_closed:
            most = min(request.most, CLOSED_PAGE_MAX)
            ends = store.ends(series, span_ms, request.before, most + 1)
            closed = tuple(closed_position(store, series, end) for end in ends[:most])
            return BookingsAnswer(request.id, len(ends) > most, closed=closed, cut_ms=cut_ms)
        most = min(request.most, BOOKINGS_PAGE_MAX)
        found = store.lines(series, request.names, span_ms, request.before, most + 1)
    lines = _bounded(found[:most])
    return BookingsAnswer(request.id, len(found) > len(lines), bookings=tuple(lines), cut_ms=cut_ms)


def closed_position(store: BookingStore, series: str, end: BookedLine) -> ClosedPosition:
    """What the bookings of a position come to; what is a sum of all is absent where one may be missing.

    Args:
        store: The bookings.
        series: The account.
        end: The one that left nothing open.
    """
    sums, oldest = _Sums(), end
    for line in store.of_position(series, end):
        # A fee is of an order, which may come to no position.
        if line.booking.quantity is not None:
            oldest = line
            sums.add(line.booking)
    # What a position was opened at before says that this booking only added to it.
    is_opening = oldest.booking.name == OPEN and oldest.booking.opened_price is None
    is_whole = is_opening and not store.is_doubted(series, oldest.place, end.place)
    one = end.booking
    closed = ClosedPosition(end.place, one.quote or "", one.name, end.time_ms, one.market, one.side)
    if not is_whole:
        return closed
    return msgspec.structs.replace(
        closed,
        quantity=str(sums.quantity),
        opened_ms=oldest.time_ms,
        opened_price=oldest.booking.price,
        closed_price=str(sums.worth // sums.quantity) if sums.quantity and sums.is_priced else None,
        realised=str(sums.realised) if sums.is_priced else None,
        funding=str(sums.funding),
    )


class _Sums:
    """What bookings of a position come to. ``worth`` is what was closed, times its price."""

    def __init__(self) -> None:
        self.quantity = self.worth = self.realised = self.funding = 0
        self.is_priced = True

    def add(self, one: Booking) -> None:
        """Add a booking."""
        if one.name in {CLOSE, LIQUIDATION} and one.quantity != "0":
            self.quantity += int(one.quantity or 0)
            self.worth += int(one.quantity or 0) * int(one.price or 0)
            self.is_priced = self.is_priced and one.price is not None
        self.realised += int(one.realised or 0)
        self.funding += int(one.funding or 0)


def _bounded(lines: Sequence[BookedLine]) -> Sequence[BookedLine]:
    """The first of the bookings that fit into an answer."""
    size = 0
    for at, line in enumerate(lines):
        size += len(msgspec.json.encode(line))
        if size > _ANSWER_BYTES_MAX:
            return lines[:at]
    return lines
