"""What an account of paper trading is worth."""

import json

from tidemark_paper import PACKAGE

from tidemark.venue import E18
from tidemark.venue_testing import GivenInputs, TriedAccount

CASH = {"kind": "cash", "time_ms": 1, "amount": "1000"}
SHORT = {"kind": "position", "time_ms": 2, "market": "BTCUSDT", "size": "-0.5", "entry": "60000"}


def test_a_short_gains_when_the_mark_falls() -> None:
    account = TriedAccount(PACKAGE.venue)
    account.say(json.dumps(CASH).encode(), json.dumps(SHORT).encode())

    assert str(500 * E18) == account.value(GivenInputs({"BTCUSDT": "59000"}))["upnl"]
    assert "unpriced" == account.value(GivenInputs({}))["status"]
    account.expect_line_below(GivenInputs({"BTCUSDT": "59000"}), GivenInputs({"BTCUSDT": "90000"}))


def test_what_cannot_be_read_makes_the_account_suspect() -> None:
    account = TriedAccount(PACKAGE.venue)
    account.say(json.dumps(CASH).encode(), b"nonsense")

    assert "expected a record of paper trading" in account.account.suspicion
    assert "suspect" == account.value(GivenInputs({}))["status"]
