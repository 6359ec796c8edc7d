"""The figures that a ledger's users ask for, at the marks and settings of one moment (docs/bitfinex.md, Figures).

Money is exact, in integers at 1e18; None where a price, a conversion or a setting that it needs is missing, or where
the account is suspect. ``PL`` and ``PL_PERC`` alone are doubles, made in the venue's own order of operations: their
last digits depend on it. Divide by 10**18 to get the nearest double of an integer.

Figures of one moment are asked of one ``PricedAccount``: what they have in common is calculated once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.ledger.buying_power import buying_power
from models.ledger.ledger_pricing import convert_wallet, settings_of
from models.ledger.wallet_holds import available_of
from models.money import E18, divide_toward_zero, parse_e18

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.ledger.ledger_objects import Funding, LedgerPosition, Wallet
    from models.ledger.ledger_state import Holdings
    from models.ledger.priced_account import PricedAccount
    from models.prices import UsedMark
    from models.venue import Inputs

_E36 = E18**2


class PositionFigures(NamedTuple):
    """What is calculated of a position; prices and money are in the symbol's quote currency.

    Attributes:
        pl: What closing it now would bring, the fee taken off.
        pl_perc: By how many percent of the base price the price moved in its favour; no fee.
        price_liq_e18: The price at which the account's net value is its required margin, all other prices as they are;
            None also where there is no such price above 0.
        leverage_e18: Its notional by what carries it, the account's net value; None where that is not above 0.
        collateral_e18: What the venue set aside for it, or else its initial margin; >= 0.
        collateral_min_e18: The least that would have to be set aside for it: initial margin less PL; >= 0.
    """

    pl: float | None
    pl_perc: float | None
    price_liq_e18: int | None
    leverage_e18: int | None
    collateral_e18: int | None
    collateral_min_e18: int | None


class BaseMargin(NamedTuple):
    """The margin of an account as a whole, in USD.

    Attributes:
        user_pl_e18: What closing all positions now would bring, fees taken off.
        user_swaps_e18: Unsettled interest of its margin wallets, signed as the venue says it.
        margin_balance_e18: What its margin wallets have.
        margin_net_e18: Net value: ``margin_balance_e18 + user_pl_e18``.
        margin_required_e18: Required margin: with a net value below it the account is liquidated; >= 0.
    """

    user_pl_e18: int | None
    user_swaps_e18: int | None
    margin_balance_e18: int | None
    margin_net_e18: int | None
    margin_required_e18: int | None


class SymbolMargin(NamedTuple):
    """How much an account may trade of a symbol.

    Attributes:
        tradable_e18: By how much the notional may grow, in the quote currency; >= 0.
        gross_e18: How large the notional may be, what is held and ordered of it included; >= 0.
        buy_e18: How much may be bought at the price in use, in the base currency; >= 0.
        sell_e18: How much may be sold; >= 0.
    """

    tradable_e18: int | None
    gross_e18: int | None
    buy_e18: int | None
    sell_e18: int | None


class FundingFigures(NamedTuple):
    """Means over loans and credits of a currency, weighted by amount; 0 where there are none.

    Attributes:
        yield_loan_e18: The rate that the account pays, a share a day.
        yield_lend_e18: The rate that it is paid.
        duration_loan_e18: The period for which it has borrowed, in days.
        duration_lend_e18: The period for which it has lent.
    """

    yield_loan_e18: int | None
    yield_lend_e18: int | None
    duration_loan_e18: int | None
    duration_lend_e18: int | None


class Assets(NamedTuple):
    """All that an account has, in USD.

    Attributes:
        aum_e18: What all of its wallets have.
        aum_net_e18: The same with unsettled interest and the PL of its positions.
    """

    aum_e18: int | None
    aum_net_e18: int | None


def position_figures(account: PricedAccount, symbol: str) -> PositionFigures | None:
    """Calculate what ``position_SYMBOL`` asks for; None where the account has no position in the symbol."""
    holdings, inputs = account.holdings, account.inputs
    position = holdings.position(symbol)
    if position is None:
        return None
    settings = settings_of(symbol, inputs)
    mark = None if settings is None else inputs.mark(settings.price)
    if holdings.suspect is not None or settings is None or mark is None:
        return PositionFigures(None, None, None, None, _stated_collateral(position), None)
    pl, pl_perc = price_doubles(position, mark, float(settings.close_fee))
    initial_e54 = settings.initial.margin_e54(abs(parse_e18(position.amount)) * mark.mark_e18)
    stated_e18 = _stated_collateral(position)
    # The margin does not depend on the conversion, so that it is known where that is not.
    own_pl_e54 = _pl_e54(position, mark, settings.close_fee_e18)
    price_liq_e18, leverage_e18 = _carried(account, position)
    return PositionFigures(
        pl,
        pl_perc,
        price_liq_e18,
        leverage_e18,
        -(-initial_e54 // _E36) if stated_e18 is None else stated_e18,
        max(0, -((own_pl_e54 - initial_e54) // _E36)),
    )


def price_doubles(position: LedgerPosition, mark: UsedMark, close_fee: float) -> tuple[float, float]:
    """Calculate PL and PL_PERC as the venue does, in doubles and in its order of operations.

    Args:
        position: The position.
        mark: The mark in use.
        close_fee: The share of the notional that closing costs.

    Returns:
        PL in the quote currency, the fee taken off; PL_PERC in percent of the base price, without the fee.
    """
    amount, base, at = float(position.amount), float(position.base_price), mark.mark_e18 / E18
    pl = amount * (at - base) - close_fee * abs(amount) * at
    move = (at - base) / base * 100
    # What a short position has neither gained nor lost is 0, and not the -0 that doubles have beside it.
    return pl + 0.0, (move if amount > 0 else -move) + 0.0


def base_margin(account: PricedAccount) -> BaseMargin:
    """Calculate what ``margin_base`` asks for."""
    if account.holdings.suspect is not None:
        return BaseMargin(None, None, None, None, None)
    priced = account.priced
    has_positions, has_wallets = None not in priced.positions, None not in priced.wallets
    return BaseMargin(
        priced.pl_usd_e18 if has_positions else None,
        _interest_usd_e18([one for one in account.holdings.wallets if one.type == "margin"], account.inputs),
        priced.balance_usd_e18 if has_wallets else None,
        priced.net_usd_e18 if priced.is_complete else None,
        priced.required_usd_e18 if has_positions else None,
    )


def symbol_margin(account: PricedAccount, symbol: str) -> SymbolMargin | None:
    """Calculate what ``margin_sym_SYMBOL`` asks for; None where the deployment has no settings of the symbol."""
    if settings_of(symbol, account.inputs) is None:
        return None
    if account.holdings.suspect is not None:
        return SymbolMargin(None, None, None, None)
    one, free_usd = account.commitment(symbol), account.free_usd_e18
    if one is None or free_usd is None:
        return SymbolMargin(None, None, None, None)
    return SymbolMargin(*buying_power(one, free_usd))


def funding_figures(holdings: Holdings, symbol: str) -> FundingFigures:
    """Calculate what ``funding_sym_SYMBOL`` asks for; a funding symbol is such as ``fUSD``."""
    if holdings.suspect is not None:
        return FundingFigures(None, None, None, None)
    every: tuple[Funding, ...] = (*holdings.loans, *holdings.credits)
    funding = [one for one in every if one.symbol == symbol]
    borrowed = [one for one in funding if one.side <= 0]
    lent = [one for one in funding if one.side >= 0]
    return FundingFigures(
        _mean_e18((one, parse_e18(one.rate)) for one in borrowed),
        _mean_e18((one, parse_e18(one.rate)) for one in lent),
        _mean_e18((one, one.period_days * E18) for one in borrowed),
        _mean_e18((one, one.period_days * E18) for one in lent),
    )


def available_balance_e18(account: PricedAccount, type_: str, currency: str) -> int | None:
    """Calculate ``BALANCE_AVAILABLE`` of a wallet, in its own currency: what no order, offer or margin holds.

    Args:
        account: The account.
        type_: ``exchange``, ``margin`` or ``funding``.
        currency: Such as ``USD``.

    Returns:
        >= 0; None where there is no such wallet, or where it cannot be known.
    """
    wallet = account.holdings.wallet(type_, currency)
    if wallet is None or account.holdings.suspect is not None:
        return None
    return available_of(wallet, account)


def assets(account: PricedAccount) -> Assets:
    """Calculate what ``balance`` asks for."""
    holdings, inputs = account.holdings, account.inputs
    if holdings.suspect is not None:
        return Assets(None, None)
    wallets = [convert_wallet(one, inputs) for one in holdings.wallets if parse_e18(one.balance)]
    if None in wallets:
        return Assets(None, None)
    aum_e18 = sum(one.usd_e18 for one in wallets if one is not None)
    interest_e18 = _interest_usd_e18(holdings.wallets, inputs)
    if None in account.priced.positions or interest_e18 is None:
        return Assets(aum_e18, None)
    return Assets(aum_e18, aum_e18 + interest_e18 + account.priced.pl_usd_e18)


def _carried(account: PricedAccount, position: LedgerPosition) -> tuple[int | None, int | None]:
    """Liquidation price and leverage of a position, which the whole account carries."""
    priced = account.priced
    if not priced.is_complete:
        return None, None
    (one,) = (found for found in priced.known_positions if found.position is position)
    net_e18 = priced.net_usd_e18
    leverage_e18 = one.notional_usd_e18 * E18 // net_e18 if net_e18 > 0 else None
    return account.liquidations.price_e18(one), leverage_e18


def _stated_collateral(position: LedgerPosition) -> int | None:
    return None if position.collateral is None else parse_e18(position.collateral)


def _pl_e54(position: LedgerPosition, mark: UsedMark, close_fee_e18: int) -> int:
    amount_e18, base_e18 = parse_e18(position.amount), parse_e18(position.base_price)
    return amount_e18 * (mark.mark_e18 - base_e18) * E18 - close_fee_e18 * abs(amount_e18) * mark.mark_e18


def _interest_usd_e18(wallets: Iterable[Wallet], inputs: Inputs) -> int | None:
    interest_e18 = 0
    for wallet in wallets:
        own_e18 = parse_e18(wallet.unsettled_interest)
        converted = convert_wallet(wallet, inputs) if own_e18 else None
        if own_e18 and converted is None:
            return None
        interest_e18 += 0 if converted is None else converted.conversion.usd_e18(own_e18, E18)
    return interest_e18


def _mean_e18(weighted: Iterable[tuple[Funding, int]]) -> int:
    total = weight = 0
    for one, value_e18 in weighted:
        amount_e18 = parse_e18(one.amount)
        total += amount_e18 * value_e18
        weight += amount_e18
    return divide_toward_zero(total, weight) if weight else 0
