from __future__ import annotations

import pytest

from api.dialects.symmio.frames import parse_address, upnl_object
from models.errors import BadRow
from tests.support.feed import e18, empty_account_body, last_complete, unpriced_body, valuation_body

ADDRESS = "0x" + "aB" * 20


@pytest.mark.parametrize(
    "text",
    [
        ADDRESS,
        ADDRESS.lower(),
        ADDRESS.upper(),
        f'"{ADDRESS}"',
        f"  {ADDRESS}\n",
        f' " {ADDRESS} " ',
    ],
)
def test_an_address_is_read_in_any_case_with_quotes_and_space(text: str) -> None:
    assert ADDRESS.lower() == parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        "{}",
        f'{{"address":"{ADDRESS}"}}',
        f'["{ADDRESS}"]',
        f'"{ADDRESS}',
        f"'{ADDRESS}'",
        ADDRESS[:-1],
        ADDRESS + "0",
        f"{ADDRESS} {ADDRESS}",
        ADDRESS[2:],
        "0x" + "g" * 40,
        "0x" + "\u0661" * 40,
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    assert parse_address(text) is None


def test_a_valued_account_has_exactly_the_legacy_keys_with_exact_decimal_texts() -> None:
    body = valuation_body(upnl=e18("-12.000000000000000001"))

    assert {
        "upnl": "-12.000000000000000001",
        "notional": "1000",
        "timestamp": 1_745_970_777,
        "available_balance": "98.5",
        "allocated_balance": "120",
        "cva": "6",
        "lf": "3",
        "party_a_mm": "91",
        "party_b_mm": "0.25",
        "pending_cva": "1",
        "pending_lf": "2",
        "pending_party_a_mm": "4",
        "pending_party_b_mm": "8",
    } == upnl_object(body)


def test_an_account_without_positions_has_zero_upnl_and_its_real_balances() -> None:
    legacy = upnl_object(empty_account_body())

    assert legacy is not None
    assert ("0", "0", "120", "120", 1_745_970_600) == tuple(
        legacy[name] for name in ("upnl", "notional", "allocated_balance", "available_balance", "timestamp")
    )


def test_a_liquidating_account_has_the_full_object() -> None:
    assert upnl_object(valuation_body()) == upnl_object(valuation_body(liquidating=True, liquidatable=True))


def test_a_stale_account_has_the_values_and_the_time_of_its_row() -> None:
    assert upnl_object(valuation_body()) == upnl_object(valuation_body(stale=1))


def test_an_unpriced_account_has_its_last_complete_figures_under_their_old_time() -> None:
    legacy = upnl_object(unpriced_body(last_complete=last_complete()))

    assert legacy is not None
    assert ("3.000000000000000001", "900", "114", 1_745_970_000) == tuple(
        legacy[name] for name in ("upnl", "notional", "available_balance", "timestamp")
    )


@pytest.mark.parametrize(
    "body",
    [
        unpriced_body(last_complete=None),
        valuation_body(status="suspect"),
        valuation_body(status="unsupported"),
        valuation_body(status="suspect", last_complete=last_complete()),
        valuation_body(status="a status of a later version"),
        {},
    ],
)
def test_unknown_figures_are_not_rendered(body: dict[str, object]) -> None:
    assert upnl_object(body) is None


@pytest.mark.parametrize("changes", [{"upnl": None}, {"locked": ["0"]}, {"notional": "1.5"}, {"as_of_ms": None}])
def test_a_valued_row_without_its_figures_is_a_bad_row(changes: dict[str, object]) -> None:
    with pytest.raises(BadRow, match="expected complete figures"):
        upnl_object(valuation_body(**changes))
