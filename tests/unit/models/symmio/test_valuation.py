from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import orjson
import pytest

from models.account_events import RolledBack, Transaction
from models.codec import NUMBER_MAX
from models.prices import UsedMark
from models.subtotals import Subtotals
from models.symmio.account import AccountRow, advance
from models.symmio.valuation import value_account
from models.valuations import VALUED, with_last_complete
from tests.support.symmio import ALICE, E18, HEDGER, SECOND_HEDGER, allocate, allocate_b, fee_out, log, send_quote

if TYPE_CHECKING:
    from models.chain_records import RawLog

_KEYS = {
    "account_order", "position", "block", "time_s", "status", "stale", "unpriced", "upnl", "upnl_capped", "notional",
    "notional_opened", "equity", "available_balance", "available_for_quote", "allocated", "locked", "pending",
    "liquidating", "liquidatable", "distance_bps", "as_of_ms", "positions", "pending_quotes", "party_b", "owner",
    "multi_account", "name", "last_complete",
}  # fmt: skip


def _open(quote_id: int, symbol_id: int, side: int, party_b: str) -> tuple[RawLog, ...]:
    return (
        fee_out(0),
        send_quote(quote_id, symbol_id=symbol_id, side=side),
        log("LockQuote", party_b, quote_id),
        log("OpenPosition", quote_id, ALICE, party_b, 10 * E18, 100 * E18),
    )


def _row(*logs: RawLog) -> AccountRow:
    return advance(None, Transaction((4, 2), 30, 1_030, "0x01", logs))


def _two_positions(allocated: int = 1_000 * E18) -> AccountRow:
    """Long 10 of symbol 1 with the hedger, short 10 of symbol 2 with the second one, both from 100."""
    return _row(
        allocate(allocated),
        allocate_b(15 * E18),
        allocate_b(500 * E18, SECOND_HEDGER),
        *_open(1, 1, 0, HEDGER),
        *_open(2, 2, 1, SECOND_HEDGER),
    )


def _mark(price: int, event_ms: int = 5_000, *, stale: bool = False) -> UsedMark:
    return UsedMark("binance:X", price, event_ms, 77, stale)


def test_what_dust_is_left_of_a_position_beside_a_fortune_is_farther_from_liquidation_than_a_number_says() -> None:
    row = _two_positions(10**12 * E18)

    body = value_account(row.holding, 3, lambda _: _mark(1), unsupported=False).body

    assert (VALUED, NUMBER_MAX) == (body["status"], body["distance_bps"])
    assert NUMBER_MAX == orjson.loads(orjson.dumps(body))["distance_bps"]


