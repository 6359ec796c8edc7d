"""Worker, replica, and engine choose the same mark of a market, whatever sources, ages and clocks there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from api.tables.market_prices import MarketPrices
from models.chain_records import Join, SymbolView
from models.codec import encode_row
from models.engine.in_memory import Engine
from models.engine.tables import MARKETS, MARKS
from models.ids import mark_key, market_key
from models.prices import MarkTick, encode_mark, mark_of
from models.symmio.markets import Market, encode_market
from streams.settings import PriceRef, Settings, SymmioSettings
from streams.settings.venues import engine_deployments
from streams.valuing.market_marks import MarketMarks
from tests.support.clocks import WallClock
from tests.support.feed import FakeTables
from tests.support.fetched import Fetched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.prices import UsedMark

_NAME, _SYMBOL_ID, _MARKET = "main", 7, "BTCUSDT"
_SOURCES = ("first", "second", "third")
_START_MS = 1_000_000
_WRITTEN, _READ = "written", "read"


class Told(NamedTuple):
    """A source says a price, so many ms after the one before, of an event so many ms ago; clocks may differ.

    The worker has written the mark's row itself, or reads another's, or both in one order or the other.
    """

    source: str
    after_ms: int
    late_ms: int
    price: int
    ahead_ms: int | None
    comes: tuple[str, ...]


_told = st.builds(
    Told,
    st.sampled_from(_SOURCES),
    st.integers(0, 4_000),
    st.integers(0, 9_000),
    st.integers(1, 10**6),
    st.one_of(st.none(), st.integers(-9_000, 9_000)),
    st.sampled_from([(_READ,), (_WRITTEN,), (_WRITTEN, _READ), (_READ, _WRITTEN)]),
)
_refs = st.lists(st.tuples(st.sampled_from(_SOURCES), st.integers(1, 6_000)), unique_by=lambda one: one[0], max_size=3)


@settings(max_examples=200, deadline=None)
@given(_refs, st.lists(_told, max_size=12), st.lists(st.integers(0, 9_000), min_size=1, max_size=3))
async def test_whoever_asks_gets_the_same_mark_at_every_instant(
    refs: list[tuple[str, int]], told: Sequence[Told], waits_ms: list[int]
) -> None:
    sources = tuple(PriceRef(source=source, symbol=_MARKET, max_age_ms=age_ms) for source, age_ms in refs)
    deployment = SymmioSettings(chain_id=1, diamond="0x" + "d1" * 20, markets={_MARKET: sources})
    own = Settings(kafka="nowhere:1", data_dir=Path("unused"), deployments={_NAME: deployment})
    now_ms = _START_MS
    tables, engine = FakeTables(), Engine(engine_deployments({_NAME: deployment}))
    worker = MarketMarks(own, WallClock(lambda: now_ms), lambda _: None, lambda _: None, lambda _: None)
    replica = MarketPrices(own, tables.feeds)
    market = encode_market(Market(_SYMBOL_ID, name=_MARKET, is_valid=True))
    worker.names._take({TopicPartition(MARKETS, 0): [Fetched(market_key(_NAME, _SYMBOL_ID), encode_row(1, 1, market))]})
    tables.markets.put(f"{_NAME}:{_SYMBOL_ID}", 1, market)
    view = SymbolView(_SYMBOL_ID, _MARKET, True, "0", "0", "0", "0", 0, 0)  # noqa: FBT003 - as the contract answers
    engine.raw(_NAME, Join(1, "0x01", 1, (view,)), 0)

    def expect_agreement() -> None:
        worker._say(worker.board.choose_all(now_ms))
        engine.value(now_ms)
        chosen: list[UsedMark | None] = [
            worker.board.used(_NAME, _SYMBOL_ID),
            replica.used(_NAME, _SYMBOL_ID, now_ms),
            engine.board.used(_NAME, _SYMBOL_ID),
        ]
        assert chosen[:1] * 3 == chosen

    newest: dict[str, int] = {}
    for offset, one in enumerate(told):
        now_ms += one.after_ms
        event_ms = now_ms - one.late_ms
        tick = MarkTick(one.source, _MARKET, event_ms, now_ms, str(one.price), None, None, None, one.ahead_ms, 3_000)
        engine.tick(tick, offset)
        # The marks agent lets no mark go backward; that it is the engine's own is tested elsewhere.
        if tick.event_ms > newest.get(one.source, 0):
            newest[one.source] = tick.event_ms
            body, key = encode_mark(mark_of(tick, offset)), mark_key(one.source, _MARKET)
            row = encode_row(1, offset + 1, body)
            for way in one.comes:
                if way == _WRITTEN:
                    worker.acknowledged(worker.marks.topic, [(key, row)])
                else:
                    worker.marks._take({TopicPartition(MARKS, 0): [Fetched(key, row)]})
            tables.marks.put(key.decode(), offset + 1, body)
        expect_agreement()
    for wait_ms in waits_ms:
        now_ms += wait_ms
        expect_agreement()
