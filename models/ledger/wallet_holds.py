"""What of a wallet is available: what no order, offer, loan or margin holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from models.ledger.buying_power import is_on_margin
from models.ledger.ledger_objects import pair_of
from models.ledger.ledger_pricing import conversion_of, settings_of
from models.money import E18, parse_e18

if TYPE_CHECKING:
    from models.ledger.ledger_objects import Funding, Wallet
    from models.ledger.ledger_state import Holdings
    from models.ledger.priced_account import PricedAccount
    from models.venue import Inputs


def available_of(wallet: Wallet, account: PricedAccount) -> int | None:
    """Calculate what of a wallet is available, in its own currency at 1e18.

    Args:
        wallet: One of the account's.
        account: The account.

    Returns:
        From 0 to its balance; None where a mark, a conversion or a setting that it needs is missing.
    """
    balance_e18 = parse_e18(wallet.balance)
    match wallet.type:
        case "exchange":
            held_e18 = _ordered_e18(wallet.currency, account.holdings, account.inputs)
            left_e18 = None if held_e18 is None else balance_e18 - held_e18
        case "margin":
            left_e18 = _free_e18(wallet.currency, account)
        case "funding":
            left_e18 = balance_e18 - _lent_e18(f"f{wallet.currency}", account.holdings)
        case _:
            assert_never(wallet.type)
    return None if left_e18 is None else max(0, min(left_e18, balance_e18))


def _ordered_e18(currency: str, holdings: Holdings, inputs: Inputs) -> int | None:
    """What orders of the exchange hold: sells the base currency, buys the quote currency; None where it is not known.

    An order at the market's price is taken at the mark in use.
    """
    held_e18 = 0
    for order in holdings.orders:
        base, quote = pair_of(order.symbol)
        amount_e18 = parse_e18(order.amount)
        if is_on_margin(order) or currency != (quote if amount_e18 > 0 else base):
            continue
        if amount_e18 <= 0:
            held_e18 -= amount_e18
            continue
        price_e18 = parse_e18(order.price)
        if not price_e18:
            settings = settings_of(order.symbol, inputs)
            mark = None if settings is None else inputs.mark(settings.price)
            if mark is None:
                return None
            price_e18 = mark.mark_e18
        held_e18 -= -amount_e18 * price_e18 // E18
    return held_e18


def _free_e18(currency: str, account: PricedAccount) -> int | None:
    """What margin does not need, in a currency."""
    free_usd, conversion = account.free_usd_e18, conversion_of(currency, account.inputs)
    if free_usd is None or conversion is None:
        return None
    return free_usd * conversion.scale // conversion.rate


def _lent_e18(symbol: str, holdings: Holdings) -> int:
    """What is offered and lent of a currency: of loans and credits where the account borrows, nothing."""
    offered = sum(max(parse_e18(one.amount), 0) for one in holdings.offers if one.symbol == symbol)
    funding: tuple[Funding, ...] = (*holdings.credits, *holdings.loans)
    return offered + sum(parse_e18(one.amount) for one in funding if one.symbol == symbol and one.side >= 0)