def test_a_valued_account_shows_every_figure() -> None:
    marks = {1: _mark(103 * E18, 7_000), 2: _mark(98 * E18, 6_000, stale=True)}

    body = value_account(_two_positions().holding, 3, marks.get, unsupported=False).body

    assert body.keys() == _KEYS | {"liquidatable_hedgers"}
    assert [HEDGER] == body["liquidatable_hedgers"]
    assert ([3, 1], [4, 2], 30, 1_030, "valued", 1, 0) == (
        body["account_order"], body["position"], body["block"], body["time_s"], body["status"], body["stale"],
        body["unpriced"],
    )  # fmt: skip
    e18 = {name: int(body[name]) // E18 for name in _KEYS - {"status", "owner"} if isinstance(body[name], str)}
    assert {
        "upnl": 50,
        "upnl_capped": 15 + 20,
        "notional": 1_030 + 980,
        "notional_opened": 2_000,
        "equity": 1_050,
        "available_balance": 1_050 - 2 * 70,
        "available_for_quote": 1_050 - 2 * 200,
        "allocated": 1_000,
    } == e18
    assert ([str(v * E18) for v in (100, 40, 260, 80)], ["0"] * 4) == (body["locked"], body["pending"])
    assert (False, False, 910 * 10_000 // 2_010, 6_000) == (
        body["liquidating"], body["liquidatable"], body["distance_bps"], body["as_of_ms"],
    )  # fmt: skip
    assert {
        "quote": 2, "symbol": 2, "side": "short", "party_b": SECOND_HEDGER, "quantity": str(10 * E18),
        "opened_price": str(100 * E18), "mark": str(98 * E18), "mark_key": "binance:X", "mark_offset": 77,
        "upnl": str(20 * E18), "notional": str(980 * E18), "stale": True,
    } == body["positions"][1]  # fmt: skip
    assert orjson.dumps(body)


def test_an_account_can_be_liquidated_below_its_cva_and_liquidation_fee() -> None:
    row = _two_positions(allocated=140 * E18)

    kept = value_account(row.holding, 1, lambda _: _mark(100 * E18), unsupported=False).body
    lost = value_account(row.holding, 1, {1: _mark(100 * E18 - 1), 2: _mark(100 * E18)}.get, unsupported=False).body

    assert (False, 0) == (kept["liquidatable"], kept["distance_bps"])
    assert (True, -1) == (lost["liquidatable"], lost["distance_bps"])


def test_a_hedger_can_be_liquidated_toward_an_account_below_what_is_locked_of_it() -> None:
    # Of 100 that are allocated 70 are locked as cva and liquidation fee; the account gains what the hedger loses.
    row = _row(allocate(1_000 * E18), allocate_b(100 * E18), *_open(1, 1, 0, HEDGER))

    kept = value_account(row.holding, 1, {1: _mark(103 * E18)}.get, unsupported=False).body
    lost = value_account(row.holding, 1, {1: _mark(103 * E18 + 1)}.get, unsupported=False).body

    assert (False, False) == ("liquidatable_hedgers" in kept, lost["liquidatable"])
    assert [HEDGER] == lost["liquidatable_hedgers"]


def test_a_hedger_that_allocated_nothing_can_be_liquidated_at_once() -> None:
    row = _row(allocate(1_000 * E18), *_open(1, 1, 0, HEDGER))

    assert [HEDGER] == value_account(row.holding, 1, lambda _: _mark(100 * E18), unsupported=False).body[
        "liquidatable_hedgers"
    ]


def test_a_position_without_a_mark_leaves_no_partial_sums() -> None:
    body = value_account(_two_positions().holding, 1, {2: _mark(98 * E18)}.get, unsupported=False).body

    assert ("unpriced", 1, 0, 5_000) == (body["status"], body["unpriced"], body["stale"], body["as_of_ms"])
    assert {None} == {
        body[name]
        for name in (
            "upnl", "upnl_capped", "notional", "notional_opened", "equity", "available_balance", "available_for_quote",
            "liquidatable", "distance_bps",
        )
    }  # fmt: skip
    assert str(1_000 * E18) == body["allocated"]
    assert [None, str(20 * E18)] == [position["upnl"] for position in body["positions"]]


def test_an_account_without_positions_is_worth_its_balance_as_of_its_block() -> None:
    body = value_account(_row(allocate(5)).holding, 1, lambda _: None, unsupported=False).body

    assert ("valued", "0", "0", "5", None, False, 1_030_000) == (
        body["status"], body["upnl"], body["notional"], body["equity"], body["distance_bps"], body["liquidatable"],
        body["as_of_ms"],
    )  # fmt: skip


@pytest.mark.parametrize("status", ["suspect", "unsupported"])
def test_an_account_that_is_not_known_has_no_figures(status: str) -> None:
    row = _two_positions()
    if status == "suspect":
        row = msgspec.structs.replace(row, suspect=("because", (4, 2)))

    body = value_account(row.holding, 1, lambda _: _mark(E18), unsupported=status == "unsupported").body

    assert (status, None, None, None) == (body["status"], body["upnl"], body["equity"], body["liquidatable"])
    assert [None, None] == [position["upnl"] for position in body["positions"]]


def test_the_last_complete_figures_are_carried_while_a_position_is_unpriced() -> None:
    row = _two_positions()
    valued = value_account(row.holding, 1, lambda _: _mark(103 * E18), unsupported=False).body
    unpriced = value_account(row.holding, 1, lambda _: None, unsupported=False).body

    first = with_last_complete(valued, unpriced)
    second = with_last_complete(first, unpriced)

    assert first == second
    assert {
        name: valued[name]
        for name in ("upnl", "notional", "equity", "available_balance", "allocated", "locked", "pending", "as_of_ms")
    } == first["last_complete"]
    assert with_last_complete(None, unpriced)["last_complete"] is None
    assert valued == with_last_complete(first, valued)


def test_sums_take_hedgers_and_symbols_of_every_account_once() -> None:
    marks = {1: _mark(103 * E18, 7_000), 2: _mark(98 * E18, 6_000)}
    body = value_account(_two_positions().holding, 1, marks.get, unsupported=False).body
    sums = Subtotals()

    sums.put("main", None, body)
    counted = sums.put("main", None, body)
    sums.put("main", counted, body)

    assert sums.changed
    taken = dict(sums.take_changed(5, {b"symbol:main:9:5", b"symbol:main:1:5"}))
    assert {
        "positions": 2, "unpriced": 0, "as_of_ms": 6_000, "upnl": str(-60 * E18), "notional": str(2_060 * E18),
    } == taken[f"hedger:main:{HEDGER}:5".encode()]  # fmt: skip
    assert {
        "positions": 2, "unpriced": 0, "as_of_ms": 6_000, "long_quantity": "0", "short_quantity": str(20 * E18),
        "long_notional": "0", "short_notional": str(1_960 * E18),
    } == taken[b"symbol:main:2:5"]  # fmt: skip
    gone = taken[b"symbol:main:9:5"]
    assert (0, None, "0") == (gone["positions"], gone["as_of_ms"], gone["long_notional"])
    assert not sums.changed


def test_what_an_account_no_longer_holds_leaves_the_sums() -> None:
    priced = value_account(_two_positions().holding, 1, lambda _: _mark(103 * E18, 7_000), unsupported=False).body
    sums = Subtotals()
    earlier = {**priced, "as_of_ms": 1}
    counted = sums.put("main", None, earlier)
    sums.put("main", None, priced)

    nothing = value_account(_row(allocate(5)).holding, 1, lambda _: None, unsupported=False).body
    sums.put("main", counted, nothing)

    taken = dict(sums.take_changed(0, set()))
    assert (1, 7_000, str(1_030 * E18)) == tuple(
        taken[b"symbol:main:1:0"][name] for name in ("positions", "as_of_ms", "long_notional")
    )


def test_unpriced_positions_are_counted_and_leave_no_partial_sum() -> None:
    body = value_account(_two_positions().holding, 1, lambda _: None, unsupported=False).body
    sums = Subtotals()
    sums.put("main", None, body)

    taken = dict(sums.take_changed(0, set()))

    assert 4 == len(taken)
    assert (1, None, str(10 * E18)) == tuple(
        taken[b"symbol:main:1:0"][name] for name in ("unpriced", "long_notional", "long_quantity")
    )
    assert None is taken[f"hedger:main:{HEDGER}:0".encode()]["upnl"]


def test_an_account_that_the_chain_does_not_know_any_more_has_no_figures() -> None:
    row = advance(_two_positions(), RolledBack((5, -1), 29))

    body = value_account(row.holding, 3, lambda _: _mark(100 * E18), unsupported=False).body

    assert body.keys() == _KEYS
    assert ("nobody", [3, 2], -1, []) == (body["status"], body["account_order"], body["block"], body["positions"])
    assert {None} == {
        body[name]
        for name in (
            "upnl", "upnl_capped", "notional", "notional_opened", "equity", "available_balance", "available_for_quote",
            "allocated", "locked", "pending", "liquidatable", "distance_bps", "last_complete",
        )
    }  # fmt: skip


def test_nobody_of_an_unsupported_deployment_is_unsupported_and_a_suspect_one_suspect() -> None:
    nobody = AccountRow()
    suspect = msgspec.structs.replace(nobody, suspect=("because", (4, 2)))

    assert "unsupported" == value_account(nobody.holding, 1, lambda _: None, unsupported=True).body["status"]
    assert "suspect" == value_account(suspect.holding, 1, lambda _: None, unsupported=False).body["status"]


def test_sums_that_follow_prices_are_those_of_the_rows_that_stand() -> None:
    followed, fresh = Subtotals(), Subtotals()
    before = value_account(_two_positions().holding, 1, lambda _: _mark(103 * E18, 7_000), unsupported=False).body
    counted = followed.put("main", None, before)
    for price, event_ms in ((97 * E18, 9_000), (105 * E18 + 1, 9_400), (None, 9_400), (101 * E18, 12_000)):
        mark = None if price is None else _mark(price, event_ms)
        body = value_account(_two_positions().holding, 1, lambda _, mark=mark: mark, unsupported=False).body  # type: ignore[misc]
        counted = followed.put("main", counted, body)
        before = body
    fresh.put("main", None, before)

    assert dict(fresh.take_changed(0, set())) == dict(followed.take_changed(0, set()))


def test_a_row_begins_with_what_names_the_account_s_own_row() -> None:
    """Readers tell by these bytes whether anything but prices is another."""
    body = value_account(_two_positions().holding, 3, lambda _: None, unsupported=False).body

    assert orjson.dumps(body).startswith(b'{"account_order":[3,1],')


def test_a_row_shows_pending_quotes_buckets_and_who_made_the_account() -> None:
    row = _row(allocate(1_000 * E18), allocate_b(15 * E18), fee_out(0), send_quote(7, symbol_id=2, side=1))
    body = value_account(row.holding, 3, lambda _: None, unsupported=False).body

    assert {HEDGER: (str(15 * E18), ("0",) * 4, ("0",) * 4)} == body["party_b"]
    assert [
        {"quote": 7, "symbol": 2, "side": "short", "party_b": None, "whitelist": (), "quantity": str(10 * E18),
         "price": str(100 * E18)}
    ] == body["pending_quotes"]  # fmt: skip
    assert (None, None, None) == (body["owner"], body["multi_account"], body["name"])
