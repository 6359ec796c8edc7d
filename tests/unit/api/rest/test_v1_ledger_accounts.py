"""Accounts of a ledger over REST: the figures of docs/figures.md, and answers as openapi.yaml has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_valuation import value_account
from models.subtotals import Counted, Subtotals
from models.valuations import with_last_complete
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables
from tests.support.ledger import holdings, inputs, position, wallet
from tests.support.rest import NOW_MS, get

if TYPE_CHECKING:
    from streams.settings import Settings

KEY = "desk:u1"
FIGURES = ("upnl", "upnl_net", "notional", "equity", "available_balance")
HELD = holdings(wallet("1000"), position("0.2", "150"))
PRICED, UNPRICED = inputs({"tBTCUSD": "153.62"}), inputs({}, symbols=("tBTCUSD",))


def settings() -> Settings:
    own = api_settings("main")
    desk = LedgerDeploymentSettings(default_sources=("bitfinex",))
    return own.model_copy(update={"deployments": {**own.deployments, "desk": desk}})


def tables(*bodies: dict[str, Any]) -> FakeTables:
    """Rows of one account as a worker writes them, one after another, and its partition's sums."""
    made, sums = FakeTables("main", "desk"), Subtotals()
    before: dict[str, Any] | None = None
    counted: Counted | None = None
    for version, body in enumerate(bodies, 1):
        row = with_last_complete(before, body)
        counted = sums.put("desk", counted, row)
        made.valuations.put(KEY, version, row)
        before = row
    for key, body in sums.take_changed(0, set()):
        made.subtotals.put(key.decode(), 1, body)
    return made


def body(now: Any = PRICED, held: Any = HELD) -> dict[str, Any]:  # noqa: ANN401 - inputs and holdings as above
    account = LedgerAccount(applied=(0, -1), version=1, heard=1, holdings=held)
    return dict(value_account(account, 1, now, unsupported=False).body)


async def test_fees_of_closing_are_in_the_venues_own_upnl_in_equity_and_in_no_other() -> None:
    async with serving(tables(body()), settings(), clock_ms=lambda: NOW_MS) as client:
        account = (await get(client, f"/v1/accounts/{KEY}")).body
        totals = (await get(client, "/v1/totals?deployment=desk")).body["items"][0]
    # 0.2 x 3.62; less 0.002 x 30.724; 1000 and that; less 0.15 x 30.724.
    assert ["0.724", "0.662552", "30.724", "1000.662552", "996.053952"] == [account[name] for name in FIGURES]
    assert (False, 324_194) == (account["liquidatable"], account["distance_bps"])
    assert [account["upnl"], account["notional"]] == [totals["upnl"], totals["notional"]]
    assert "party_b" not in account["positions"]["tBTCUSD"]


async def test_a_price_that_is_missing_leaves_the_last_complete_figures() -> None:
    async with serving(tables(body(), body(UNPRICED)), settings(), clock_ms=lambda: NOW_MS) as client:
        account = (await get(client, f"/v1/accounts/{KEY}")).body
    assert ("unpriced", 1) == (account["status"], account["unpriced"])
    assert account.keys().isdisjoint(FIGURES)
    last = account["last_complete"]
    assert ["0.724", "0.662552", "30.724", "1000.662552", "996.053952"] == [last[name] for name in FIGURES]


async def test_of_a_suspect_account_no_figure_is_shown() -> None:
    doubted = body(held=holdings(wallet("1000"), position("0.2", "150"), suspect="record 2 is missing"))
    async with serving(tables(doubted), settings(), clock_ms=lambda: NOW_MS) as client:
        account = (await get(client, f"/v1/accounts/{KEY}")).body
    assert "suspect" == account["status"]
    assert account.keys().isdisjoint(FIGURES)
