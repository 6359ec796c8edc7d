"""What a source's frames become on their way to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from models.prices import BookTick, MarkTick, decode_tick
from streams.ingest.prices.binance.binance_sink import BinanceSink
from streams.kafka.deadletter import decode_dead_letter
from streams.settings import Settings, SourceSettings
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from models.prices import PriceTick
    from streams.ingest.outlet import Outlet
    from streams.kafka.deadletter import DeadLetter

AT_MS = 1_745_970_800_000
MARK = b'{"e":"markPriceUpdate","E":5,"s":"X","p":"1.5"}'
BOOK = b'{"e":"bookTicker","u":1,"s":"X","b":"1.0","B":"2","a":"1.1","A":"3","T":5,"E":6}'


class World:
    """A sink, and the records that it has written."""

    def __init__(self, **sources: SourceSettings) -> None:
        self.now_ms, self.ahead_ms = AT_MS, -250
        self.records: list[tuple[str, bytes, bytes]] = []
        self.sink = BinanceSink(
            Settings(sources=sources),
            "v",
            cast("Outlet", self),
            WallClock(lambda: self.now_ms),
            ahead_ms=lambda: self.ahead_ms,
        )

    async def put(self, topic: str, key: bytes, value: bytes) -> None:
        self.records.append((topic, key, value))

    @property
    def ticks(self) -> list[PriceTick]:
        return [decode_tick(value) for topic, _, value in self.records if topic == "price-ticks"]

    @property
    def letters(self) -> list[DeadLetter]:
        return [decode_dead_letter(value) for topic, _, value in self.records if topic == "dead-letters"]


@pytest.mark.parametrize(("sources", "max_late_ms"), [({}, 5_000), ({"v": SourceSettings(max_late_ms=700)}, 700)])
async def test_ticks_say_how_the_clocks_differed_and_how_late_they_may_be(
    sources: dict[str, SourceSettings], max_late_ms: int
) -> None:
    world = World(**sources)
    await world.sink.take_frame(b"[" + MARK + b"," + BOOK + b"]")
    world.ahead_ms = 40
    await world.sink.take_premium_index(b'[{"symbol":"Y","time":7,"markPrice":"2"}]')

    assert [
        MarkTick("v", "X", 5, AT_MS, "1.5", None, None, None, -250, max_late_ms),
        BookTick("v-book", "X", 6, AT_MS, "1.0", "1.1", -250, max_late_ms),
        MarkTick("v", "Y", 7, AT_MS, "2", None, None, None, 40, max_late_ms),
    ] == world.ticks


async def test_a_price_that_is_said_again_is_no_newer_and_none_is_newer_than_its_receipt() -> None:
    world = World()
    for second, event_s in enumerate((0, 1, 1, 1, 90)):
        world.now_ms = AT_MS + second * 1_000
        event_ms = AT_MS + event_s * 1_000 + world.ahead_ms
        await world.sink.take_premium_index(b'[{"symbol":"Y","time":%d,"markPrice":"2"}]' % event_ms)
        assert AT_MS + min(event_s, second) * 1_000 == world.sink.heard_ms


@pytest.mark.parametrize(
    "bad",
    [
        b'{"e":"markPriceUpdate","E":%d,"s":"X","p":null}',
        b'{"e":"markPriceUpdate","E":"%d","s":"X","p":"1"}',
        b'{"e":"markPriceUpdate","E":1,"s":"X","p":"%d' + b"9" * 80 + b'"}',
        b'{"e":"markPriceUpdate","E":1,"s":"X","p":{"of":%d}}',
    ],
)
async def test_an_element_that_is_bad_each_second_is_one_letter_and_another_symbols_is_another(bad: bytes) -> None:
    world = World()
    for second in range(100, 700):
        world.now_ms = AT_MS + second * 1_000
        await world.sink.take_frame(b"[" + bad % second + b"," + MARK + b"]")
    await world.sink.take_frame(b"[" + (bad % 7).replace(b'"X"', b'"Y"') + b"]")

    assert ["BadTick", "BadTick"] == [letter.cause for letter in world.letters]
    assert 600 == len(world.ticks)


async def test_frames_that_cannot_be_read_are_one_letter_an_hour() -> None:
    world = World()
    for second in range(3_601):
        world.now_ms = AT_MS + second * 1_000
        await world.sink.take_frame(MARK[: second % len(MARK)])

    assert [0, 3_599] == [letter.repeats for letter in world.letters]
