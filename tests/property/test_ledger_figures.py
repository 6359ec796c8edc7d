"""What ``calc`` answers of a ledger's account of any kind, against an oracle of docs/bitfinex.md (Figures).

The oracle counts in fractions and takes nothing from ``models``: the account, prices and settings come to it as texts.
Marks, paths and settings may be missing, wallets negative, orders at no price, several symbols priced by one market.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from models.ledger import ledger_figures as figures
from models.ledger.ledger_objects import Credit, Loan, Offer
from models.ledger.ledger_settings import (
    CurrencySettings,
    SymbolSettings,
    Tier,
    currency_reference,
    symbol_reference,
)
from models.ledger.priced_account import PricedAccount
from tests.support.ledger import StandingInputs, holdings, order, position, wallet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.ledger.ledger_settings import LedgerSettings

CURRENCIES = {
    "tBTCUSD": ("BTC", "USD"),
    "tETHUSD": ("ETH", "USD"),
    "tETHBTC": ("ETH", "BTC"),
    "tBTCF0:USTF0": ("BTCF0", "USTF0"),
    "tABCXYZ": ("ABC", "XYZ"),
}
MARKETS = (*CURRENCIES, "tUSTUSD", "tXYZBTC")
PATHS = {"BTC": ("tBTCUSD",), "ETH": ("tETHBTC", "tBTCUSD"), "USTF0": ("tUSTUSD",), "XYZ": ("tXYZBTC", "tBTCUSD")}
# The first rate is one of these thousandths at least, by which notionals are made of margins.
LEAST_RATE = Fraction(1, 1_000)
UNIT = Fraction(1, 10**18)


class Settings(NamedTuple):
    price: str
    fee: str
    # Bound, None of the last, with initial and maintenance rate.
    tiers: list[tuple[str | None, str, str]]


class Made(NamedTuple):
    """An account and its moment, as texts."""

    # (type, currency): balance and interest.
    wallets: dict[tuple[str, str], tuple[str, str]]
    # Amount, base price and what the venue set aside.
    positions: dict[str, tuple[str, str, str | None]]
    # Symbol, type, amount and price.
    orders: list[tuple[str, str, str, str]]
    offers: list[str]
    # Whether it is a credit; side, amount, rate and days. All of it is in USD.
    funding: list[tuple[bool, int, str, str, int]]
    prices: dict[str, str]
    symbols: dict[str, Settings]
    paths: dict[str, tuple[str, ...]]

    def account(self) -> PricedAccount:
        kept: list[object] = [
            wallet(balance, currency, type_, interest)  # type: ignore[arg-type]
            for (type_, currency), (balance, interest) in self.wallets.items()
        ]
        for symbol, (amount, base, collateral) in self.positions.items():
            kept.append(position(amount, base, symbol, collateral=collateral))
        kept += [order(at, amount, price, of, type_) for at, (of, type_, amount, price) in enumerate(self.orders)]
        for at, amount in enumerate(self.offers):
            kept.append(Offer(
                id=at, symbol="fUSD", type="LIMIT", status="ACTIVE", amount=amount, amount_orig="1", rate="0",
                period_days=2,
            ))  # fmt: skip
        for at, (is_credit, side, amount, rate, days) in enumerate(self.funding):
            form = Credit if is_credit else Loan
            kept.append(
                form(id=at, symbol="fUSD", side=side, status="ACTIVE", amount=amount, rate=rate, period_days=days)  # type: ignore[arg-type]
            )
        said: dict[str, LedgerSettings] = {
            symbol_reference(symbol): SymbolSettings(
                v=1,
                price=one.price,
                close_fee=one.fee,
                tiers=tuple(
                    Tier(initial=initial, maintenance=least, up_to=bound) for bound, initial, least in one.tiers
                ),
            )
            for symbol, one in self.symbols.items()
        }
        said |= {currency_reference(of): CurrencySettings(v=1, path=path) for of, path in self.paths.items()}
        return PricedAccount(holdings(*kept), StandingInputs(self.prices, said))


def texts(least: float, most: float, places: int) -> st.SearchStrategy[str]:
    return st.decimals(str(least), str(most), places=places).map(lambda one: f"{one:f}")


prices = st.one_of(texts(0.001, 5_000, 6), st.sampled_from(("0.000000000000000001", "1000000000", "1")))
balances = st.one_of(texts(-1_000, 100_000, 8), st.sampled_from(("0", "-0.000000000000000001", "9" * 24)))
amounts = st.one_of(texts(-50, 50, 4), st.sampled_from(("0.000000000000000001", "-1000000000000")))
open_amounts = amounts.filter(lambda text: Fraction(text) != 0)
order_types = st.sampled_from(("LIMIT", "STOP", "LIMIT", "EXCHANGE LIMIT"))


def some(names: Iterable[str]) -> st.SearchStrategy[set[str]]:
    """All of the names, or all but one: where much is missing, nothing is known and little is compared."""
    every = tuple(names)
    return st.sampled_from(("",) * 4 * len(every) + every).map(lambda missing: set(every) - {missing})


@st.composite
def symbol_settings(draw: st.DrawFn, symbol: str) -> Settings:
    bounds = sorted(draw(st.sets(st.integers(1, 100_000), max_size=2)))
    rates = sorted(draw(st.lists(st.integers(1, 500), min_size=len(bounds) + 1, max_size=len(bounds) + 1)))
    tiers = [
        (bound, f"0.{rate:03d}", f"0.{rate * 2 // 3:03d}")
        for bound, rate in zip([*map(str, bounds), None], rates, strict=True)
    ]
    market = draw(st.sampled_from((symbol, symbol, symbol, "tBTCUSD")))
    return Settings(market, draw(st.sampled_from(("0.002", "0", "0.5"))), tiers)


@st.composite
def made(draw: st.DrawFn) -> Made:
    currencies = ("USD", "BTC", "ETH", "USTF0", "XYZ")
    wallets = st.tuples(st.sampled_from(("exchange", "margin", "funding")), st.sampled_from(currencies))
    symbols = st.sampled_from(tuple(CURRENCIES))
    collateral = st.one_of(st.none(), st.none(), texts(0, 500, 2))
    side = st.sampled_from((-1, 0, 1))
    known = draw(some(CURRENCIES))
    return Made(
        draw(st.dictionaries(wallets, st.tuples(balances, st.sampled_from(("0", "0", "-1.5"))), max_size=5)),
        draw(st.dictionaries(symbols, st.tuples(open_amounts, prices, collateral), max_size=4)),
        draw(st.lists(st.tuples(symbols, order_types, amounts, st.one_of(st.just("0"), prices)), max_size=4)),
        draw(st.lists(amounts, max_size=2)),
        draw(
            st.lists(st.tuples(st.booleans(), side, texts(0, 100, 2), texts(-1, 1, 6), st.integers(0, 120)), max_size=3)
        ),
        {market: draw(prices) for market in sorted(draw(some(MARKETS)))},
        {symbol: draw(symbol_settings(symbol)) for symbol in sorted(known)},
        {of: PATHS[of] for of in sorted(draw(some(PATHS)))},
    )


class Oracle:
    """The figures of an account, as docs/bitfinex.md says them, step by step; None is unknown."""

    def __init__(self, one: Made) -> None:
        self.one = one
        self.prices = {market: Fraction(text) for market, text in one.prices.items()}

    def rate(self, currency: str) -> Fraction | None:
        """C: from a currency to USD."""
        rate = Fraction(1)
        if currency != "USD" and currency not in self.one.paths:
            return None
        for market in self.one.paths.get(currency, ()):
            if market not in self.prices:
                return None
            rate *= self.prices[market]
        return rate

    def mark(self, symbol: str) -> Fraction | None:
        """P: the mark of the market that the symbol's settings name."""
        said = self.one.symbols.get(symbol)
        return None if said is None else self.prices.get(said.price)

    def both(self, symbol: str) -> tuple[Fraction, Fraction] | None:
        """P and C of a symbol; None where one is missing."""
        mark, rate = self.mark(symbol), self.rate(CURRENCIES[symbol][1])
        return None if mark is None or rate is None else (mark, rate)

    def margin(self, symbol: str, notional: Fraction, *, initial: bool) -> Fraction:
        """I or M: each part of a notional at the rate of its tier."""
        margin = below = Fraction(0)
        for bound, opened, least in self.one.symbols[symbol].tiers:
            upto = notional if bound is None else min(notional, Fraction(bound))
            margin += max(Fraction(0), upto - below) * Fraction(opened if initial else least)
            below = max(below, upto)
        return margin

    def largest(self, symbol: str, margin: Fraction) -> Fraction:
        """The notional whose initial margin this is; 0 where it is negative."""
        below, left = Fraction(0), max(Fraction(0), margin)
        for bound, initial, _ in self.one.symbols[symbol].tiers:
            reached = below + left / Fraction(initial)
            if bound is None or reached <= Fraction(bound):
                return reached
            left -= (Fraction(bound) - below) * Fraction(initial)
            below = Fraction(bound)
        raise AssertionError

    def pl(self, symbol: str, mark: Fraction) -> Fraction:
        amount, base, _ = self.one.positions[symbol]
        fee = Fraction(self.one.symbols[symbol].fee)
        return Fraction(amount) * (mark - Fraction(base)) - fee * abs(Fraction(amount)) * mark

    def user_pl(self) -> Fraction | None:
        found = {symbol: self.both(symbol) for symbol in self.one.positions}
        return total(None if both is None else self.pl(symbol, both[0]) * both[1] for symbol, both in found.items())

    def required(self) -> Fraction | None:
        terms: list[Fraction | None] = []
        for symbol, (amount, _, _) in self.one.positions.items():
            both = self.both(symbol)
            size = abs(Fraction(amount))
            terms.append(None if both is None else self.margin(symbol, size * both[0], initial=False) * both[1])
        return total(terms)

    def worth(self, types: Sequence[str], *, interest: bool = False) -> Fraction | None:
        """What wallets of some types have, or are to be paid, in USD; those that have nothing need no path."""
        held = [
            (Fraction(said[interest]), self.rate(currency))
            for (type_, currency), said in self.one.wallets.items()
            if type_ in types and Fraction(said[interest])
        ]
        return total(None if rate is None else amount * rate for amount, rate in held)

    def net(self) -> Fraction | None:
        return total((self.worth(("margin",)), self.user_pl()))

    def committed(self, symbol: str, mark: Fraction) -> tuple[Fraction, Fraction, Fraction]:
        """H, B and S."""
        held = Fraction(self.one.positions[symbol][0]) * mark if symbol in self.one.positions else Fraction(0)
        values = [
            Fraction(amount) * (Fraction(price) or mark)
            for of, type_, amount, price in self.one.orders
            if of == symbol and not type_.startswith("EXCHANGE")
        ]
        buys, sells = (sum((max(sign * one, Fraction(0)) for one in values), Fraction(0)) for sign in (1, -1))
        return held, buys, sells

    def notional(self, symbol: str, mark: Fraction) -> Fraction:
        """N."""
        held, buys, sells = self.committed(symbol, mark)
        return max(abs(held), abs(held + buys), abs(held - sells))

    def free(self) -> Fraction | None:
        """F."""
        ordered = {of for of, type_, _, _ in self.one.orders if not type_.startswith("EXCHANGE")}
        terms = [self.net()]
        for symbol in {*ordered, *self.one.positions}:
            both = self.both(symbol)
            needed = None if both is None else self.margin(symbol, self.notional(symbol, both[0]), initial=True)
            terms.append(None if both is None or needed is None else -needed * both[1])
        return total(terms)

    def may_trade(self, symbol: str) -> tuple[Fraction | None, ...]:
        both, free = self.both(symbol), self.free()
        if both is None or free is None:
            return (None,) * 4
        mark, rate = both
        held, buys, sells = self.committed(symbol, mark)
        notional = self.notional(symbol, mark)
        gross = self.largest(symbol, self.margin(symbol, notional, initial=True) + free / rate)
        most = (gross - notional, gross, (gross - held - buys) / mark, (gross + held - sells) / mark)
        return tuple(max(Fraction(0), one) for one in most)

    def available(self, type_: str, currency: str) -> Fraction | None:
        balance = Fraction(self.one.wallets[type_, currency][0])
        left: Fraction | None = balance
        if type_ == "margin":
            free, rate = self.free(), self.rate(currency)
            left = None if free is None or rate is None else free / rate
        elif type_ == "exchange":
            held = total(self.holds(*one, currency=currency) for one in self.one.orders)
            left = None if held is None else balance - held
        elif currency == "USD":
            lent = [Fraction(amount) for _, side, amount, _, _ in self.one.funding if side >= 0]
            left = balance - sum((max(Fraction(0), Fraction(one)) for one in self.one.offers), sum(lent, Fraction(0)))
        return None if left is None else max(Fraction(0), min(left, balance))

    def holds(self, symbol: str, type_: str, amount: str, price: str, *, currency: str) -> Fraction | None:
        """What an order holds of an exchange wallet's currency."""
        base, quote = CURRENCIES[symbol]
        size = Fraction(amount)
        if not type_.startswith("EXCHANGE") or currency != (quote if size > 0 else base):
            return Fraction(0)
        at = Fraction(price) or self.mark(symbol)
        if size <= 0:
            return -size
        return None if at is None else size * at

    def means(self) -> tuple[Fraction, ...]:
        def mean(sides: tuple[int, int], at: int) -> Fraction:
            weighted = [(Fraction(one[2]), Fraction(one[at])) for one in self.one.funding if one[1] in sides]
            weight = sum((amount for amount, _ in weighted), Fraction(0))
            return sum((amount * value for amount, value in weighted), Fraction(0)) / (weight or 1)

        return mean((-1, 0), 3), mean((0, 1), 3), mean((-1, 0), 4), mean((0, 1), 4)


