"""In which order what was shown is folded, where partitions are read one behind the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition

from models.codec import encode_row
from models.history import HOUR_S
from models.served import totals_key
from streams.history.bar_store import BarStore
from streams.history.keeper import Keeper
from streams.history.served_reader import ServedReader
from streams.settings import Settings
from tests.support.clocks import WallClock

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
    reader = ServedReader(Settings(kafka="127.0.0.1:1"), Keeper(store), WallClock(lambda: NOW_S * 1_000))
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
