"""In which order what was shown is folded, where partitions are read one behind the other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from models.codec import encode_row
from models.history import HOUR_S, empty_bar
from models.history_records import encode_hour
from models.served import totals_key
from streams.history.bar_store import BarStore
from streams.history.hours import HoursReader
from streams.history.keeper import Keeper
from streams.history.refusals import Refusals
from streams.history.served_reader import ServedReader
from streams.kafka.deadletter import decode_dead_letter
from streams.settings import Settings
from tests.support.clocks import WallClock
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from streams.kafka.record import Record

TOTALS = totals_key("main")
NOW_S = 1_800_000_000 // HOUR_S * HOUR_S
PLACES = [TopicPartition("served-1", number) for number in range(2)]


class Consumer:
    """One that has every record, from the first on."""

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)


def part(offset: int, upnl: int) -> Record[bytes]:
    at_ms = (NOW_S + offset) * 1_000
    figures = {"upnl": str(upnl), "notional": "10", "positions": 1, "unpriced": 0, "as_of_ms": 0}
    body = {**figures, "made_from": {"at_ms": at_ms}}
    value = encode_row(1, at_ms, body)
    return cast("Record[bytes]", SimpleNamespace(offset=offset, timestamp=at_ms, key=TOTALS, value=value))


async def test_totals_that_are_caught_up_with_are_sums_of_parts_of_the_same_time(tmp_path: Path) -> None:
    store = BarStore(tmp_path / "history.sqlite")
    settings, clock = Settings(kafka="127.0.0.1:1"), WallClock(lambda: (NOW_S + 10) * 1_000)
    reader = ServedReader(settings, Keeper(store), Refusals(settings, clock), clock)
    await reader.begin_at(cast("Any", Consumer()), dict.fromkeys(PLACES, 10))
    # What one partition's accounts gain those of the other lose: their sum is 0 at any second.
    first, second = ([part(at, sign * 100 * at) for at in range(10)] for sign in (1, -1))

    reader._take({PLACES[0]: first})
    assert [PLACES[1]] == reader.wanted
    reader._take({PLACES[1]: second})

    assert not reader.wanted
    reader._keeper.commit(NOW_S)
    bars = store.bars(TOTALS.decode(), HOUR_S, (0, 2 * NOW_S), 10)
    store.close()
    # Of two parts of a second one is read first.
    assert [(100, 0, 0)] == [(bar.upnl.high, bar.upnl.low, bar.upnl.close) for bar in bars]


class Producer:
    """One that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []

    async def send_and_wait(self, topic: str, value: bytes, key: bytes | None) -> None:
        self.sent.append((topic, value, key))


async def test_a_row_that_is_refused_is_a_dead_letter_and_another_of_its_key_within_the_hour_is_none(
    tmp_path: Path,
) -> None:
    store = BarStore(tmp_path / "history.sqlite")
    settings, clock, producer = Settings(kafka="127.0.0.1:1"), WallClock(lambda: NOW_S * 1_000), Producer()
    refusals = Refusals(settings, clock)
    reader = ServedReader(settings, Keeper(store), refusals, clock)
    await reader.begin_at(cast("Any", Consumer()), dict.fromkeys(PLACES, 0))
    # Of a clock that is a quarter of an hour ahead.
    reader._take({PLACES[0]: [part(900, 1), part(901, 1)], PLACES[1]: [part(0, 5)]})
    reader._take({})
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(refusals.write(cast("Any", producer)))
        await eventually(lambda: len(producer.sent) == 1)
        writing.cancel()
    reader._keeper.commit(NOW_S)
    bars = store.bars(TOTALS.decode(), HOUR_S, (0, 2 * NOW_S), 10)
    store.close()

    ((topic, value, key),) = producer.sent
    letter = decode_dead_letter(value)
    assert ("dead-letters", TOTALS, "served-1", 0, 900) == (topic, key, letter.source, letter.partition, letter.offset)
    assert "compare the clocks" in letter.reason
    assert [5] == [bar.upnl.close for bar in bars]


async def test_a_bar_of_an_hour_that_cannot_be_yet_is_not_restored(tmp_path: Path) -> None:
    store = BarStore(tmp_path / "history.sqlite")
    settings, clock = Settings(kafka="127.0.0.1:1"), WallClock(lambda: NOW_S * 1_000)
    reader = HoursReader(settings, store, Refusals(settings, clock), clock)
    hours = [encode_hour("main:0xa", empty_bar(start_s)) for start_s in (NOW_S, NOW_S + HOUR_S, 2**70, -HOUR_S)]
    records = [
        SimpleNamespace(offset=offset, timestamp=0, key=key, value=value) for offset, (key, value) in enumerate(hours)
    ]
    reader._take({TopicPartition("history", 0): cast("Any", records)})
    bars = store.bars("main:0xa", HOUR_S, (0, 2 * NOW_S), 10)
    store.close()

    assert [NOW_S] == [bar.start_s for bar in bars]
