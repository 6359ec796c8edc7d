from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest_asyncio

from models.prices import BookTick, MarkTick, decode_tick
from streams.ingest.prices import price_follow as price_ingest
from streams.ingest.prices.venue_socket import MAX_FRAME_BYTES
from streams.kafka.deadletter import MAX_VALUE_BYTES, decode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, PRICE_TICKS
from streams.process.clock import SystemClock
from streams.settings import BinanceSource, Settings
from tests.support.eventually import eventually
from tests.support.records import create_all, read_topic
from tests.support.venue import FakeVenue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.prices import PriceTick
    from streams.kafka.deadletter import DeadLetter


def mark(symbol: str, price: str, event_ms: int = 1) -> bytes:
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{symbol}","p":"{price}","i":"1","r":"0.1","T":2,"new":{{}}}}'
    ).encode()


class World:
    def __init__(self, venue: FakeVenue, make_settings: Callable[..., Settings]) -> None:
        self.venue = venue
        self.silent_after_ms = 60_000
        self.book_symbols: tuple[str, ...] = ()
        self._make_settings = make_settings
        self.settings = make_settings()

    @asynccontextmanager
    async def ingesting(self) -> AsyncIterator[None]:
        source = BinanceSource(
            websocket=self.venue.url.replace("http", "ws") + "/market",
            rest=self.venue.url,
            silent_after_ms=self.silent_after_ms,
            book_symbols=self.book_symbols,
        )
        settings = self.settings.model_copy(update={"sources": {"v": source}})
        task = asyncio.create_task(price_ingest.run(settings, "v", SystemClock()))
        try:
            await eventually(lambda: task.done() or bool(self.venue.marks))
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def ticks(self) -> list[PriceTick]:
        return [decode_tick(value) for _, value in await read_topic(self.settings, PRICE_TICKS)]

    async def marks(self) -> set[tuple[str, str]]:
        return {(tick.symbol, tick.mark) for tick in await self.ticks() if isinstance(tick, MarkTick)}

    async def letters(self) -> list[DeadLetter]:
        return [decode_dead_letter(value) for _, value in await read_topic(self.settings, DEAD_LETTERS)]

    async def has_mark(self, symbol: str, price: str) -> bool:
        return (symbol, price) in await self.marks()


@pytest_asyncio.fixture
async def world(settings: Callable[..., Settings]) -> AsyncIterator[World]:
    async with FakeVenue() as venue:
        world = World(venue, settings)
        await create_all(world.settings)
        yield world


async def test_marks_reach_their_topic_keyed_by_source_and_symbol(world: World) -> None:
    async with world.ingesting():
        await world.venue.push(b"[" + mark("BTCUSDT", "50000.10") + b"," + mark("ETHUSDT", "NaN") + b"]")
        await eventually(lambda: world.has_mark("ETHUSDT", "NaN"))

    assert {("BTCUSDT", "50000.10"), ("ETHUSDT", "NaN")} == await world.marks()
    assert {b"v:BTCUSDT", b"v:ETHUSDT"} == {key for key, _ in await read_topic(world.settings, PRICE_TICKS)}


async def test_late_and_repeated_frames_are_written_as_they_come(world: World) -> None:
    async with world.ingesting():
        for frame in (mark("A", "3", 3), mark("A", "3", 3), mark("A", "2", 2), mark("A", "4", 4)):
            await world.venue.push(b"[" + frame + b"]")
        await eventually(lambda: world.has_mark("A", "4"))

    assert [3, 3, 2, 4] == [tick.event_ms for tick in await world.ticks()]


async def test_a_truncated_frame_is_a_dead_letter_and_the_flow_goes_on(world: World) -> None:
    truncated = b"[" + mark("A", "1")
    async with world.ingesting():
        await world.venue.push(truncated)
        await world.venue.push(b"[" + mark("A", "2") + b"]")
        await eventually(lambda: world.has_mark("A", "2"))
        await eventually(lambda: _has_letters(world, 1))

    letter = (await world.letters())[0]
    assert ("v", "BadFrame", truncated) == (letter.source, letter.cause, base64.b64decode(letter.value))
    assert 1 == world.venue.connections


async def test_a_bad_element_is_a_dead_letter_and_its_neighbours_stand(world: World) -> None:
    bad = mark("A", "9" * 100)
    async with world.ingesting():
        await world.venue.push(b"[" + bad + b"," + mark("B", "2") + b"]")
        await eventually(lambda: world.has_mark("B", "2"))

    assert [("BadTick", bad)] == [(let.cause, base64.b64decode(let.value)) for let in await world.letters()]


