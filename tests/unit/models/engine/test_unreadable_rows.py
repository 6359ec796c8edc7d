"""A row that cannot be read concerns its key alone, in every table, in an engine that runs and in the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from models.alerts import all_transitions, ordinal_of
from models.chain_records import Watermark
from models.codec import decode_order, decode_row, encode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
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
from models.ids import account_key
from models.instruments import TickerFact
from models.ledger.ledger_venue import LEDGER
from models.prices import MarkTick
from models.statements import decode_statement
from models.symmio.deployment import SymmioDeployment
from models.symmio.engine_states import encode_engine_state
from models.symmio.venue import engine_deployment
from models.venue import ToldAt
from tests.support.ledger import inputs, position, record, wallet
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
)

if TYPE_CHECKING:
    from models.chain_records import ChainRecord, RawLog

KEY, BOB_KEY, ANN_KEY = account_key("main", ALICE), account_key("main", BOB), b"desk:ann"
PERP = "tBTCF0:USTF0"
NOW_MS = 1_700_000_005_000
CORRUPT = {
    ACCOUNTS: KEY,
    ALERTS: KEY,
    DEPLOYMENTS: b"main",
    INSTRUMENTS: b"venue:BTC",
    MARKETS: b"main:1",
    MARKS: b"venue:BTC",
    POSITION_STATES: KEY,
    QUOTE_HISTORY: KEY + b":8",
    QUOTES: b"main:7",
    REFERENCES: b"desk:symbol:tBTCF0:USTF0",
    STATEMENTS: ANN_KEY,
    SUBTOTALS: b"symbol:main:1:0",
    VALUATIONS: KEY,
    WATERMARKS: b"main:0",
}
# Nobody has to read the bodies of these to go on.
UNREAD = {SUBTOTALS, QUOTE_HISTORY, QUOTES, VALUATIONS}


def quote(quote_id: int, account: str, market: int) -> tuple[RawLog, RawLog, RawLog]:
    """A long of 10 from 100."""
    whitelist: list[str] = []
    margins = (value * E18 for value in (50, 20, 130, 40))
    terms = (market, 0, 0, 100 * E18, 101 * E18, 10 * E18)
    return (
        log("SendQuote", account, quote_id, whitelist, *terms, *margins, E18 // 1000, 2_000_000_000),
        log("LockQuote", HEDGER, quote_id),
        log("OpenPosition", quote_id, account, HEDGER, 10 * E18, 100 * E18),
    )


class World:
    """A Diamond with Alice in BTC and Bob in ETH, and a ledger with Ann, of whom every table has a row."""

    def __init__(self) -> None:
        sources = lambda name: (PriceSource(f"venue:{name}".encode(), 10_000),) if name else ()  # noqa: E731
        self.deployments = {
            "main": engine_deployment(SymmioDeployment(DIAMOND, states="on"), sources),
            "desk": EngineDeployment(LEDGER, None, sources),
        }
        self.engine = Engine(self.deployments)
        self.offset = 0
        markets = [log("AddSymbol", at, name, 1, 2, 3, 4, 14_400, 420) for at, name in ((1, "BTC"), (2, "ETH"))]
        allocated = [allocate(85 * E18), allocate(1_000 * E18, BOB), allocate_b(1_000 * E18)]
        self.chain(
            block(1, markets, [*allocated, allocate_b(1_000 * E18, party_a=BOB)]),
            block(2, [fee_out(0), *quote(7, ALICE, 1)], [fee_out(0, BOB), *quote(6, BOB, 2)]),
            block(3, [fee_out(0), quote(8, ALICE, 1)[0]]),
            block(4, [fee_in(0), log("RequestToCancelQuote", ALICE, HEDGER, 3, 8)]),
            Watermark(4, 1_700_000_004, 4),
        )
        self.ann(record("account_opened", 1, owner="ann"), record("wallet_set", 2, wallet=wallet("50", "USTF0")))
        self.ann(record("position_set", 3, position=position("0.5", "100", PERP, type="derivative")))
        marks = {"tBTCUSD": "1", PERP: "1", "tUSTUSD": "1"}
        for name, value in inputs(marks, paths={"USTF0": ["tUSTUSD"]}).settings.items():
            self.refer(f"desk:{name}".encode(), msgspec.json.encode(value))
        self.fact()
        for at, prices in enumerate((("98", "110"), ("105", "110"), ("98", "110"))):
            self.tick(at, BTC=prices[0], ETH=prices[1], **{PERP: "110", "tUSTUSD": "1"})

    def chain(self, *records: ChainRecord) -> None:
        for one in records:
            self.engine.raw("main", one, self.offset, NOW_MS)
            self.offset += 1

    def ann(self, *records: bytes) -> None:
        for one in records:
            self.offset += 1
            self.engine.account_record(ANN_KEY, LEDGER.decode(one, (self.offset, -1)), NOW_MS)
        self.engine.fold("ledger")

    def refer(self, key: bytes, value: bytes) -> None:
        self.offset += 1
        self.engine.reference(key, value, self.offset)

    def fact(self) -> None:
        self.offset += 1
        self.engine.fact(TickerFact("venue", "BTC", NOW_MS + self.offset, "-1.230", "123456789.12"))

    def tick(self, after_ms: int, **prices: str) -> None:
        for name, price in prices.items():
            at_ms = NOW_MS + after_ms
            self.engine.tick(MarkTick("venue", name, at_ms, at_ms, price, None, None, None), after_ms)
        self.engine.value(NOW_MS + after_ms)

    def goes_on(self) -> None:
        """Something that concerns every table."""
        self.chain(
            block(5, [fee_out(1)], [fee_out(1, BOB)]),
            block(6, [fee_out(0), *quote(9, ALICE, 1)], [fee_out(0, BOB), *quote(10, BOB, 2)]),
            block(7, [log("SetSymbolTradingFee", 1, 4, 5)]),
            Watermark(7, 1_700_000_007, 7),
        )
        self.ann(record("position_closed", 4, position=position("0", "100", PERP)))
        self.refer(CORRUPT[REFERENCES], b"")
        self.fact()
        said = engine_state(quote_id=9, last_seen_action="FillLimitOrderOpen", counterparty_address=ALICE)
        self.engine.told(KEY, encode_engine_state(said), ToldAt(0, 3, NOW_MS), NOW_MS)
        self.engine.release(NOW_MS + 60_000)
        self.tick(1_000, BTC="105", ETH="111", **{PERP: "111", "tUSTUSD": "1"})

    def corrupt(self, table: str, body: bytes) -> bytes:
        """Replace a row by one of its order, and this for a body."""
        key = CORRUPT[table]
        row = self.engine.tables.read(table, key)
        assert row is not None, f"the world has no row of {table}"
        self.engine.tables._rows[table][key] = corrupt = row[:16] + body
        return corrupt

    def restart(self) -> None:
        """What a worker does that takes over."""
        self.engine = Engine(self.deployments, self.engine.tables)
        self.engine.value(NOW_MS + 500)

    def body(self, table: str, key: bytes) -> dict[str, Any]:
        return decode_row(self.engine.tables.read(table, key) or b"").body

    def rows_of(self, account: bytes) -> dict[tuple[str, bytes], bytes]:
        """Every row of an account, without the instant at which it was made."""
        found = {
            (table, key): row for table in TABLES for key, row in self.engine.tables.items(table) if account in key
        }
        return {where: row.partition(b',"made_from"')[0] for where, row in found.items()}


BODIES = [b"", b"[]", b"{}", b'{"status":[],"count":"x","mark":"-1","states":[{}],"positions":[{}]}']


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_row_that_cannot_be_read_touches_no_other_account(table: str, body: bytes, *, is_restarted: bool) -> None:
    sound, world = World(), World()
    corrupt = world.corrupt(table, body)
    if is_restarted:
        sound.restart()
        world.restart()
    sound.goes_on()
    world.goes_on()

    noted = set(world.engine.tables.unreadable)
    assert noted <= {(table, CORRUPT[table]), (ACCOUNTS, KEY)}
    assert table in UNREAD or not is_restarted or (table, CORRUPT[table]) in noted
    if table != WATERMARKS:
        assert sound.rows_of(BOB.encode()) == world.rows_of(BOB.encode())
    if table not in {REFERENCES, STATEMENTS}:
        assert sound.rows_of(ANN_KEY) == world.rows_of(ANN_KEY)
    after = world.engine.tables.read(table, CORRUPT[table])
    assert after is not None
    assert decode_order(corrupt) <= decode_order(after)


def restarted(table: str) -> World:
    world = World()
    world.corrupt(table, b"{}")
    world.restart()
    return world


@pytest.mark.parametrize(
    "table", [INSTRUMENTS, MARKETS, MARKS, REFERENCES, POSITION_STATES, STATEMENTS, ALERTS, VALUATIONS, WATERMARKS]
)
def test_a_row_is_made_anew_by_what_comes_next(table: str) -> None:
    world = restarted(table)
    world.goes_on()
    world.engine.tables.unreadable.clear()
    world.restart()

    assert {} == world.engine.tables.unreadable


def test_an_account_whose_row_cannot_be_read_is_shown_as_suspect_at_once() -> None:
    world = restarted(ACCOUNTS)

    assert ("suspect", None) == tuple(world.body(VALUATIONS, KEY)[name] for name in ("status", "upnl"))
    assert "unknown" in world.body(ALERTS, KEY)["alarms"]
    world.goes_on()
    assert "suspect" == world.body(VALUATIONS, KEY)["status"]
    assert any("expected a row of accounts" in cause for cause in world.engine.refused)


def test_a_mark_that_cannot_be_read_is_unknown_until_the_next_tick() -> None:
    world = restarted(MARKS)

    assert "unpriced" == world.body(VALUATIONS, KEY)["status"]
    world.tick(900, BTC="104")
    assert "valued" == world.body(VALUATIONS, KEY)["status"]


def test_a_market_that_cannot_be_read_has_no_price() -> None:
    assert "unpriced" == restarted(MARKETS).body(VALUATIONS, KEY)["status"]


def test_a_deployment_whose_watermark_cannot_be_read_is_unsupported() -> None:
    world = restarted(WATERMARKS)

    assert "unsupported" == world.body(VALUATIONS, KEY)["status"]
    world.goes_on()
    assert "unsupported" == world.body(VALUATIONS, KEY)["status"]
    assert 7 == world.body(WATERMARKS, b"main:0")["head"]
    assert "cannot be read" in world.body(WATERMARKS, b"main:0")["reason"]


def test_a_deployment_whose_row_cannot_be_read_is_routed_on_from_where_it_was() -> None:
    sound, world = World(), restarted(DEPLOYMENTS)
    sound.restart()
    for one in (sound, world):
        one.goes_on()

    after = world.body(DEPLOYMENTS, b"main")
    assert sound.body(DEPLOYMENTS, b"main")["position"] == after["position"]
    assert (7, []) == (after["head"], after["gaps"])
    assert sound.rows_of(KEY) == world.rows_of(KEY)


def test_a_quote_whose_account_cannot_be_read_makes_its_deployment_unsupported_when_its_logs_come() -> None:
    world = restarted(QUOTES)
    world.goes_on()
    assert "valued" == world.body(VALUATIONS, KEY)["status"]
    world.chain(block(8, [fee_out(0), *quote(11, ALICE, 1)]))
    assert [] == world.body(DEPLOYMENTS, b"main")["gaps"]
    world.chain(block(9, [log("LockQuote", HEDGER, 7)]))

    assert [9] == [gap["block"] for gap in world.body(DEPLOYMENTS, b"main")["gaps"]]


def test_alarms_that_cannot_be_read_come_on_again_under_ids_that_were_never_given() -> None:
    sound, world = World(), World()
    before = {one["id"] for one in all_transitions(sound.body(ALERTS, KEY))}
    world.corrupt(ALERTS, b"{}")
    world.restart()
    after = all_transitions(world.body(ALERTS, KEY))

    assert ["liquidatable"] == world.body(ALERTS, KEY)["alarms"] == sound.body(ALERTS, KEY)["alarms"]
    assert before.isdisjoint(one["id"] for one in after)
    assert min(map(ordinal_of, after)) > sound.body(ALERTS, KEY)["count"]


def test_quiet_alerts_that_cannot_be_read_are_made_anew_too() -> None:
    world = World()
    world.tick(10, BTC="105")
    world.corrupt(ALERTS, b"{}")
    world.restart()

    assert ([], []) == (world.body(ALERTS, KEY)["alarms"], world.body(ALERTS, KEY)["transitions"])


def test_position_states_that_cannot_be_read_go_on_with_numbers_by_which_readers_see_a_gap() -> None:
    world = World()
    before = world.body(POSITION_STATES, KEY)["count"]
    world.corrupt(POSITION_STATES, b"{}")
    world.goes_on()
    states = world.body(POSITION_STATES, KEY)["states"]

    assert states
    assert min(one["seq"] for one in states) > before


def test_statements_that_cannot_be_read_go_on_with_numbers_by_which_readers_see_a_gap() -> None:
    world = World()
    told = decode_statement(world.engine.tables.read(STATEMENTS, ANN_KEY) or b"").last_number
    world.corrupt(STATEMENTS, b"{}")
    world.goes_on()

    assert decode_statement(world.engine.tables.read(STATEMENTS, ANN_KEY) or b"").events_after(told) is None


def test_sums_are_made_anew_where_it_is_not_known_any_more_what_an_account_added_to_them() -> None:
    sound, world = World(), World()
    world.corrupt(VALUATIONS, b"{}")
    # More accounts than are kept would have pushed it out.
    world.engine.valuing.totals._counted.drop(KEY)
    for one in (sound, world):
        one.tick(20, BTC="103")
        one.engine.value(NOW_MS + 21)
        one.tick(22, BTC="104")

    for key in (CORRUPT[SUBTOTALS], b"symbol:main:2:0", f"hedger:main:{HEDGER}:0".encode()):
        sums = [{**one.body(SUBTOTALS, key), "made_from": None} for one in (sound, world)]
        assert sums[0] == sums[1], key


def test_a_row_without_an_order_is_none() -> None:
    world = World()
    world.engine.tables._rows[MARKS][b"venue:BTC"] = b"{}"
    world.engine.tables._rows[REFERENCES][CORRUPT[REFERENCES]] = encode_row(0, 0, {})[:9]
    world.restart()
    world.goes_on()

    assert "104" not in world.body(MARKS, b"venue:BTC")["mark"]
