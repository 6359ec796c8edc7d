from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BadRow
from models.money import E18
from models.views import (
    KeptPositions,
    absent_account,
    liquidation_price_e18,
    mark_view,
    market_view,
    unsupported_account,
)
from tests.support.contract import validate_rest
from tests.support.feed import e18, empty_account_body, last_complete, no_account_body, unpriced_body, valuation_body
from tests.support.rest import MARK, account_key, mark_body, market_body, position_body
from tests.support.views import account_view, figures_view, positions_view

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = account_key(1)
POSITION = {
    "quote_id": 1,
    "symbol_id": 1,
    "side": "long",
    "party_b": "0x" + "b" * 40,
    "quantity": "10",
    "opened_price": "101.25",
    "mark": "100",
    "market": "binance-futures:BTCUSDT",
    "mark_offset": 5,
    "upnl": "-12.5",
    "notional": "1000",
    "stale": False,
    "liquidation_price": "90.15",
    "liquidation_distance_bps": 985,
}


def nulls(value: object) -> bool:
    if isinstance(value, dict):
        return any(nulls(inner) for inner in value.values())
    return value is None


def test_an_account_says_every_figure_of_its_row() -> None:
    view = account_view(KEY, valuation_body())

    assert {
        "account": KEY,
        "deployment": "main",
        "address": KEY.partition(":")[2],
        "status": "valued",
        "upnl": "-12.5",
        "upnl_capped": "-12.5",
        "notional": "1000",
        "notional_opened": "1012.5",
        "equity": "107.5",
        "available_balance": "98.5",
        "available_for_quote": "7.5",
        "allocated": "120",
        "locked": {"cva": "6", "lf": "3", "party_a_mm": "91", "party_b_mm": "0.25"},
        "pending": {"cva": "1", "lf": "2", "party_a_mm": "4", "party_b_mm": "8"},
        "liquidating": False,
        "liquidatable": False,
        "distance_bps": 1_075,
        "stale": 0,
        "unpriced": 0,
        "open_positions": 1,
        "owner": "0x" + "0" * 40,
        "block": 118,
        "block_time": "2025-04-29T23:50:00.000Z",
        "block_time_ns": "1745970600000000000",
        "as_of": "2025-04-29T23:52:57.999Z",
        "as_of_ns": "1745970777999000000",
        "positions": {"1": POSITION},
    } == view
    validate_rest("/v1/accounts/x", 200, view)


@pytest.mark.parametrize(
    "body",
    [
        valuation_body(),
        empty_account_body(owner=None),
        unpriced_body(last_complete=None),
        unpriced_body(last_complete=last_complete()),
        valuation_body(status="suspect", upnl=None, notional=None, distance_bps=None, liquidatable=None),
        {**no_account_body(), "as_of_ms": 1_745_970_600_000},
    ],
)
@pytest.mark.parametrize("view_of", [account_view, figures_view, positions_view])
def test_what_is_not_known_is_absent_and_never_null(
    view_of: Callable[[str, dict[str, Any]], dict[str, Any]], body: dict[str, Any]
) -> None:
    assert not nulls(view_of(KEY, body))


def test_an_unpriced_account_keeps_its_last_complete_figures_apart() -> None:
    view = figures_view(KEY, unpriced_body(last_complete=last_complete()))

    assert "upnl" not in view
    assert ("3.000000000000000001", "2025-04-29T23:40:00.500Z") == (
        view["last_complete"]["upnl"],
        view["last_complete"]["as_of"],
    )


def test_a_position_without_a_mark_has_no_money_of_it() -> None:
    body = unpriced_body(last_complete=None)
    body["positions"] = [position_body(mark=None, mark_key=None, mark_offset=None, upnl=None, notional=None)]
    (position,) = positions_view(KEY, body)["positions"].values()

    missing = {
        "mark",
        "market",
        "mark_offset",
        "upnl",
        "notional",
        "liquidation_price",
        "liquidation_distance_bps",
    }
    assert POSITION.keys() - missing == position.keys()


def test_the_liquidation_price_is_that_of_all_positions_in_the_symbol() -> None:
    """10 long and 4 short leave 6: 98.5 of balance is lost when the price falls by 98.5 / 6."""
    body = valuation_body(positions=[position_body(), position_body(quote=2, side="short", quantity=e18("4"))])
    prices = {view["liquidation_price"] for view in positions_view(KEY, body)["positions"].values()}

    assert {"83.583333333333333334"} == prices


def test_positions_that_cancel_out_have_no_liquidation_price() -> None:
    body = valuation_body(positions=[position_body(), position_body(quote=2, side="short")])

    assert all("liquidation_price" not in view for view in positions_view(KEY, body)["positions"].values())


@given(
    st.integers(0, 10**6 * E18),
    st.integers(1, 10**6 * E18),
    st.integers(-(10**6) * E18, 10**6 * E18).filter(bool),
)
def test_at_the_liquidation_price_nothing_is_left_to_within_one_unit_of_price(
    available_e18: int, mark_e18: int, net_e18: int
) -> None:
    price_e18 = liquidation_price_e18(available_e18, mark_e18, net_e18)
    if price_e18 is None:
        # No positive price of the symbol takes all that is left.
        assert net_e18 > 0
        assert available_e18 * E18 >= (mark_e18 - 1) * net_e18
        return
    left_e36 = available_e18 * E18 + (price_e18 - mark_e18) * net_e18

    assert abs(left_e36) <= abs(net_e18)