def total(terms: Iterable[Fraction | None]) -> Fraction | None:
    """A sum, unknown where one of its terms is."""
    known = list(terms)
    return None if None in known else sum((one for one in known if one is not None), Fraction(0))


def inverse(rate: Fraction | None) -> Fraction:
    return Fraction(1) / (rate or 1)


def same(found: int | None, expected: Fraction | None, units: Fraction | int = 40) -> None:
    """Compare a figure with what the oracle says: each truncation on the way may cost a unit of the last place."""
    assert (found is None) == (expected is None), (found, expected)
    if found is not None and expected is not None:
        assert abs(found * UNIT - expected) <= units * UNIT, (float(found * UNIT), float(expected))


_bounded = settings(max_examples=80, deadline=None)


@_bounded
@given(made())
def test_margin_balances_and_means_are_what_the_oracle_counts(one: Made) -> None:
    oracle, account = Oracle(one), one.account()
    base = figures.base_margin(account)
    swaps = oracle.worth(("margin",), interest=True)
    expected = (oracle.user_pl(), swaps, oracle.worth(("margin",)), oracle.net(), oracle.required())
    for found, said in zip(base, expected, strict=True):
        same(found, said)
    aum = oracle.worth(("exchange", "margin", "funding"))
    net = total((aum, oracle.worth(("exchange", "margin", "funding"), interest=True), oracle.user_pl()))
    same(figures.assets(account).aum_e18, aum)
    same(figures.assets(account).aum_net_e18, net)
    for found, mean in zip(figures.funding_figures(account.holdings, "fUSD"), oracle.means(), strict=True):
        same(found, mean, 1)


