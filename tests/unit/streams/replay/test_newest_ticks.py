"""The newest tick of each mark is the one of the register, however ticks come and whichever of them are bad."""

from __future__ import annotations

import random

import msgspec

from models.engine.in_memory import Engine
from models.engine.tables import MARKS
from models.errors import BadRecord
from models.ids import mark_key
from models.prices import MarkTick, decode_tick, encode_tick
from streams.replay.bounded_log import LogRecord, Place, Span
from streams.replay.newest_ticks import newest_ticks
from tests.support.listed_log import ListedLog

SYMBOLS = ("A", "B", "C", "D")


def records(seed: int, count: int) -> list[LogRecord]:
    """Ticks whose events come in any order, with bad prices, no ticks at all, and keys of others."""
    draws, found = random.Random(seed), []
    for offset in range(count):
        symbol = draws.choice(SYMBOLS)
        price = draws.choice(("1.5", "2", "-1", "nonsense"))
        tick = MarkTick("v", symbol, draws.randint(1, 40), draws.randint(40, 50), price, None, None, None)
        value = draws.choice((b"no tick", b'{"event_ms":60}')) if draws.random() < 0.1 else encode_tick(tick)
        key = mark_key("v", draws.choice(SYMBOLS) if draws.random() < 0.1 else symbol)
        found.append(LogRecord(offset, "t", SYMBOLS.index(symbol) % 2, offset, key, value))
    # Ticks of a key stand in one partition.
    return [msgspec.structs.replace(one, partition=(one.key or b"")[-1] % 2) for one in found]


async def test_whatever_ticks_come_the_newest_is_the_one_that_the_register_keeps() -> None:
    for seed in range(60):
        told = records(seed, random.Random(seed).randint(1, 60))
        engine = Engine({})
        for one in told:
            try:
                tick = decode_tick(one.value or b"")
                if mark_key(tick.source, tick.symbol) == one.key:
                    engine.tick(tick, one.offset)
            except BadRecord:
                continue
        log = ListedLog(told, draws=random.Random(seed))
        vector = {place: Span(held.begin, held.end) for place, held in (await log.held(["t"])).items()}
        found = await newest_ticks(log, vector, None)

        again = Engine({})
        for newest in found.values():
            again.tick(newest.tick, newest.offset)
        assert dict(engine.tables.items(MARKS)).keys() == found.keys()
        assert _bodies(engine) == _bodies(again)
        some = await newest_ticks(log, vector, [b"v:A"])
        assert {key: one for key, one in found.items() if key == b"v:A"} == some


async def test_nothing_is_read_of_an_empty_vector() -> None:
    assert {} == await newest_ticks(ListedLog([]), {Place("t", 0): Span(3, 3)}, None)


def _bodies(engine: Engine) -> dict[bytes, bytes]:
    # The version counts ticks on the way.
    return {key: row[16:] for key, row in engine.tables.items(MARKS)}
