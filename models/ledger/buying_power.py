"""How much an account may still trade: what is left of its net value when everything held and ordered has its margin.

A symbol's position and margin orders need the initial margin of the largest notional that they can come to: as held,
with all buys filled, or with all sells filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.ledger.ledger_objects import pair_of
from models.ledger.ledger_pricing import conversion_of, settings_of
from models.money import E18, parse_e18

if TYPE_CHECKING:
    from models.ledger.ledger_objects import Order
    from models.ledger.ledger_pricing import Conversion
    from models.ledger.ledger_settings import SymbolSettings
    from models.ledger.ledger_state import Holdings
    from models.venue import Inputs

_EXCHANGE = "EXCHANGE"


class Commitment(NamedTuple):
    """What an account holds and has ordered of a symbol on margin, at 1e36 in the quote currency.

    Attributes:
        settings: The symbol's.
        price_e18: Its mark in use.
        conversion: How the quote currency becomes USD.
        held_e36: The position at the mark, negative where it is short.
        buys_e36: The margin orders that buy, at their prices or at the mark, >= 0.
        sells_e36: Those that sell, >= 0.
    """

    settings: SymbolSettings
    price_e18: int
    conversion: Conversion
    held_e36: int
    buys_e36: int
    sells_e36: int

    @property
    def notional_e36(self) -> int:
        """The largest notional that it can come to."""
        return max(abs(self.held_e36), abs(self.held_e36 + self.buys_e36), abs(self.held_e36 - self.sells_e36))

    @property
    def initial_e54(self) -> int:
        """The initial margin that it needs."""
        return self.settings.initial.margin_e54(self.notional_e36)


def is_on_margin(order: Order) -> bool:
    """Whether an order would change a position, rather than exchange what wallets have."""
    return not order.type.upper().startswith(_EXCHANGE)


def commitment(holdings: Holdings, symbol: str, inputs: Inputs) -> Commitment | None:
    """Sum up what an account has of a symbol; None where its settings, its mark or its conversion are missing."""
    settings = settings_of(symbol, inputs)
    mark = None if settings is None else inputs.mark(settings.price)
    conversion = conversion_of(pair_of(symbol).quote, inputs)
    if settings is None or mark is None or conversion is None:
        return None
    position = holdings.position(symbol)
    held_e36 = 0 if position is None else parse_e18(position.amount) * mark.mark_e18
    buys_e36 = sells_e36 = 0
    for order in holdings.orders:
        if order.symbol == symbol and is_on_margin(order):
            amount_e18 = parse_e18(order.amount)
            value_e36 = amount_e18 * (parse_e18(order.price) or mark.mark_e18)
            buys_e36 += max(value_e36, 0)
            sells_e36 += max(-value_e36, 0)
    return Commitment(settings, mark.mark_e18, conversion, held_e36, buys_e36, sells_e36)


class BuyingPower(NamedTuple):
    """How much may be traded of a symbol: notionals in the quote currency, amounts in the base currency; all >= 0."""

    more_e18: int
    gross_e18: int
    buy_e18: int
    sell_e18: int


def buying_power(one: Commitment, free_usd: int) -> BuyingPower:
    """Calculate how much may be traded of a symbol.

    Args:
        one: What the account has of it.
        free_usd: What ``PricedAccount.free_usd_e18`` says, signed.

    Returns:
        ``gross_e18`` is the largest notional for which the free margin and the symbol's own suffice, ``more_e18`` by
        how much that is above what is committed. A position can be closed, and turned, by an order of the other side.
    """
    free_e54 = free_usd * E18 * E18 * one.conversion.scale // one.conversion.rate
    gross_e36 = one.settings.initial.notional_e36(max(0, one.initial_e54 + free_e54))
    return BuyingPower(
        max(0, gross_e36 - one.notional_e36) // E18,
        gross_e36 // E18,
        max(0, gross_e36 - one.held_e36 - one.buys_e36) // one.price_e18,
        max(0, gross_e36 + one.held_e36 - one.sells_e36) // one.price_e18,
    )
