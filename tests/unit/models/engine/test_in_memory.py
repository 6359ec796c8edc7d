"""The whole engine from records and instants to rows, as tests and tidemark fold drive it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from models.account_events import Transaction
from models.chain_records import Rollback, Watermark
from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.in_memory import Engine
from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    QUOTE_HISTORY,
    QUOTES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    TABLES,
    VALUATIONS,
    WATERMARKS,
)
from models.errors import BadRecord
from models.freshness import SETTLE_MS
from models.ids import account_key
from models.instruments import TickerFact
from models.position_states import shown
from models.prices import BookTick, MarkTick
from models.symmio.deployment import SymmioDeployment
from models.symmio.engine_states import encode_engine_state
from models.symmio.position_states import GAP_S
from models.symmio.venue import engine_deployment
from models.venue import ToldAt
from tests.support.positions import engine_state
from tests.support.symmio import (
    ALICE,
    BOB,
    DIAMOND,
    E18,
    HEDGER,
    allocate,
    allocate_b,
    block,
    fee_in,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from models.chain_records import ChainRecord, RawLog

KEY, BOB_KEY = account_key("main", ALICE), account_key("main", BOB)
MAX_AGE_MS = 1_000
NOW_MS = 1_700_000_005_000


def sources(name: str) -> tuple[PriceSource, ...]:
    """First the venue, then its book; nothing of a market without a name."""
    return (PriceSource(f"venue:{name}".encode(), MAX_AGE_MS), PriceSource(f"book:{name}".encode(), 0)) if name else ()


class World:
    """A deployment whose market 1 is BTC, and Alice, long 10 from 100."""

    def __init__(self, states: str = "off", allocated: int = 1_000 * E18) -> None:
        deployment = engine_deployment(SymmioDeployment(DIAMOND, states=states), sources)
        self.engine = Engine({"main": deployment})
        self.offset = 0
        self.ticks = 0
        self.chain(
            block(
                1, [log("AddSymbol", 1, "BTC", 1, 2, 3, 4, 14_400, 420)], [allocate(allocated), allocate_b(1_000 * E18)]
            ),
            block(2, [fee_out(0), send_quote(7)]),
            block(3, [log("LockQuote", HEDGER, 7), log("OpenPosition", 7, ALICE, HEDGER, 10 * E18, 100 * E18)]),
        )

    def chain(self, *records: ChainRecord, now_ms: int = NOW_MS) -> None:
        for record in records:
            self.engine.raw("main", record, self.offset, now_ms)
            self.offset += 1

    def tick(self, price: str, at_ms: int = NOW_MS) -> None:
        self.engine.tick(MarkTick("venue", "BTC", at_ms, at_ms, price, None, None, None), self.ticks)
        self.ticks += 1

    def body(self, table: str, key: bytes = KEY) -> dict[str, Any]:
        row = self.engine.tables.read(table, key)
        assert row is not None
        return decode_row(row).body

    def version(self, table: str, key: bytes = KEY) -> int:
        row = self.engine.tables.read(table, key)
        assert row is not None
        return decode_row(row).version

    def shown_states(self) -> list[tuple[str, str]]:
        """Action and source of the position states that Alice is shown."""
        return sorted((one["last_seen_action"], one["source"]) for one in shown(self.body(POSITION_STATES)))

    def mark(self) -> tuple[str, int, bool]:
        """Price, offset and staleness of the mark that Alice's valuation shows."""
        (position,) = self.body(VALUATIONS)["positions"]
        return position["mark"], position["mark_offset"], position["stale"]


def test_records_and_an_instant_come_to_rows_of_every_table_that_the_venue_has() -> None:
    world = World("on")
    world.chain(block(4, [fee_out(0), send_quote(8)]), block(5, [fee_in(0), cancel(8)]), Watermark(5, 1_005, 5))
    world.tick("101.5")
    world.engine.fact(TickerFact("venue", "BTC", 5, "-1.230", "123456789.12"))
    world.engine.value(NOW_MS)
    world.engine.value(NOW_MS + MAX_AGE_MS + 1)

    assert [REFERENCES, STATEMENTS] == [table for table in TABLES if not list(world.engine.tables.keys(table))]
    assert [KEY] == list(world.engine.tables.keys(ACCOUNTS)) == list(world.engine.tables.keys(POSITION_STATES))
    assert [b"main"] == list(world.engine.tables.keys(DEPLOYMENTS))
    assert [b"main:0"] == list(world.engine.tables.keys(WATERMARKS))
    assert [b"main:7", b"main:8"] == list(world.engine.tables.keys(QUOTES))
    assert [KEY + b":8"] == list(world.engine.tables.keys(QUOTE_HISTORY))
    assert [b"main:1"] == list(world.engine.tables.keys(MARKETS))
    assert [b"venue:BTC"] == list(world.engine.tables.keys(MARKS)) == list(world.engine.tables.keys(INSTRUMENTS))
    assert {f"hedger:main:{HEDGER}:0".encode(), b"symbol:main:1:0"} == set(world.engine.tables.keys(SUBTOTALS))
    assert ["stale"] == world.body(ALERTS)["alarms"]


def cancel(quote_id: int) -> RawLog:
    return log("RequestToCancelQuote", ALICE, HEDGER, 3, quote_id)


def test_an_account_is_valued_at_the_marks_of_the_instant() -> None:
    world = World()
    world.engine.value(NOW_MS)
    assert "unpriced" == world.body(VALUATIONS)["status"]
    world.tick("101.5")
    world.engine.value(NOW_MS)

    assert ("valued", str(15 * E18)) == (world.body(VALUATIONS)["status"], world.body(VALUATIONS)["upnl"])
    assert str(1_015 * E18) == world.body(SUBTOTALS, b"symbol:main:1:0")["long_notional"]
    assert (2, 2) == (world.version(VALUATIONS), world.version(SUBTOTALS, b"symbol:main:1:0"))


