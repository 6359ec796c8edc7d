"""What the reader of bookings makes of records that it cannot read: no position is told as whole that may lack one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import TopicPartition

from models.booking_requests import FIRST_PLACE, BookingsRequest
from models.bookings import GAP, OPEN, Booked, Booking, Unbooked, encode_booked, encode_booking_record
from streams.history.booking_reader import BookingReader, answer_bookings
from streams.history.booking_store import BookingStore
from streams.history.refusals import Refusals
from streams.kafka.partitions import partition_of
from streams.settings import Settings
from tests.support.bookings import closed, opened
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from models.booking_requests import BookingsAnswer
    from models.bookings import BookingRecord
    from streams.kafka.record import Record

ALICE, BOB, CAROL = "main:0xa", "main:0xb", "other:0xa"
PARTITIONS = 2
TOPIC = "bookings-1"


class Consumer:
    """One that has every record, from the first on."""

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)


class World:
    """A reader on a file, and where its topic ends."""

    def __init__(self, path: Path) -> None:
        settings, clock = Settings(kafka="127.0.0.1:1"), WallClock(lambda: 10_000)
        self.store = BookingStore(path, 1)
        self.reader = BookingReader(settings, self.store, Refusals(settings, clock), clock)
        self._ends = dict.fromkeys((TopicPartition(TOPIC, number) for number in range(PARTITIONS)), 0)

    async def begin(self) -> World:
        await self.reader.begin_at(cast("Any", Consumer()), self._ends)
        return self

    def write(self, key: str | bytes | None, *records: BookingRecord | bytes) -> None:
        of = key.encode() if isinstance(key, str) else key
        tp = TopicPartition(TOPIC, partition_of(of or b"", PARTITIONS))
        for one in records:
            value = one if isinstance(one, bytes) else encode_booking_record(one)
            record = SimpleNamespace(offset=self._ends[tp], timestamp=9_000, key=of, value=value)
            self._ends[tp] += 1
            self.reader._take({tp: [cast("Record[bytes]", record)]})

    def asked(self, series: str = ALICE, *, is_closed: bool = False) -> BookingsAnswer:
        request = BookingsRequest("1", series, (), 0, 2**62, FIRST_PLACE, 100, is_closed=is_closed)
        return answer_bookings(self.store, request)

    def are_whole(self, series: str = ALICE) -> list[bool]:
        """Of each closed position, the newest first, whether its sums are told."""
        return [one.quantity is not None for one in self.asked(series, is_closed=True).closed]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "bookings.sqlite")
    yield made
    made.store.close()


async def test_a_record_that_cannot_be_read_leaves_no_position_whole_that_it_may_be_of(world: World) -> None:
    await world.begin()
    world.write(ALICE, opened(1, at_ms=1_000, block=1), closed(1, at_ms=2_000, block=2))
    world.write(ALICE, opened(7, at_ms=3_000, block=3), opened(8, at_ms=4_000, block=4))
    world.write(BOB, opened(7, at_ms=3_000, block=3))
    world.write(ALICE, b"nonsense")
    world.write(ALICE, closed(7, at_ms=5_000, block=5), closed(8, at_ms=5_500, block=6))
    world.write(ALICE, opened(9, at_ms=6_000, block=7), closed(9, at_ms=7_000, block=8))
    world.write(BOB, closed(7, at_ms=5_000, block=5))

    assert [True, False, False, True] == world.are_whole()
    assert [True] == world.are_whole(BOB)
    (gap,) = [line for line in world.asked().bookings if line.booking.name == GAP]
    number = partition_of(ALICE.encode(), PARTITIONS)
    assert f"a record of bookings cannot be read: {TOPIC}:{number}:" in gap.booking.cause
    assert (-1, 4_000) == (gap.block, gap.time_ms)
    assert world.asked().cut_ms is None


async def test_it_may_be_a_further_part_of_the_record_before_it(world: World) -> None:
    await world.begin()
    first, _, last = (
        Booking(name, "c", "", 7, 1, "long", quantity="1", left=left, opened_price=price)
        for name, left, price in ((OPEN, "1", None), (OPEN, "2", "1"), ("close", "0", "1"))
    )
    world.write(ALICE, Booked((1, 0), 1, 1_000, (first,), is_beginning=True), b"nonsense")
    world.write(ALICE, Booked((1, 0), 1, 1_000, (last,), first=2))

    assert [False] == world.are_whole()


async def test_the_gap_of_a_record_is_one_however_often_it_is_read_and_no_fork_takes_it_along(world: World) -> None:
    await world.begin()
    world.write(ALICE, opened(7, at_ms=1_000, block=1), b"nonsense", closed(7, at_ms=2_000, block=5))
    before = world.asked()
    world._ends = dict.fromkeys(world._ends, 0)
    world.write(ALICE, opened(7, at_ms=1_000, block=1))
    assert before == world.asked()
    world.write("main", Unbooked((9, -1), 0))
    world.write(ALICE, Booked((10, 0), 1, 1_000, opened(7, at_ms=0, block=1).bookings))

    assert [GAP, OPEN] == sorted(line.booking.name for line in world.asked().bookings)


async def test_an_account_whose_first_record_cannot_be_read_tells_from_when_on_it_is_booked(world: World) -> None:
    await world.begin()
    world.write(ALICE, b"nonsense", opened(7, at_ms=9_500, block=1), closed(7, at_ms=9_600, block=2))

    assert 9_000 == world.asked().cut_ms
    assert [True] == world.are_whole()


async def test_what_is_said_of_a_deployment_and_cannot_be_read_concerns_its_accounts_of_that_partition(
    world: World,
) -> None:
    await world.begin()
    names = [f"main:0x{number}" for number in range(10)]
    for name in (*names, CAROL):
        world.write(name, opened(7, at_ms=1_000, block=1))
    world.write("main", b"nonsense")
    for name in (*names, CAROL):
        world.write(name, closed(7, at_ms=2_000, block=2))
    here = {name for name in names if partition_of(name.encode(), 2) == partition_of(b"main", 2)}

    assert 0 < len(here) < len(names)
    assert here == {name for name in (*names, CAROL) if world.are_whole(name) == [False]}


@pytest.mark.parametrize("key", [None, b"", b"main:\xff"])
async def test_a_record_under_no_key_is_nobodys(world: World, key: bytes | None) -> None:
    await world.begin()
    world.write(ALICE, opened(7, at_ms=1_000, block=1))
    world.write(key, b"nonsense", opened(8, at_ms=1_500, block=1))
    world.write(ALICE, closed(7, at_ms=2_000, block=2))

    assert [True] == world.are_whole()


@pytest.mark.parametrize(
    "odd",
    [
        Booked((2**63, 0), 1, 1_000, ()),
        Booked((-1, 0), 1, 1_000, ()),
        Booked((2, -(2**70)), 1, 1_000, ()),
        Booked((2, 0), 2**64, 1_000, ()),
        Booked((2, 0), -2, 1_000, ()),
        Booked((2, 0), 1, 2**63, ()),
        Booked((2, 0), 1, -1, ()),
        Booked((2, 0), 1, 1_000, (), first=2**40),
        Booked((2, 0), 1, 1_000, (Booking(OPEN, "c", quantity="1" * 341),)),
        Booked((2, 0), 1, 1_000, (Booking(OPEN, "c", realised="-" + "1" * 341),)),
        Booked((2, 0), 1, 1_000, (Booking(OPEN, "c" * 50_001),)),
        Booked((2, 0), 1, 1_000, (Booking(OPEN, "c", quote="q" * 129),)),
        Unbooked((2**63, 0), 1),
        Unbooked((2, 0), 2**64),
    ],
)
async def test_a_booking_beyond_its_bounds_is_a_gap_and_ends_nothing(world: World, odd: BookingRecord) -> None:
    await world.begin()
    world.write(ALICE, opened(7, at_ms=1_000, block=1), odd, closed(7, at_ms=2_000, block=3))

    assert [False] == world.are_whole()
    assert 1 == [line.booking.name for line in world.asked().bookings].count(GAP)


async def test_bookings_under_the_key_of_something_else_are_refused(world: World) -> None:
    await world.begin()
    world.write(ALICE, opened(7, at_ms=1_000, block=1))
    world.write("main", *encode_booked(opened(8, at_ms=1_500, block=1)))
    world.write(ALICE, Unbooked((9, -1), 0), closed(7, at_ms=2_000, block=3))

    assert [False] == world.are_whole()
    assert [] == list(world.asked("main").bookings)
