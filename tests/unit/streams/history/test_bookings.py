"""What records of bookings come to in their file, in whatever order and however often they come."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.booking_requests import CLOSED_PAGE_MAX, FIRST_PLACE, BookingsRequest
from models.bookings import (
    CHECKPOINT,
    CLOSE,
    FEE,
    GAP,
    OPEN,
    Booked,
    Booking,
    BookingRecord,
    Unbooked,
    decode_booking_record,
    encode_booked,
)
from streams.history.bar_store import BadStore
from streams.history.booking_reader import answer_bookings
from streams.history.booking_store import BookingStore
from tests.support.bookings import charged, closed, e18, fee, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from models.booking_requests import BookingsAnswer, ClosedPosition

ALICE, BOB = "main:0xa", "main:0xb"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BookingStore]:
    store = BookingStore(tmp_path / "bookings.sqlite", 1, most=20)
    yield store
    store.close()


def take(store: BookingStore, *records: tuple[str, BookingRecord]) -> None:
    with store.transaction():
        for series, record in records:
            if isinstance(record, Booked):
                store.book(series, record)
            else:
                store.unbook(series, record)


def asked(store: BookingStore, series: str = ALICE, *names: str, most: int = 100, **changes: object) -> BookingsAnswer:
    fields = {"from_ms": 0, "to_ms": 2**62, "before": FIRST_PLACE, "is_closed": False, **changes}
    return answer_bookings(store, BookingsRequest("1", series, names, most=most, **fields))  # type: ignore[arg-type]


def break_off(store: BookingStore) -> None:
    """End in the middle of a transaction."""
    with store.transaction():
        store.book(ALICE, fee(at_ms=2_000, block=2))
        store.put_next({0: 6})
        raise RecursionError


def of_all(one: ClosedPosition) -> list[object]:
    return [one.opened_ms, one.opened_price, one.quantity, one.closed_price, one.realised, one.funding]


def blocks(store: BookingStore, series: str = ALICE) -> list[int]:
    return [line.block for line in asked(store, series).bookings]


def test_bookings_are_told_newest_first_page_by_page_by_name_and_by_time(store: BookingStore) -> None:
    take(store, *((ALICE, fee(at_ms=block * 1_000, block=block)) for block in range(1, 6)))
    take(store, (ALICE, opened(at_ms=6_000, block=6)), (BOB, fee(at_ms=9_000, block=9)))
    first = asked(store, most=4)
    second = asked(store, most=4, before=first.bookings[-1].place)

    assert ([6, 5, 4, 3], True) == ([line.block for line in first.bookings], first.has_more)
    assert ([2, 1], False) == ([line.block for line in second.bookings], second.has_more)
    assert [6] == [line.block for line in asked(store, ALICE, OPEN).bookings]
    assert [5, 4] == [line.block for line in asked(store, ALICE, FEE, from_ms=4_000, to_ms=6_000).bookings]
    assert [] == blocks(store, "main:0xc")


@pytest.mark.parametrize("seed", range(20))
def test_what_left_the_chain_is_not_told_in_whatever_order_and_however_often_records_come(
    store: BookingStore, seed: int
) -> None:
    # Two blocks 3 and two blocks 4: the first ones left the chain at offset 13.
    told: list[tuple[str, BookingRecord]] = [
        (series, Booked((offset, 0), block, block * 1_000, fee(at_ms=0, block=0).bookings))
        for series in (ALICE, BOB)
        for offset, block in ((10, 2), (11, 3), (12, 4), (14, 3), (15, 4))
    ]
    told += [("main", Unbooked((13, -1), 2))] * 2
    chance = random.Random(seed)
    records = [*told, *chance.sample(told, 6)]
    chance.shuffle(records)
    for record in records:
        take(store, record)

    for series in (ALICE, BOB):
        assert [15, 14, 10] == [line.place[0] for line in asked(store, series).bookings]
    take(store, ("other", Unbooked((99, -1), 0)))
    assert [4, 3, 2] == blocks(store)


def test_an_account_has_so_many_bookings_and_until_when_there_are_none_is_told(store: BookingStore) -> None:
    take(store, *((ALICE, fee(at_ms=block * 1_000, block=block)) for block in range(1, 40)))
    assert asked(store).cut_ms is None
    take(store, *((ALICE, fee(at_ms=block * 1_000, block=block)) for block in range(40, 60)))

    found = asked(store)
    assert 20 <= len(found.bookings) <= 40
    assert found.cut_ms == (59 - len(found.bookings)) * 1_000
    assert asked(store, BOB).cut_ms is None


def test_an_account_that_had_something_before_its_first_booking_tells_from_when_on_it_is_booked(
    store: BookingStore,
) -> None:
    take(store, (ALICE, charged(at_ms=2_000, block=2)), (BOB, opened(at_ms=1_000, block=1)))
    take(store, (ALICE, opened(8, at_ms=3_000, block=3)), (BOB, charged(at_ms=2_000, block=2)))

    assert (1_999, None) == (asked(store).cut_ms, asked(store, BOB).cut_ms)


def test_a_closed_position_is_what_all_its_bookings_come_to(store: BookingStore) -> None:
    take(
        store,
        (ALICE, opened(at_ms=1_000, block=1)),
        (ALICE, charged(at_ms=2_000, block=2)),
        (ALICE, closed(at_ms=3_000, block=3, amount=4, left=6, price=106)),
    )
    assert () == asked(store, is_closed=True).closed
    take(store, (ALICE, closed(at_ms=4_000, block=4, amount=6, price=111)), (ALICE, opened(8, at_ms=5_000, block=5)))
    (found,) = asked(store, is_closed=True).closed

    assert (7, "close", "long", 1) == (found.quote, found.ended, found.side, found.market)
    assert (1_000, 4_000) == (found.opened_ms, found.closed_ms)
    assert (e18(10), e18(100), e18(109)) == (found.quantity, found.opened_price, found.closed_price)
    assert (e18(4 * 5 + 6 * 10), e18(-10)) == (found.realised, found.funding)


def test_of_a_position_whose_opening_is_not_held_nothing_is_said_that_would_be_a_part(store: BookingStore) -> None:
    take(store, (ALICE, closed(at_ms=4_000, block=4)))
    (found,) = asked(store, is_closed=True).closed

    assert ("close", 7, 4_000) == (found.ended, found.quote, found.closed_ms)
    assert [None] * 6 == of_all(found)


@pytest.mark.parametrize("doubt", [GAP, CHECKPOINT])
def test_of_a_position_whose_account_was_not_known_meanwhile_no_sum_is_said(store: BookingStore, doubt: str) -> None:
    take(store, (ALICE, Booked((1, 0), 1, 1_000, (Booking(doubt, "before it"),))))
    take(store, (ALICE, opened(at_ms=2_000, block=2)))
    take(store, (BOB, Booked((3, 0), 3, 3_000, (Booking(doubt, "of another"),))))
    take(store, (ALICE, closed(at_ms=5_000, block=5)))
    take(store, (ALICE, Booked((6, 0), 6, 6_000, (Booking(doubt, "after it"),))))
    (known,) = asked(store, is_closed=True).closed
    take(store, (ALICE, Booked((4, 0), 4, 4_000, (Booking(doubt, "meanwhile"),))))
    (found,) = asked(store, is_closed=True).closed

    assert [2_000, e18(100), e18(10), e18(111), e18(100), "0"] == of_all(known)
    assert [None] * 6 == of_all(found)


def test_what_only_adds_to_a_position_is_no_opening_of_it(store: BookingStore) -> None:
    added, end = (
        Booking(name, "trade", "seq 5", "tX", "tX", "long", quantity="2", left=left, opened_price="100")
        for name, left in ((OPEN, "12"), (CLOSE, "0"))
    )
    take(store, *((ALICE, Booked((at, -1), -1, at, (one,))) for at, one in enumerate((added, end), start=5)))
    (found,) = asked(store, is_closed=True).closed

    assert [None] * 6 == of_all(found)


def test_a_fee_of_an_order_comes_before_the_opening_of_its_position(store: BookingStore) -> None:
    take(store, (ALICE, Booked((1, 0), 1, 1_000, (Booking(FEE, "PLATFORM_FEE_OUT", "", 7, balance=e18(-1)),))))
    take(store, (ALICE, opened(at_ms=2_000, block=2)), (ALICE, closed(at_ms=3_000, block=3)))
    (found,) = asked(store, is_closed=True).closed

    assert [2_000, e18(100), e18(10), e18(111), e18(100), "0"] == of_all(found)


def test_a_page_of_closed_positions_reads_no_more_than_what_is_theirs(tmp_path: Path) -> None:
    store = BookingStore(tmp_path / "bookings.sqlite", 1)
    # One position that stood for all the time, and one market that was opened and closed again and again.
    take(store, (ALICE, opened(1, at_ms=1, block=1)))
    made = [(opened if at % 2 == 0 else closed)(7, at_ms=at, block=at) for at in range(2, 8_000)]
    take(store, *((ALICE, one) for one in made), (ALICE, closed(1, at_ms=8_000, block=8_000)))
    steps = itertools.count()
    # It is called after each 100 steps of SQLite's machine, which are the same on any computer.
    store._reader.set_progress_handler(lambda: next(steps) < 0, 100)
    found = asked(store, most=5, is_closed=True)
    store.close()

    assert [1, 7, 7, 7, 7] == [one.quote for one in found.closed]
    assert {e18(10)} == {one.quantity for one in found.closed}
    # To read all bookings of the market once takes some thousand.
    assert next(steps) < 50


def test_closed_positions_come_in_pages_that_are_bounded(tmp_path: Path) -> None:
    store = BookingStore(tmp_path / "bookings.sqlite", 1)
    take(store, *((ALICE, closed(quote, at_ms=quote, block=quote)) for quote in range(1, CLOSED_PAGE_MAX + 3)))
    first = asked(store, most=1_000, is_closed=True)
    rest = asked(store, before=first.closed[-1].place, is_closed=True)
    store.close()

    assert (CLOSED_PAGE_MAX, True) == (len(first.closed), first.has_more)
    assert ([2, 1], False) == ([one.quote for one in rest.closed], rest.has_more)


def test_bookings_of_one_record_that_come_in_several_have_each_a_place_of_their_own(tmp_path: Path) -> None:
    store = BookingStore(tmp_path / "bookings.sqlite", 1)
    (one,) = fee(at_ms=1_000, block=1).bookings
    many = tuple(msgspec.structs.replace(one, cause=f"{at} {'x' * 2_000}") for at in range(600))
    records = [decode_booking_record(value) for value in encode_booked(Booked((1, 0), 1, 1_000, many))]
    assert 1 < len(records)
    take(store, *((ALICE, record) for record in (*records, *records)))
    lines = store.lines(ALICE, (), (0, 2**62), FIRST_PLACE, 1_000)
    store.close()

    assert list(range(599, -1, -1)) == [line.place[2] for line in lines]
    assert many == tuple(line.booking for line in reversed(lines))


def test_a_file_goes_on_where_it_was_and_one_of_another_epoch_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "bookings.sqlite"
    first = BookingStore(path, 1)
    with first.transaction():
        first.book(ALICE, fee(at_ms=1_000, block=1))
        first.put_next({0: 5})
    with pytest.raises(RecursionError):
        break_off(first)
    first.close()
    again = BookingStore(path, 1)
    assert ({0: 5}, [1]) == (again.next_offsets(), blocks(again))
    again.close()
    other = BookingStore(path, 2)
    assert ({}, []) == (other.next_offsets(), blocks(other))
    other.close()
    path.write_bytes(b"no file of SQLite, by far" * 100)
    with pytest.raises(BadStore, match="expected a file of SQLite"):
        BookingStore(path, 1)
