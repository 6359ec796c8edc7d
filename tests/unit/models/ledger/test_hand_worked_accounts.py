"""Twelve accounts worked by hand, with the arithmetic: what their rows say, and at which price they are liquidated."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_figures import position_figures
from models.ledger.ledger_settings import Tier
from models.ledger.ledger_state import Holdings
from models.ledger.ledger_valuation import value_account
from models.ledger.priced_account import PricedAccount
from models.money import format_e18
from tests.support.ledger import NOW_MS, StandingInputs, holdings, inputs, order, position, wallet

FIGURES = ("upnl", "upnl_net", "notional", "equity", "available_balance")
TWO_TIERS = (Tier(initial="0.1", maintenance="0.05", up_to="1000"), Tier(initial="0.2", maintenance="0.1"))
PERP = "tBTCF0:USTF0"


class Worked(NamedTuple):
    """An account, and what was worked out: its figures, distance in bps, liquidation price and leverage by symbol."""

    held: Holdings
    now: StandingInputs
    figures: tuple[str, ...]
    bps: int | None
    prices: dict[str, tuple[str | None, str | None]]
    stale: int = 0
    unpriced: int = 0


ACCOUNTS = {
    # 1. Nothing but money: 250 - 30 in margin wallets; the exchange wallet is no margin.
    "no position": Worked(
        holdings(wallet("250"), wallet("-30", "UST"), wallet("999", type_="exchange")),
        inputs({"tUSTUSD": "1"}, paths={"UST": ["tUSTUSD"]}),
        ("0", "0", "0", "220", "220"), None, {},
    ),
    # 2. A long that gains. 2 x (120 - 100) = 40; fee 0.002 x 240 = 0.48; PL 39.52; equity 139.52; 15 % of 240 are 36.
    # Liquidated where 100 + 2 (P - 100) - 0.004 P = 0.3 P: 1.696 P = 100, P = 58.962264150943396226...
    # 240 / 139.52 = 1.720183486238532110...
    "a long that gains": Worked(
        holdings(wallet("100"), position("2", "100")), inputs({"tBTCUSD": "120"}),
        ("40", "39.52", "240", "139.52", "103.52"), 4313,
        {"tBTCUSD": ("58.962264150943396227", "1.72018348623853211")},
    ),
    # 3. A long that loses, and is liquidated: 2 x (55 - 100) = -90; fee 0.22; equity 9.78; 15 % of 110 are 16.5.
    # The price above which it would be sound again is that of account 2.
    "a long beyond its price": Worked(
        holdings(wallet("100"), position("2", "100")), inputs({"tBTCUSD": "55"}),
        ("-90", "-90.22", "110", "9.78", "-6.72"), -611,
        {"tBTCUSD": ("58.962264150943396227", "11.247443762781186094")},
    ),
    # 4. A short. -0.5 x (90 - 100) = 5; fee 0.09; equity 24.91; 15 % of 45 are 6.75.
    # 20 - 0.5 (P - 100) - 0.001 P = 0.075 P: 0.576 P = 70, P = 121.527...
    "a short that gains": Worked(
        holdings(wallet("20"), position("-0.5", "100")), inputs({"tBTCUSD": "90"}),
        ("5", "4.91", "45", "24.91", "18.16"), 4035,
        {"tBTCUSD": ("121.527777777777777777", "1.806503412284223203")},
    ),
    # 5. Without a fee, in two tiers: 15 x (100 - 90) = 150; 1,500 need 5 % of 1,000 and 10 % of 500: 100.
    # 300 + 15 (P - 90) = 50 + 0.1 (15 P - 1,000) in the second tier: 13.5 P = 1,000, P = 74.07...; 15 P > 1,000 holds.
    "two tiers": Worked(
        holdings(wallet("300"), position("15", "90")), inputs({"tBTCUSD": "100"}, fee="0", tiers=TWO_TIERS),
        ("150", "150", "1500", "450", "350"), 2333,
        {"tBTCUSD": ("74.074074074074074075", "3.333333333333333333")},
    ),
    # 6. The same with more money is liquidated in the first tier: 600 + 15 (P - 90) = 0.05 x 15 P: 14.25 P = 750.
    "liquidated in a lower tier": Worked(
        holdings(wallet("600"), position("15", "90")), inputs({"tBTCUSD": "100"}, fee="0", tiers=TWO_TIERS),
        ("150", "150", "1500", "750", "650"), 4333, {"tBTCUSD": ("52.631578947368421053", "2")},
    ),
    # 7. Money in BTC, and long BTC: both fall together. 1 x 100 + 1 x (100 - 80) = 120; fee 0.2; 15 are required.
    # P + (P - 80) - 0.002 P = 0.15 P: 1.848 P = 80, P = 43.290...
    "collateral in what is held": Worked(
        holdings(wallet("1", "BTC"), position("1", "80")), inputs({"tBTCUSD": "100"}, paths={"BTC": ["tBTCUSD"]}),
        ("20", "19.8", "100", "119.8", "104.8"), 10480,
        {"tBTCUSD": ("43.290043290043290044", "0.834724540901502504")},
    ),
    # 8. Money in BTC, and as much BTC short: no price liquidates it upwards but where fee and margin eat the money.
    # P - (P - 100) - 0.002 P = 0.15 P: 0.152 P = 100, P = 657.89...
    "hedged by its collateral": Worked(
        holdings(wallet("1", "BTC"), position("-1", "100")), inputs({"tBTCUSD": "100"}, paths={"BTC": ["tBTCUSD"]}),
        ("0", "-0.2", "100", "99.8", "84.8"), 8480,
        {"tBTCUSD": ("657.894736842105263157", "1.002004008016032064")},
    ),
    # 9. A derivative in USTF0 at 0.99 USD. 0.5 x (110 - 100) = 5 USTF0 = 4.95 USD; fee 0.11 = 0.1089 USD;
    # 50 USTF0 = 49.5 USD; equity 49.5 + 4.8411; required 15 % of 55 = 8.25 USTF0 = 8.1675 USD.
    # In USTF0: 50 + 0.5 (P - 100) - 0.001 P = 0.075 P: P would be 0, so that no price above 0 liquidates it.
    "a derivative that no price liquidates": Worked(
        holdings(wallet("50", "USTF0"), position("0.5", "100", PERP, type="derivative")),
        inputs({PERP: "110", "tUSTUSD": "0.99"}, paths={"USTF0": ["tUSTUSD"]}),
        ("4.95", "4.8411", "54.45", "54.3411", "46.1736"), 8480, {PERP: (None, "1.002004008016032064")},
    ),
    # 10. Two positions carry each other. BTC: 1 x (110 - 100) = 10, fee 0.22; ETH: -10 x (11 - 10) = -10, fee 0.22.
    # Equity 40 - 0.44; required 15 % of 110 twice: 33. BTC alone may fall until 6.56 are gone:
    # 40 + (P - 100) - 0.002 P - 10.22 = 0.15 P + 16.5: 0.848 P = 86.72. ETH: 40 + 9.78 - 10 (Q - 10) - 0.02 Q =
    # 16.5 + 1.5 Q: 11.52 Q = 133.28.
    "two positions": Worked(
        holdings(wallet("40"), position("1", "100"), position("-10", "10", "tETHUSD")),
        inputs({"tBTCUSD": "110", "tETHUSD": "11"}),
        ("0", "-0.44", "220", "39.56", "6.56"), 298,
        {
            "tBTCUSD": ("102.264150943396226416", "2.780586450960566228"),
            "tETHUSD": ("11.569444444444444444", "2.780586450960566228"),
        },
    ),
    # 11. A pair quoted in BTC: 100 x (0.06 - 0.05) = 1 BTC at 50 = 50 USD; fee 0.002 x 6 BTC = 0.6 USD; notional 300;
    # equity 500 + 49.4; required 45. 500 + 50 x (100 (P - 0.05) - 0.2 P) = 50 x 15 P: 4,240 P < 0 at no P > 0: 250 USD
    # is all that it can lose. Orders that stand change none of this.
    "a pair quoted in another currency": Worked(
        holdings(wallet("500"), position("100", "0.05", "tETHBTC"), order(1, "5", "0.04", "tETHBTC")),
        inputs({"tETHBTC": "0.06", "tBTCUSD": "50"}, paths={"BTC": ["tBTCUSD"]}),
        ("50", "49.4", "300", "549.4", "504.4"), 16813, {"tETHBTC": (None, "0.546050236621769202")},
    ),
    # 12. More legs than one: XYZ becomes EUR at 2, EUR becomes USD at 1.1. 3 x (7 - 5) = 6 XYZ = 13.2 USD; fee 0.042
    # XYZ = 0.0924 USD; notional 21 XYZ = 46.2; equity 10 x 2.2 + 13.1076; required 3.15 XYZ = 6.93.
    # 10 + 3 (P - 5) - 0.006 P = 0.45 P in XYZ: 2.544 P = 5, P = 1.965...
    "two legs": Worked(
        holdings(wallet("10", "XYZ"), position("3", "5", "tABCXYZ")),
        inputs({"tABCXYZ": "7", "tXYZEUR": "2", "tEURUSD": "1.1"}, paths={"XYZ": ["tXYZEUR", "tEURUSD"]}),
        ("13.2", "13.1076", "46.2", "35.1076", "28.1776"), 6099,
        {"tABCXYZ": ("1.965408805031446541", "1.315954380248151397")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_account_worked_by_hand(name: str) -> None:
    worked = ACCOUNTS[name]
    account = LedgerAccount(applied=(4, -1), version=3, holdings=worked.held, heard=1)
    body, shown = value_account(account, 9, worked.now, unsupported=False)
    assert tuple(format_e18(int(body[one])) for one in FIGURES) == worked.figures
    assert (body["status"], body["stale"], body["unpriced"]) == ("valued", worked.stale, worked.unpriced)
    assert body["liquidatable"] is worked.figures[-1].startswith("-")
    assert body["distance_bps"] == worked.bps
    assert shown is not None
    assert shown.available == pytest.approx(float(worked.figures[-1]))
    prices = {one["quote"]: one["liquidation_price"] for one in body["positions"]}
    assert {symbol: None if one is None else format_e18(int(one)) for symbol, one in prices.items()} == {
        symbol: price for symbol, (price, _) in worked.prices.items()
    }
    for symbol, (_, leverage) in worked.prices.items():
        figures = position_figures(PricedAccount(worked.held, worked.now), symbol)
        assert figures is not None
        assert figures.leverage_e18 is not None
        assert format_e18(figures.leverage_e18) == leverage


def test_there_are_twelve() -> None:
    assert len(ACCOUNTS) == 12


def test_what_lacks_a_price_is_counted_and_its_figures_are_unknown() -> None:
    held = holdings(
        wallet("10"), wallet("5", "EUR"), wallet("0", "JPY"), position("1", "10"), position("2", "3", "tETHEUR")
    )
    now = inputs({"tBTCUSD": "11", "tETHEUR": "4"})
    account = LedgerAccount(applied=(4, -1), version=3, holdings=held, heard=1)
    body, shown = value_account(account, 9, now, unsupported=False)
    assert shown is None
    # The wallet and the position that are in EUR.
    assert (body["status"], body["unpriced"]) == ("unpriced", 2)
    assert {body[one] for one in (*FIGURES, "liquidatable", "distance_bps")} == {None}
    assert [(one["mark"] is None, one["upnl"]) for one in body["positions"]] == [(False, str(10**18)), (False, None)]
    assert body["as_of_ms"] == NOW_MS


def test_stale_marks_are_counted_of_prices_and_of_conversions() -> None:
    held = holdings(wallet("5", "UST"), position("1", "10"), position("2", "3", "tETHUST"))
    fresh = inputs({"tBTCUSD": "11", "tETHUST": "4", "tUSTUSD": "1"}, paths={"UST": ["tUSTUSD"]})
    now = StandingInputs({"tBTCUSD": "11", "tETHUST": "4", "tUSTUSD": "1"}, fresh.settings, stale=["tUSTUSD"])
    account = LedgerAccount(applied=(4, -1), version=3, holdings=held, heard=1)
    body, _ = value_account(account, 9, now, unsupported=False)
    assert (body["status"], body["stale"]) == ("valued", 2)
    assert [one["stale"] for one in body["positions"]] == [False, True]


@pytest.mark.parametrize(
    ("held", "status"),
    [
        (holdings(wallet("1"), suspect="expected record 2"), "suspect"),
        (holdings(wallet("1")), "unsupported"),
        (Holdings(), "nobody"),
    ],
)
def test_what_is_not_known_has_no_figures(held: Holdings, status: str) -> None:
    account = LedgerAccount(applied=(4, -1), version=3, holdings=held, heard=1)
    body, shown = value_account(account, 9, inputs({}), unsupported=status == "unsupported")
    assert (body["status"], shown, body["equity"], body["liquidatable"]) == (status, None, None, None)