def test_what_is_asked_again_without_news_writes_nothing() -> None:
    world = World()
    world.tick("101.5")
    world.engine.value(NOW_MS)
    before = {table: dict(world.engine.tables.items(table)) for table in TABLES}
    world.engine.value(NOW_MS + 1)

    assert before == {table: dict(world.engine.tables.items(table)) for table in TABLES}


def test_a_later_tick_of_the_same_price_is_shown() -> None:
    world = World()
    world.tick("101.5")
    world.engine.value(NOW_MS)
    world.tick("101.5", NOW_MS + 1)
    world.engine.value(NOW_MS + 1)

    assert (str(1015 * E18 // 10), 1, False) == world.mark()


def test_a_mark_that_grows_stale_is_shown_as_such_and_another_source_is_used_and_fresh_when_it_has_settled() -> None:
    world = World()
    world.tick("101.5")
    world.engine.value(NOW_MS)
    world.engine.value(NOW_MS + MAX_AGE_MS + 1)
    assert (str(1015 * E18 // 10), 0, True) == world.mark()
    assert ["stale"] == world.body(ALERTS)["alarms"]

    at_ms = NOW_MS + MAX_AGE_MS + 2
    world.engine.tick(BookTick("book", "BTC", at_ms, at_ms, "102", "104"), 9)
    world.engine.value(at_ms)
    assert (str(103 * E18), 9, True) == world.mark()
    assert ["stale"] == world.body(ALERTS)["alarms"]

    at_ms += SETTLE_MS
    world.engine.tick(BookTick("book", "BTC", at_ms, at_ms, "102", "104"), 10)
    world.engine.value(at_ms)
    assert (str(103 * E18), 10, False) == world.mark()
    assert [] == world.body(ALERTS)["alarms"]


def test_a_transition_is_on_record_when_the_valuation_shows_it() -> None:
    world = World(allocated=85 * E18)
    for price, kinds in (("100", []), ("98", ["liquidatable"]), ("97", ["liquidatable"]), ("99", ["recovered"])):
        world.tick(price, NOW_MS + world.ticks)
        world.engine.value(NOW_MS + world.ticks)
        row = world.engine.tables.read(ALERTS, KEY)
        told = [] if row is None else [one["kind"] for one in decode_row(row).body["transitions"][:1]]

        assert kinds == told, price
        assert ("liquidatable" in kinds) is world.body(VALUATIONS)["liquidatable"]


def test_an_account_that_is_unknown_with_its_deployment_is_shown_so_until_the_cause_leaves_the_chain() -> None:
    world = World()
    world.tick("101.5")
    world.engine.value(NOW_MS)
    world.chain(block(4, [log("LockQuotes", HEDGER, [5])]))
    world.engine.value(NOW_MS)
    assert "unsupported" == world.body(VALUATIONS)["status"]
    world.chain(Rollback(3, "0x03"))
    world.engine.value(NOW_MS)

    assert "valued" == world.body(VALUATIONS)["status"]


def test_what_is_delivered_again_changes_no_row() -> None:
    world = World("on")
    world.tick("101.5")
    world.engine.value(NOW_MS)
    before = {table: dict(world.engine.tables.items(table)) for table in TABLES}
    world.engine.raw("main", block(2, [fee_out(0), send_quote(7)]), 1, NOW_MS)
    world.engine.tick(MarkTick("venue", "BTC", NOW_MS, NOW_MS, "7", None, None, None), 0)
    world.engine.value(NOW_MS)

    assert before == {table: dict(world.engine.tables.items(table)) for table in TABLES}


def test_records_that_are_refused_are_told_and_make_their_account_suspect() -> None:
    world = World()
    assert [] == world.engine.refused
    world.engine.account_record(BOB_KEY, Transaction((9, 0), 9, 1_009, "0x09", (log("LockQuote", HEDGER, 99),)))
    world.chain(Watermark(9, 1_009, 0))

    assert [True] == [reason.startswith("block 9, transaction 0x09: ") for reason in world.engine.refused]
    assert world.body(ACCOUNTS, BOB_KEY)["suspect"] is not None
    world.engine.value(NOW_MS)
    assert "suspect" == world.body(VALUATIONS, BOB_KEY)["status"]


def test_a_tick_or_a_fact_without_sense_is_an_error_and_changes_nothing() -> None:
    world = World()
    with pytest.raises(BadRecord):
        world.tick("-1")
    with pytest.raises(BadRecord):
        world.engine.fact(TickerFact("venue", "BTC", 0, "1", "1"))

    assert [[], []] == [list(world.engine.tables.keys(table)) for table in (MARKS, INSTRUMENTS)]


def test_a_state_of_the_chain_waits_for_the_engine_and_stands_when_it_is_released() -> None:
    world = World("gaps")
    sent_s = 1_700_000_002
    said = engine_state(quote_id=7, last_seen_action="SendQuote", modify_time=sent_s)
    world.engine.told(KEY, encode_engine_state(said), ToldAt(0, 3, sent_s * 1000), NOW_MS)
    world.engine.release(NOW_MS + GAP_S * 1000 - 1)
    assert [("SendQuote", "engine")] == world.shown_states()
    world.engine.release(NOW_MS + GAP_S * 1000)

    assert [("FillLimitOrderOpen", "chain"), ("SendQuote", "engine")] == world.shown_states()