async def test_a_long_frame_is_cut_in_its_dead_letter(world: World) -> None:
    async with world.ingesting():
        await world.venue.push(b"x" * 300_000)
        await eventually(lambda: _has_letters(world, 1))

    letter = (await world.letters())[0]
    assert (300_000, MAX_VALUE_BYTES) == (letter.value_bytes, len(base64.b64decode(letter.value)))


async def test_a_10_mb_frame_is_a_dead_letter_and_the_socket_is_made_anew(world: World) -> None:
    async with world.ingesting():
        await world.venue.push(b"[" + b" " * 10_000_000 + b"]")
        await eventually(lambda: world.venue.connections == 2)
        await eventually(lambda: bool(world.venue.marks))
        await world.venue.push(b"[" + mark("A", "2") + b"]")
        await eventually(lambda: world.has_mark("A", "2"))

    assert ["FrameTooLarge"] == [letter.cause for letter in await world.letters()]


async def test_a_closed_socket_is_made_anew(world: World) -> None:
    async with world.ingesting():
        await world.venue.push(b"[" + mark("A", "1") + b"]")
        await world.venue.hang_up()
        await eventually(lambda: world.venue.connections == 2 and bool(world.venue.marks))
        await world.venue.push(b"[" + mark("A", "2") + b"]")
        await eventually(lambda: world.has_mark("A", "2"))


async def test_a_silent_socket_is_replaced_by_polls_and_made_anew(world: World) -> None:
    world.silent_after_ms = 150
    world.venue.premium_index = b'[{"symbol":"A","markPrice":"7","time":5,"indexPrice":"7","lastFundingRate":"0"}]'
    async with world.ingesting():
        await eventually(lambda: world.has_mark("A", "7"))
        await eventually(lambda: world.venue.connections > 1)


async def test_an_answer_that_comes_in_pieces_is_read_to_its_end(world: World) -> None:
    """The venue has some 650 symbols: their answer of 130 kB is more than one read of a socket gives."""
    world.silent_after_ms = 150
    filler = "0" * 60
    world.venue.premium_index = orjson.dumps(
        [
            {"symbol": f"S{number}", "markPrice": "7", "time": 5, "indexPrice": "7", "lastFundingRate": f"0.{filler}"}
            for number in range(650)
        ]
    )
    assert len(world.venue.premium_index) > 80_000
    async with world.ingesting():
        await eventually(lambda: world.has_mark("S649", "7"))

    assert {(f"S{number}", "7") for number in range(650)} == await world.marks()
    assert [] == await world.letters()


async def test_a_poll_whose_answer_is_too_large_is_a_failed_one(world: World) -> None:
    world.silent_after_ms = 50
    world.venue.premium_index = b" " * (MAX_FRAME_BYTES + 1)
    async with world.ingesting():
        await eventually(lambda: world.venue.polls > 1)

    assert [] == await world.letters()


async def test_polls_stop_when_the_socket_speaks_again(world: World) -> None:
    world.silent_after_ms = 300
    async with world.ingesting():
        await eventually(lambda: world.venue.polls > 0)
        await eventually(lambda: bool(world.venue.marks))

        async def speaks() -> bool:
            await world.venue.push(b"[" + mark("A", "1") + b"]")
            return await world.has_mark("A", "1")

        await eventually(speaks)
        polls = world.venue.polls
        for _ in range(10):
            await speaks()

    assert polls + 1 >= world.venue.polls


async def test_a_failing_poll_is_tried_again(world: World) -> None:
    world.silent_after_ms = 50
    world.venue.premium_index = None
    async with world.ingesting():
        await eventually(lambda: world.venue.polls > 2)


async def test_book_tickers_come_from_their_own_socket_and_are_thinned_out(world: World) -> None:
    world.book_symbols = ("AUSDT", "BUSDT")
    async with world.ingesting():
        await eventually(lambda: bool(world.venue.books))
        for bid in range(1, 201):
            await world.venue.push_book(
                f'{{"stream":"ausdt@bookTicker","data":{{"e":"bookTicker","E":{bid},"s":"AUSDT","b":"{bid}","a":"201"}}}}'.encode()
            )

        async def has_last() -> bool:
            return any(isinstance(tick, BookTick) and tick.bid == "200" for tick in await world.ticks())

        await eventually(has_last)

    books = [tick for tick in await world.ticks() if isinstance(tick, BookTick)]
    assert ["ausdt@bookTicker", "busdt@bookTicker"] == world.venue.book_streams
    assert "1" == books[0].bid
    assert len(books) < 50
    assert {"v-book"} == {tick.source for tick in books}


async def _has_letters(world: World, count: int) -> bool:
    return len(await world.letters()) == count
