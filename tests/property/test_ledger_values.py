"""A ledger's values, on accounts, prices and settings of any kind: against an oracle written apart, and their lines.

The oracle counts in ``Decimal`` and takes nothing from ``models``: amounts, prices and settings come to it as texts.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.book_figures import MOVE_MAX
from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_exposure import exposure_of
from models.ledger.ledger_figures import base_margin, position_figures, symbol_margin
from models.ledger.ledger_settings import Tier
from models.ledger.ledger_valuation import value_account
from models.ledger.priced_account import PricedAccount
from tests.support.ledger import holdings, inputs, position, wallet

if TYPE_CHECKING:
    from models.ledger.ledger_state import Holdings
    from tests.support.ledger import StandingInputs

SYMBOLS = ("tBTCUSD", "tETHUSD", "tETHBTC", "tABCXYZ", "tBTCF0:USTF0")
QUOTES = {"tBTCUSD": "USD", "tETHUSD": "USD", "tETHBTC": "BTC", "tABCXYZ": "XYZ", "tBTCF0:USTF0": "USTF0"}
PATHS = {"BTC": ["tBTCUSD"], "XYZ": ["tXYZBTC", "tBTCUSD"], "USTF0": ["tUSTUSD"]}
MARKETS = (*SYMBOLS, "tXYZBTC", "tUSTUSD")
# A unit of the last place for each truncated sum, with room.
CLOSE = Decimal("1e-15")
_bounded = settings(max_examples=60, deadline=None)


def decimals(least: str, most: str, places: int) -> st.SearchStrategy[str]:
    return st.decimals(least, most, places=places, allow_nan=False, allow_infinity=False).map(lambda one: f"{one:f}")


class Made(NamedTuple):
    """An account and its moment, as texts."""

    wallets: dict[str, str]
    positions: dict[str, tuple[str, str]]
    prices: dict[str, str]
    fee: str
    tiers: list[dict[str, str]]

    def held(self) -> Holdings:
        wallets = [wallet(balance, currency) for currency, balance in self.wallets.items()]
        return holdings(*wallets, *(position(*said, symbol) for symbol, said in self.positions.items()))

    def now(self, prices: dict[str, str] | None = None) -> StandingInputs:
        tiers = tuple(Tier(**one) for one in self.tiers)
        return inputs(self.prices if prices is None else prices, paths=PATHS, fee=self.fee, tiers=tiers)


@st.composite
def made(draw: st.DrawFn, *, is_linear: bool = False) -> Made:
    bounds = [] if is_linear else sorted(draw(st.sets(st.integers(1, 100_000), max_size=3)))
    rates = sorted(draw(st.lists(st.integers(1, 50), min_size=len(bounds) + 1, max_size=len(bounds) + 1)))
    tiers = [
        {"initial": f"0.{2 * rate:03d}", "maintenance": f"0.{rate:03d}"} | ({"up_to": str(bound)} if bound else {})
        for rate, bound in zip(rates, [*bounds, None], strict=True)
    ]
    amount = decimals("-50", "50", 4).filter(lambda text: Decimal(text) != 0)
    price = decimals("0.001", "5000", 6)
    currencies = ["USD", "BTC", "USTF0"] if is_linear else ["USD", "BTC", "XYZ", "USTF0"]
    symbols = [one for one in SYMBOLS if not is_linear or QUOTES[one] == "USD"]
    return Made(
        draw(st.dictionaries(st.sampled_from(currencies), decimals("-1000", "100000", 8))),
        draw(st.dictionaries(st.sampled_from(symbols), st.tuples(amount, price), max_size=4)),
        {market: draw(price) for market in MARKETS},
        draw(decimals("0", "0.01", 4)),
        tiers,
    )


class Oracle:
    """What an account is worth, as docs/bitfinex.md says it, step by step."""

    def __init__(self, one: Made) -> None:
        self.one = one
        self.prices = {market: Decimal(text) for market, text in one.prices.items()}

    def usd(self, amount: Decimal, currency: str) -> Decimal:
        for market in PATHS.get(currency, ()):
            amount *= self.prices[market]
        return amount

    def margin(self, notional: Decimal, kind: str) -> Decimal:
        margin, below = Decimal(0), Decimal(0)
        for tier in self.one.tiers:
            bound = Decimal(tier.get("up_to", "Infinity"))
            part = min(notional, bound) - below
            if part <= 0:
                break
            margin += part * Decimal(tier[kind])
            below = bound
        return margin

    def figures(self) -> dict[str, Decimal]:
        balance = sum((self.usd(Decimal(text), of) for of, text in self.one.wallets.items()), Decimal(0))
        upnl = net = notional = required = Decimal(0)
        for symbol, (amount, base) in self.one.positions.items():
            price, quote = self.prices[symbol], QUOTES[symbol]
            size = abs(Decimal(amount)) * price
            gain = Decimal(amount) * (price - Decimal(base))
            upnl += self.usd(gain, quote)
            net += self.usd(gain - Decimal(self.one.fee) * size, quote)
            notional += self.usd(size, quote)
            required += self.usd(self.margin(size, "maintenance"), quote)
        return {
            "upnl": upnl, "upnl_net": net, "notional": notional, "equity": balance + net,
            "available_balance": balance + net - required, "required": required, "balance": balance,
        }  # fmt: skip


def valued(one: Made, now: StandingInputs) -> dict[str, Any]:
    account = LedgerAccount(applied=(0, -1), version=1, holdings=one.held(), heard=1)
    return value_account(account, 1, now, unsupported=False).body


@_bounded
@given(made())
def test_the_row_says_what_the_oracle_counts(one: Made) -> None:
    with localcontext() as context:
        context.prec = 120
        expected = Oracle(one).figures()
        body = valued(one, one.now())
        for name in ("upnl", "upnl_net", "notional", "equity", "available_balance"):
            assert abs(Decimal(body[name]).scaleb(-18) - expected[name]) <= CLOSE, name
        base = base_margin(PricedAccount(one.held(), one.now()))
        said = (base.user_pl_e18, base.margin_balance_e18, base.margin_net_e18, base.margin_required_e18)
        for found, name in zip(said, ("upnl_net", "balance", "equity", "required"), strict=True):
            assert found is not None
            assert abs(Decimal(found).scaleb(-18) - expected[name]) <= CLOSE, name


@_bounded
@given(made())
def test_at_the_liquidation_price_equity_equals_maintenance(one: Made) -> None:
    with localcontext() as context:
        context.prec = 120
        for symbol, (amount, _) in one.positions.items():
            found = position_figures(PricedAccount(one.held(), one.now()), symbol)
            assert found is not None
            if found.price_liq_e18 is None:
                continue
            price = Decimal(found.price_liq_e18).scaleb(-18)
            # A unit of the price moves the room by the account's whole exposure to the market.
            exposed = abs(Decimal(amount)) * 3 + sum(abs(Decimal(text)) for text in one.wallets.values()) + 200
            scale = 1 + max(Decimal(text) for text in one.prices.values())
            room = Oracle(one._replace(prices={**one.prices, symbol: f"{price:f}"})).figures()["available_balance"]
            assert abs(room) <= Decimal("1e-18") * exposed * scale * scale * 100


@_bounded
@given(made(), st.data(), st.decimals("0.001", "5000", places=6))
def test_beyond_its_liquidation_price_a_position_s_account_is_liquidatable(
    one: Made, data: st.DataObject, price: Decimal
) -> None:
    assume(one.positions)
    symbol = data.draw(st.sampled_from(sorted(one.positions)))
    found = position_figures(PricedAccount(one.held(), one.now()), symbol)
    assert found is not None
    is_long = Decimal(one.positions[symbol][0]) > 0
    with localcontext() as context:
        context.prec = 120
        room = Oracle(one._replace(prices={**one.prices, symbol: f"{price:f}"})).figures()["available_balance"]
        if found.price_liq_e18 is None:
            # Sound at every price or at none, and so as it is now.
            assert (room >= 0) == (Oracle(one).figures()["available_balance"] >= 0)
            return
        liquidation = Decimal(found.price_liq_e18).scaleb(-18)
        # A hedge may turn the side on which it is liquidated; then the room shrinks the other way.
        step = Decimal("1e-6")
        near = Oracle(one._replace(prices={**one.prices, symbol: f"{liquidation + step:f}"})).figures()
        shrinks_below = near["available_balance"] > 0
        if shrinks_below and price < liquidation - step:
            assert room < 0
        if not shrinks_below and price > liquidation + step:
            assert room < 0
        assert shrinks_below == is_long or one.wallets or len(one.positions) > 1


@_bounded
@given(made(), st.lists(st.floats(-1, 1), min_size=len(MARKETS), max_size=len(MARKETS)))
def test_within_reach_the_line_never_understates_a_loss(one: Made, moves: list[float]) -> None:
    line = exposure_of("main", one.held(), one.now())
    with localcontext() as context:
        context.prec = 120
        prices = {
            market: f"{Decimal(one.prices[market]) * (1 + Decimal(move) * Decimal(MOVE_MAX)):.18f}"
            for market, move in zip(MARKETS, moves, strict=True)
        }
        assume(all(Decimal(text) > 0 for text in prices.values()))
        exact = Decimal(valued(one, one.now(prices))["available_balance"]).scaleb(-18)
    value = line.margin - line.cost + sum(signed * float(prices[str(of)]) for (_, of), signed in line.signed.items())
    # Decimals of the prices, and of the sum above, are no concern of the line.
    assert value - (line.slack or 0.0) <= float(exact) + 1e-9 * (1 + abs(line.cost) + abs(value))


@_bounded
@given(made(is_linear=True), st.lists(st.floats(0.01, 100), min_size=len(MARKETS), max_size=len(MARKETS)))
def test_in_usd_and_without_tiers_the_line_holds_at_any_price(one: Made, factors: list[float]) -> None:
    line = exposure_of("main", one.held(), one.now())
    assert line.slack is None
    prices = {
        market: f"{Decimal(one.prices[market]) * Decimal(factor):.6f}"
        for market, factor in zip(MARKETS, factors, strict=True)
    }
    assume(all(Decimal(text) > 0 for text in prices.values()))
    exact = float(Decimal(valued(one, one.now(prices))["available_balance"]).scaleb(-18))
    value = line.margin - line.cost + sum(signed * float(prices[str(of)]) for (_, of), signed in line.signed.items())
    assert abs(value - exact) <= 1e-9 * (1 + abs(line.cost) + abs(value) + abs(exact))


@_bounded
@given(made(), st.data())
def test_without_a_mark_the_line_still_names_the_market_and_the_row_has_no_figures(
    one: Made, data: st.DataObject
) -> None:
    currencies = [QUOTES[symbol] for symbol in one.positions] + [
        of for of, text in one.wallets.items() if Decimal(text) != 0
    ]
    needed = {*one.positions} | {leg for currency in currencies for leg in PATHS.get(currency, ())}
    assume(needed)
    market = data.draw(st.sampled_from(sorted(needed)))
    now = one.now({name: price for name, price in one.prices.items() if name != market})
    now.settings |= one.now().settings
    line = exposure_of("main", one.held(), now)
    assert {of for _, of in line.signed} == needed
    assert set(line.signed.values()) == {0.0}
    assert line.slack == 0.0
    body = valued(one, now)
    assert body["status"] == "unpriced"
    assert body["equity"] is None


@_bounded
@given(
    one=made(is_linear=True),
    amount=decimals("-50", "50", 4),
    price=decimals("1", "5000", 4),
    balance=decimals("0", "5000", 2),
    buys=st.booleans(),
)
def test_who_buys_or_sells_all_that_the_figures_say_has_no_more_room(
    one: Made, amount: str, price: str, balance: str, *, buys: bool
) -> None:
    tiers = tuple(Tier(**tier) for tier in one.tiers)
    now = inputs({"tBTCUSD": price}, fee="0", tiers=tiers)
    held = [] if Decimal(amount) == 0 else [position(amount, price)]
    before = symbol_margin(PricedAccount(holdings(wallet(balance), *held), now), "tBTCUSD")
    assert before is not None
    assert before.buy_e18 is not None
    assert before.sell_e18 is not None
    # At the mark there is no PL, so that the net value stays what the wallet has.
    with localcontext() as context:
        context.prec = 120
        moved = Decimal(before.buy_e18 if buys else -before.sell_e18).scaleb(-18) + Decimal(amount)
        assume(abs(moved) > Decimal("1e-12"))
        after = symbol_margin(PricedAccount(holdings(wallet(balance), position(f"{moved:f}", price)), now), "tBTCUSD")
        assert after is not None
        assert after.tradable_e18 is not None
        # A unit of the last place of the amount, and of the margin by the lowest rate of 0.002.
        assert Decimal(after.tradable_e18).scaleb(-18) <= Decimal("1e-15") * (Decimal(price) + 1_000)
