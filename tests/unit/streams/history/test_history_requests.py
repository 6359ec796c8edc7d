"""Requests for history that nobody who is well asks: each is refused by itself, and those behind it are answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from aiokafka import TopicPartition

from models.booking_requests import FIRST_PLACE, BookingsAnswer, BookingsRequest
from models.errors import BadRecord
from models.history_records import HISTORY_WAITED_FOR_S, HistoryRequest, decode_answer, decode_request, encode_request
from streams.history.bar_store import BarStore
from streams.history.booking_store import BookingStore
from streams.history.history_requests import HistoryRequests, Kept, answer_requests
from streams.process.clock import SystemClock
from streams.process.supervision import ended
from streams.settings import Settings
from tests.support.bookings import fee
from tests.support.clocks import LoopClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import AIOKafkaProducer

    from models.history_records import Request
    from streams.kafka.reader import TopicReader

ALICE = "main:0xa"
GOOD = BookingsRequest("good", ALICE, (), 0, 2**62, FIRST_PLACE, 10)
TOO_FAR = (0, 2**63, 0)


class StandingClock(SystemClock):
    """A clock that stands until the test moves it."""

    now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


class Answered:
    """Takes answers in place of a broker."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        assert topic
        assert key
        self.answers.put_nowait(decode_answer(value))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    bars, bookings = BarStore(tmp_path / "history.sqlite"), BookingStore(tmp_path / "bookings.sqlite", 1)
    with bookings.transaction():
        bookings.book(ALICE, fee(at_ms=1_000, block=1))
    yield Kept(bars, bookings, cast("TopicReader", SimpleNamespace(is_ready=True)))
    bookings.close()
    bars.close()


def settings() -> Settings:
    return Settings(kafka="nowhere:1", data_dir=Path("unused"))


def waiting(*requests: Request) -> HistoryRequests:
    found = HistoryRequests(settings(), LoopClock(1_000_000))
    take(found, *(encode_request(one) for one in requests))
    return found


def take(requests: HistoryRequests, *values: bytes) -> None:
    records = [SimpleNamespace(offset=at, timestamp=0, key=b"", value=value) for at, value in enumerate(values)]
    requests._take({TopicPartition("history-requests", 0): cast("Any", records)})


@pytest.mark.parametrize(
    "request_",
    [
        msgspec.structs.replace(GOOD, before=TOO_FAR),
        msgspec.structs.replace(GOOD, from_ms=-(2**64)),
        msgspec.structs.replace(GOOD, to_ms=2**63),
        msgspec.structs.replace(GOOD, most=-1),
        HistoryRequest("1", ALICE, 0, 0, 1, 1),
        HistoryRequest("1", ALICE, 60, 0, 2**63, 1),
    ],
)
def test_a_request_with_a_number_that_no_file_can_hold_is_no_request(request_: Request) -> None:
    with pytest.raises(BadRecord, match="expected a request for history"):
        decode_request(encode_request(request_))


async def test_who_waits_no_longer_is_passed_over() -> None:
    clock = StandingClock()
    requests = HistoryRequests(settings(), clock)
    take(requests, encode_request(msgspec.structs.replace(GOOD, id="old")))
    clock.now_s += HISTORY_WAITED_FOR_S
    take(requests, encode_request(GOOD))

    assert GOOD == await asyncio.wait_for(requests.next(), 60)


async def test_bookings_are_read_while_others_are_written_and_what_is_half_written_is_not_seen(kept: Kept) -> None:
    with kept.bookings.transaction():
        kept.bookings.book(ALICE, fee(at_ms=2_000, block=2))
        during = await asyncio.wait_for(kept.answer(GOOD, 0), 60)
    after = await asyncio.wait_for(kept.answer(GOOD, 0), 60)

    assert isinstance(during, BookingsAnswer)
    assert isinstance(after, BookingsAnswer)
    assert [[1], [2, 1]] == [[line.block for line in one.bookings] for one in (during, after)]


async def test_a_request_that_cannot_be_answered_ends_nothing(kept: Kept) -> None:
    requests, producer = waiting(), Answered()
    # One of a version that bounds less, and one of a step that is none.
    requests._waiting.put_nowait((requests._clock.monotonic_s(), msgspec.structs.replace(GOOD, before=TOO_FAR)))
    take(requests, encode_request(HistoryRequest("1", ALICE, 7, 0, 1, 1)), encode_request(GOOD))
    answering = asyncio.create_task(
        answer_requests(requests, settings(), kept, cast("AIOKafkaProducer", producer), LoopClock(1_000_000))
    )
    try:
        answer = await asyncio.wait_for(producer.answers.get(), 60)
        assert ("good", 1) == (answer.id, len(answer.bookings))
    finally:
        await ended(answering)
