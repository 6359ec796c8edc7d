"""History through real topics: kept, asked for, through a kill, and made anew when its file is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from api.tables.history import BarWindow, BookingWindow, HistoryAnswers, NoAnswer
from models.booking_requests import FIRST_PLACE
from models.bookings import Booked, Unbooked, encode_booking_record
from models.codec import encode_row
from models.heartbeats import HISTORY_KEY, HistoryBeat
from models.history import HOUR_S, MINUTE_S
from models.history_records import bar_of_texts
from streams.history.history_process import BOOKINGS_FILE, FILE, run
from streams.kafka.single_records import Records
from streams.kafka.topics import HISTORY, bookings_name, create_topics, registry, served_name, topic_name
from streams.process.clock import SystemClock
from streams.process.supervision import ended
from streams.replicas.heartbeat_reader import HeartbeatReader, Heartbeats
from tests.support.bookings import fee, opened
from tests.support.eventually import eventually
from tests.support.pipeline import records_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from models.bookings import BookingRecord
    from models.history import Bar
    from streams.settings import Settings

SERIES = "main:0x" + "a" * 40
# Three hours ago: these hours are over, and go to the topic.
BEGAN_S = SystemClock().now_ms() // 1_000 // HOUR_S * HOUR_S - 3 * HOUR_S


@asynccontextmanager
async def keeping(settings: Settings) -> AsyncIterator[None]:
    process = asyncio.create_task(run(settings, SystemClock()))
    try:
        yield
        assert not process.done(), process
    finally:
        await ended(process)


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[HistoryAnswers]:
    records = Records(settings)
    answers = HistoryAnswers(settings, records, SystemClock())
    await answers.start()
    try:
        yield answers
    finally:
        await answers.stop()
        await records.stop()


async def show(settings: Settings, shown: Mapping[int, int]) -> None:
    """Keep on ``served`` what the account's uPnL was, by the seconds since ``BEGAN_S``."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    for version, (at_s, upnl) in enumerate(shown.items(), start=1):
        body = {"upnl": str(upnl), "made_from": {"at_ms": (BEGAN_S + at_s) * 1_000}}
        await producer.send_and_wait(served_name(settings), encode_row(1, version, body), key=SERIES.encode())
    await producer.stop()


async def closes(answers: HistoryAnswers, step_s: int) -> Mapping[int, int | None]:
    """What is told of the account, by the seconds since ``BEGAN_S``; nothing while nobody answers."""
    try:
        found = await answers.bars(SERIES, BarWindow(step_s, BEGAN_S, BEGAN_S + 3 * HOUR_S, 100))
    except NoAnswer:
        return {}
    bars: list[Bar] = [bar_of_texts(bar) for bar in found.bars]
    return {bar.start_s - BEGAN_S: bar.upnl.close for bar in bars}


async def test_what_was_shown_is_told_after_an_end_in_between_and_when_the_file_is_lost(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    await show(mine, {0: 1, 61: 2})

    async def are_told(step_s: int, expected: Mapping[int, int]) -> None:
        await eventually(lambda: _is(answers, step_s, expected), 120)

    async with asking(mine) as answers:
        async with keeping(mine):
            await are_told(MINUTE_S, {0: 1, MINUTE_S: 2})
        await show(mine, {62: 3, HOUR_S: 4})
        async with keeping(mine):
            await are_told(MINUTE_S, {0: 1, MINUTE_S: 3, HOUR_S: 4})
            await are_told(HOUR_S, {0: 3, HOUR_S: 4})

        # What was shown is still kept, and read again from the beginning into the hours that the topic has.
        for path in mine.data_dir.glob(f"{FILE}*"):
            path.unlink()
        async with keeping(mine), keeping(mine.model_copy(update={"data_dir": mine.data_dir / "other"})):
            await are_told(MINUTE_S, {0: 1, MINUTE_S: 3, HOUR_S: 4})
            await are_told(HOUR_S, {0: 3, HOUR_S: 4})


async def test_it_says_in_heartbeats_when_it_had_last_read_all_that_was_shown(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    await show(mine, {0: 1, 61: 2})
    heartbeats = Heartbeats()
    reader = HeartbeatReader(mine, heartbeats, SystemClock())
    await reader.start()

    def in_step_ms() -> int:
        heard = heartbeats.newest.get(HISTORY_KEY)
        return heard.beat.in_step_ms if heard is not None and isinstance(heard.beat, HistoryBeat) else 0

    try:
        async with keeping(mine):
            await eventually(lambda: in_step_ms() > 0, 120)
            first_ms = in_step_ms()
            await eventually(lambda: in_step_ms() > first_ms, 120)
    finally:
        await reader.stop()


async def test_hours_come_back_from_their_topic_when_the_file_and_what_was_shown_are_gone(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    await show(mine, {0: 1, 5: 2})
    async with asking(mine) as answers:
        async with keeping(mine):
            await eventually(lambda: _has_hours(mine), 120)
        # Another epoch has a topic of its own, on which nothing was shown yet.
        later = mine.model_copy(update={"epoch": 2, "data_dir": mine.data_dir / "later"})
        await create_topics(later.bootstrap, registry(later))
        async with keeping(later):
            await eventually(lambda: _is(answers, HOUR_S, {0: 2}), 120)
            assert {} == await closes(answers, MINUTE_S)


async def test_what_is_booked_is_told_after_an_end_in_between_and_when_the_file_is_lost(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    await book(mine, fee(at_ms=1_000, block=1), fee(at_ms=2_000, block=2), Unbooked((3, -1), 1))
    async with asking(mine) as answers:
        async with keeping(mine):
            await eventually(lambda: _are_blocks(answers, [1]), 120)
        await book(mine, fee(at_ms=2_000, block=2, part=7))
        async with keeping(mine):
            await eventually(lambda: _are_blocks(answers, [1]), 120)
        await book(mine, opened(at_ms=4_000, block=4))
        for path in mine.data_dir.glob(f"{BOOKINGS_FILE}*"):
            path.unlink()
        async with keeping(mine):
            await eventually(lambda: _are_blocks(answers, [4, 1]), 120)


async def book(settings: Settings, *records: BookingRecord) -> None:
    """Write what a worker would on ``bookings``, all to one partition."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    for one in records:
        key = SERIES if isinstance(one, Booked) else "main"
        value = encode_booking_record(one)
        await producer.send_and_wait(bookings_name(settings), value, key=key.encode(), partition=0)
    await producer.stop()


async def _are_blocks(answers: HistoryAnswers, expected: list[int]) -> bool:
    try:
        found = await answers.bookings(SERIES, BookingWindow((), 0, 2**62, FIRST_PLACE, 100))
    except NoAnswer:
        return False
    return expected == [line.block for line in found.bookings]


async def _has_hours(settings: Settings) -> bool:
    return bool(await records_of(settings, topic_name(settings, HISTORY)))


async def _is(answers: HistoryAnswers, step_s: int, expected: Mapping[int, int]) -> bool:
    return expected == await closes(answers, step_s)