def test_absent_and_unsupported_accounts_say_nothing_but_that() -> None:
    assert {
        "account": KEY,
        "deployment": "main",
        "address": KEY.partition(":")[2],
        "status": "absent",
    } == absent_account(KEY)
    assert {**absent_account(KEY), "status": "unsupported"} == unsupported_account(KEY)


def test_a_mark_says_when_it_was_true_and_when_it_came() -> None:
    view = mark_view(MARK, mark_body())

    assert {
        "market": MARK,
        "source": "binance-futures",
        "symbol": "BTCUSDT",
        "mark": "100.5",
        "index": "100.25",
        "funding_rate": "-0.0001",
        "next_funding": "2025-04-30T00:53:20.000Z",
        "next_funding_ns": "1745974400000000000",
        "event": "2025-04-29T23:53:18.950Z",
        "event_ns": "1745970798950000000",
        "received": "2025-04-29T23:53:19.000Z",
        "received_ns": "1745970799000000000",
        "offset": 5,
    } == view
    validate_rest("/v1/marks/x", 200, view)


def test_what_a_source_does_not_say_is_absent_from_its_mark() -> None:
    view = mark_view(MARK, mark_body(index=None, funding_rate=None, next_funding_ms=None))

    assert {"index", "funding_rate", "next_funding", "next_funding_ns"}.isdisjoint(view)


def test_a_market_says_what_its_chain_did() -> None:
    assert {
        "deployment": "main",
        "symbol_id": 1,
        "symbol": "BTCUSDT",
        "is_valid": True,
        "min_acceptable_quote_value": "5",
        "min_acceptable_portion_lf": "0.003",
        "trading_fee": "0.0008",
        "max_leverage": "60",
        "funding_rate_epoch_duration_s": 28_800,
        "funding_rate_window_s": 600,
    } == market_view("main:1", market_body())
    assert {"deployment", "symbol_id", "symbol"} == market_view(
        "main:1",
        dict.fromkeys(market_body()) | {"name": ""},
    ).keys()


@pytest.mark.parametrize(
    ("view_of", "key", "body"),
    [
        (account_view, KEY, valuation_body()),
        (figures_view, KEY, valuation_body()),
        (positions_view, KEY, valuation_body()),
        (mark_view, MARK, mark_body()),
        (market_view, "main:1", market_body()),
    ],
)
def test_a_body_that_lacks_a_field_or_holds_no_number_is_a_bad_row(
    view_of: Callable[[str, dict[str, Any]], dict[str, Any]], key: str, body: dict[str, Any]
) -> None:
    with pytest.raises(BadRow, match="expected the body of a"):
        view_of(key, {})
    broken = {
        name: "x" if isinstance(value, str) and value.lstrip("-").isdigit() else value for name, value in body.items()
    }
    broken |= {"positions": [position_body(quantity="x")]} if "positions" in body else {}
    with pytest.raises(BadRow, match="invalid literal"):
        view_of(key, broken)


@pytest.mark.parametrize(
    ("upnl", "expected"),
    [
        ("-111", None),
        ("-113", {"class": "normal", "fee": "1", "deficit": "0"}),
        ("-118", {"class": "late", "fee": "0", "deficit": "4"}),
        ("-121", {"class": "overdue", "fee": "0", "deficit": "1"}),
    ],
)
def test_an_account_that_can_be_liquidated_says_what_that_would_use_up(
    upnl: str, expected: dict[str, str] | None
) -> None:
    # 120 are allocated, of which 6 are locked as cva and 3 as the liquidation fee: at -111 nothing is left.
    body = valuation_body(upnl=e18(upnl), liquidatable=expected is not None)

    assert expected == figures_view("main:0x" + "a" * 40, body).get("liquidation")


def test_an_account_of_a_multi_account_says_which_and_what_it_is_called() -> None:
    maker = "0x" + "c" * 40
    named = figures_view("main:0x" + "a" * 40, valuation_body(multi_account=maker, name="hedge"))
    plain = figures_view("main:0x" + "a" * 40, valuation_body())

    assert (maker, "hedge") == (named["multi_account"], named["name"])
    assert not {"multi_account", "name"} & plain.keys()


_positions = st.lists(
    st.builds(
        position_body,
        quote=st.integers(1, 3),
        symbol=st.integers(1, 2),
        side=st.sampled_from(("long", "short")),
        quantity=st.sampled_from((e18("1"), e18("10"))),
        mark=st.sampled_from((e18("99"), e18("100"), None)),
        stale=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda position: str(position["quote"]),
)
_bodies = st.builds(
    valuation_body, positions=_positions, available_balance=st.sampled_from((e18("98.5"), e18("-3"), None))
)


@given(st.lists(_bodies, max_size=6))
def test_positions_that_were_viewed_before_change_no_view_and_no_view_changes_later(
    bodies: list[dict[str, Any]],
) -> None:
    kept = KeptPositions()
    anew = [account_view(KEY, body) for body in bodies]
    views = [account_view(KEY, body, kept) for body in bodies]

    assert list(map(json.dumps, anew)) == list(map(json.dumps, views))
