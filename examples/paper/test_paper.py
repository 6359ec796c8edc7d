"""What an account of paper trading is worth."""

import json
from typing import Any

import pytest
from tidemark_paper import PACKAGE

from tidemark.venue import E18, BadRecord
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


def cash(seq: int, amount: str) -> bytes:
    return json.dumps({**CASH, "seq": seq, "amount": amount}).encode()


def snapshot(seq: int, cash: str) -> bytes:
    return json.dumps({"kind": "snapshot", "time_ms": 3, "cash": cash, "positions": {}, "seq": seq}).encode()


def tried(*records: bytes) -> TriedAccount:
    account = TriedAccount(PACKAGE.venue)
    account.say(*records)
    return account


def equity(account: TriedAccount) -> Any:  # noqa: ANN401 - JSON
    return account.value(GivenInputs({}))["equity"]


@pytest.mark.parametrize("old", [cash(1, "1"), cash(2, "2"), snapshot(2, "7")])
def test_a_record_that_was_folded_before_changes_nothing_when_it_is_sent_again(old: bytes) -> None:
    account = tried(cash(1, "1"), cash(2, "2"), old)

    assert [1, str(2 * E18)] == [account.account.applied[0], equity(account)]


def test_a_record_that_is_missing_makes_the_account_suspect_until_a_newer_snapshot() -> None:
    account = tried(cash(1, "1"), cash(2, "2"), cash(9, "9"))
    assert "expected record 3, found 9" in account.account.suspicion
    account.say(snapshot(1, "1"), snapshot(2, "2"), cash(3, "3"))
    assert account.is_suspect
    account.say(snapshot(10, "10"), cash(11, "11"))

    assert [False, str(11 * E18)] == [account.is_suspect, equity(account)]


def test_what_cannot_be_read_of_a_suspect_account_is_refused() -> None:
    account = tried(cash(1, "1"), b"nonsense")
    with pytest.raises(BadRecord, match="expected a record of paper trading"):
        account.say(b"more nonsense")

    assert account.is_suspect
