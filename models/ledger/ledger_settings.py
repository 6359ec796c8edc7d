"""Records of ``ledger-settings``: what a ledger's figures depend on beside accounts and marks.

Keyed ``<deployment>:<name>``. Two kinds of names are known:

* ``currency:UST`` says by which markets an amount of a currency becomes USD: ``{"v": 1, "path": ["tUSTUSD"]}``. USD has
  no record. BTC through a market in EUR would be ``["tBTCEUR", "tEURUSD"]``: each step multiplies by the market's mark.
* ``symbol:tBTCUSD`` says how a position in a symbol is valued.

Markets are those of the deployment: its ``markets`` and ``default_sources`` say where their marks come from.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.errors import BadNumber, BadRecord
from models.ledger.ledger_objects import Currency, NotNegative
from models.money import E18, parse_e18

USD = "USD"
# A product of three inputs at most, of which the allowance in exposures knows.
_PATH_MAX = 2
_TIERS_MAX = 50

Market = Annotated[str, Meta(pattern=r"^[!-~]{1,64}$", description="Name of a market of the deployment")]


class CurrencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an amount of a currency becomes USD: multiplied by the mark of each market of ``path``."""

    v: Literal[1]
    path: Annotated[tuple[Market, ...], Meta(min_length=1, max_length=_PATH_MAX)]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a notional from the tier before up to ``up_to``, in the quote currency; None: whatever is above.

    ``initial`` and ``maintenance`` are the shares of that part which the account has to have, 0 to 1.
    """

    initial: NotNegative
    maintenance: NotNegative
    up_to: NotNegative | None = None


class SymbolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """How a position in a symbol is valued.

    Attributes:
        v: The version of the format.
        quote: The currency of its prices.
        price: The market whose mark values it: the last price of a margin pair, the mark of a derivative.
        close_fee: The share of the notional that closing costs, such as 0.002.
        tiers: By notional, rising; the last has no ``up_to``. Rates do not fall.
    """

    v: Literal[1]
    quote: Currency
    price: Market
    close_fee: NotNegative
    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=_TIERS_MAX)]

    @cached_property
    def close_fee_e18(self) -> int:
        """``close_fee`` at 1e18."""
        return parse_e18(self.close_fee)

    @cached_property
    def initial(self) -> Brackets:
        """The margin with which a position may be opened."""
        return Brackets(tuple((_bound(one), parse_e18(one.initial)) for one in self.tiers))

    @cached_property
    def maintenance(self) -> Brackets:
        """The margin with less than which it is liquidated."""
        return Brackets(tuple((_bound(one), parse_e18(one.maintenance)) for one in self.tiers))
