"""What an account of a desk is worth, and that rows of before there were euros are read."""

import json
from typing import Any

import pytest
from tidemark_desk import PACKAGE

from tidemark.venue import E18
from tidemark.venue_testing import GivenInputs, TriedAccount

BITCOIN = {"BTCUSDT": ["-0.5", "60000"]}
MARKS = GivenInputs({"BTCUSDT": "59000", "EURUSD": "1.1"})


def whole(wallets: dict[str, str], positions: dict[str, list[str]], **orders: list[str]) -> bytes:
    said = {"kind": "whole", "time_ms": 1, "wallets": wallets, "positions": positions, "orders": orders}
    return json.dumps(said).encode()


def wallet(currency: str, amount: str) -> bytes:
    return json.dumps({"kind": "wallet", "time_ms": 2, "currency": currency, "amount": amount}).encode()


def tried(*records: bytes) -> TriedAccount:
    account = TriedAccount(PACKAGE.venue)
    account.say(*records)
    return account


def figures(body: Any, *names: str) -> list[Any]:  # noqa: ANN401 - JSON
    return [body[name] for name in names]


def test_euros_are_worth_what_their_mark_says_beside_dollars_and_positions() -> None:
    account = tried(whole({"USD": "1000"}, BITCOIN), wallet("EUR", "200"))
    body = account.value(MARKS)

    # 1,000 dollars, 200 x 1.1, and 0.5 x 1,000 gained; 5 % of 30,000 are kept back.
    assert ["valued", str(1_720 * E18), str(220 * E18)] == figures(body, "status", "equity", "available_balance")
    assert {"euros_in_usd": "220"} == PACKAGE.venue.view(body)


@pytest.mark.parametrize(("marks", "unpriced"), [({"BTCUSDT": "1"}, 1), ({"EURUSD": "1"}, 1), ({}, 2)])
def test_a_mark_that_is_missing_makes_figures_unknown(marks: dict[str, str], unpriced: int) -> None:
    body = tried(whole({"EUR": "200"}, BITCOIN)).value(GivenInputs(marks))

    assert ["unpriced", unpriced, None, None] == figures(body, "status", "unpriced", "equity", "upnl")


def test_euros_without_a_position_are_as_old_as_their_mark() -> None:
    body = tried(wallet("EUR", "200")).value(GivenInputs({"EURUSD": "1.1"}, stale=["EURUSD"], at_ms=5))

    assert [1, 5] == figures(body, "stale", "as_of_ms")


@pytest.mark.parametrize("euros", ["0", "200", "-200"])
def test_the_line_says_what_is_left(euros: str) -> None:
    account = tried(whole({"USD": "1000", "EUR": euros}, BITCOIN))

    account.expect_line_below(MARKS, GivenInputs({"BTCUSDT": "75000", "EURUSD": "0.8"}))


def test_a_record_that_cannot_be_read_makes_the_account_suspect_until_a_whole() -> None:
    account = tried(wallet("USD", "1000"), wallet("GBP", "5"))
    assert "expected a record of a desk" in account.account.suspicion
    assert account.account.suspicion == (account.statement or {})["suspect"]
    assert ["suspect", None] == figures(account.value(MARKS), "status", "equity")
    account.say(wallet("USD", "7"))
    assert "suspect" == account.value(MARKS)["status"]
    account.say(whole({"USD": "3"}, {}))

    assert ["valued", str(3 * E18)] == figures(account.value(MARKS), "status", "equity")


def test_the_page_is_shown_wallets_and_orders() -> None:
    account = tried(whole({"EUR": "200"}, {}, a=["BTCUSDT", "-0.1", "70000"]))

    assert account.statement is not None
    assert ["EUR"] == [one["currency"] for one in account.statement["wallets"]]
    assert ["-0.1"] == [one["amount"] for one in account.statement["orders"]]


def test_a_row_of_schema_1_is_read_as_dollars() -> None:
    former = {"time_ms": 1, "dollars": "1000", "positions": BITCOIN}
    body = {"venue": "desk", "schema": 1, "applied": [4, -1], "suspect": None, "state": former}
    account = TriedAccount(PACKAGE.venue, json.dumps(body).encode())
    account.say(wallet("EUR", "200"))

    assert str(1_720 * E18) == account.value(MARKS)["equity"]
