"""The figures that a ledger's users ask for, at the marks and settings of one moment (docs/bitfinex.md, Figures).

Money is exact, in integers at 1e18; None where a price, a conversion or a setting that it needs is missing, or where the
account is suspect. ``PL`` and ``PL_PERC`` alone are doubles, made in the venue's own order of operations: their last
digits depend on it. Divide by 10**18 to get the nearest double of an integer.

``inputs`` are the marks of the account's deployment and its settings (``ledger_settings``), as ``models.venue.Inputs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from models.ledger.ledger_state import Holdings
    from models.venue import Inputs


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
        duration_loan_e18: For how many days it has borrowed.
        duration_lend_e18: For how many days it has lent.
    """

    yield_loan_e18: int
    yield_lend_e18: int
    duration_loan_e18: int
    duration_lend_e18: int


class Assets(NamedTuple):
    """All that an account has, in USD.

    Attributes:
        aum_e18: What all of its wallets have.
        aum_net_e18: The same with unsettled interest and the PL of its positions.
    """

    aum_e18: int | None
    aum_net_e18: int | None


def position_figures(holdings: Holdings, symbol: str, inputs: Inputs) -> PositionFigures | None:
    """Calculate what ``position_SYMBOL`` asks for; None where the account has no position in the symbol."""
    raise NotImplementedError


def base_margin(holdings: Holdings, inputs: Inputs) -> BaseMargin:
    """Calculate what ``margin_base`` asks for."""
    raise NotImplementedError


def symbol_margin(holdings: Holdings, symbol: str, inputs: Inputs) -> SymbolMargin | None:
    """Calculate what ``margin_sym_SYMBOL`` asks for; None where the deployment has no settings of the symbol."""
    raise NotImplementedError


def funding_figures(holdings: Holdings, symbol: str) -> FundingFigures:
    """Calculate what ``funding_sym_SYMBOL`` asks for; a funding symbol is such as ``fUSD``."""
    raise NotImplementedError


def available_balance_e18(holdings: Holdings, type_: str, currency: str, inputs: Inputs) -> int | None:
    """Calculate ``BALANCE_AVAILABLE`` of a wallet, in its own currency: what no order, offer or margin holds.

    Args:
        holdings: What the account has.
        type_: ``exchange``, ``margin`` or ``funding``.
        currency: Such as ``USD``.
        inputs: Marks and settings.

    Returns:
        >= 0; None where there is no such wallet, or where it cannot be known.
    """
    raise NotImplementedError


def assets(holdings: Holdings, inputs: Inputs) -> Assets:
    """Calculate what ``balance`` asks for."""
    raise NotImplementedError