@_bounded
@given(made())
def test_what_may_be_traded_and_what_is_available_are_what_the_oracle_counts(one: Made) -> None:
    oracle, account = Oracle(one), one.account()
    for symbol in CURRENCIES:
        found, both = figures.symbol_margin(account, symbol), oracle.both(symbol)
        if symbol not in one.symbols:
            assert found is None
            continue
        assert found is not None
        # What is free in USD is right to some units, so what it comes to in the currency is to as many more.
        units = 40 * (1 + inverse(both[1] if both else None)) / LEAST_RATE
        more, gross, buy, sell = oracle.may_trade(symbol)
        same(found.tradable_e18, more, units)
        same(found.gross_e18, gross, units)
        same(found.buy_e18, buy, units * (1 + inverse(both[0] if both else None)))
        same(found.sell_e18, sell, units * (1 + inverse(both[0] if both else None)))
    for type_, currency in one.wallets:
        units = 40 * (1 + inverse(oracle.rate(currency)))
        same(figures.available_balance_e18(account, type_, currency), oracle.available(type_, currency), units)


@_bounded
@given(made())
def test_of_a_position_all_is_what_the_oracle_counts(one: Made) -> None:
    oracle, account = Oracle(one), one.account()
    net = oracle.net()
    for symbol, (amount, base, collateral) in one.positions.items():
        found, mark = figures.position_figures(account, symbol), oracle.mark(symbol)
        assert found is not None
        stated = None if collateral is None else Fraction(collateral)
        if mark is None:
            assert (None, None, None, None, None) == (*found[:4], found.collateral_min_e18)
            same(found.collateral_e18, stated, 0)
            continue
        size, paid, at, fee = float(amount), float(base), float(mark), float(one.symbols[symbol].fee)
        percent = (at - paid) / paid * 100
        assert (size * (at - paid) - fee * abs(size) * at, percent if size > 0 else -percent) == found[:2]
        initial = oracle.margin(symbol, abs(Fraction(amount)) * mark, initial=True)
        same(found.collateral_e18, initial if stated is None else stated, 1)
        same(found.collateral_min_e18, max(Fraction(0), initial - oracle.pl(symbol, mark)), 1)
        both = oracle.both(symbol)
        if net is None or both is None or net <= 0:
            # Of a net value that is below a unit of the last place it is not told apart from 0.
            assert found.leverage_e18 is None
        elif net > 1_000_000 * UNIT:
            leverage = abs(Fraction(amount)) * both[0] * both[1] / net
            same(found.leverage_e18, leverage, 2 + 80 * (1 + leverage) / net)
