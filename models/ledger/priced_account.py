"""An account at the marks and settings of one moment: what several of its figures need is calculated once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from models.ledger.buying_power import commitment, is_on_margin
from models.ledger.ledger_pricing import price
from models.ledger.liquidation_price import Liquidations

if TYPE_CHECKING:
    from models.ledger.buying_power import Commitment
    from models.ledger.ledger_pricing import Priced
    from models.ledger.ledger_state import Holdings
    from models.venue import Inputs

_E54 = 10**54


class PricedAccount:
    """An account, priced as far as it is asked.

    Args:
        holdings: What it has.
        inputs: Marks and settings of the moment; they must not change while the account is in use.
    """

    def __init__(self, holdings: Holdings, inputs: Inputs) -> None:
        self.holdings = holdings
        self.inputs = inputs
        self._commitments: dict[str, Commitment | None] = {}

    @cached_property
    def priced(self) -> Priced:
        """Its positions and margin wallets, priced."""
        return price(self.holdings, self.inputs)

    @cached_property
    def liquidations(self) -> Liquidations:
        """At which prices it is liquidated; it has to be priced completely."""
        return Liquidations(self.priced)

    @cached_property
    def free_usd_e18(self) -> int | None:
        """What is left of its net value beside the initial margin of all that it holds and has ordered.

        It is in USD, negative where the account lacks margin; None where anything of it cannot be priced.
        """
        ordered = {order.symbol for order in self.holdings.orders if is_on_margin(order)}
        symbols = {*ordered, *(one.symbol for one in self.holdings.positions)}
        committed = [self.commitment(symbol) for symbol in symbols]
        if not self.priced.is_complete or None in committed:
            return None
        needed = sum(one.conversion.usd_up_e18(one.initial_e54, _E54) for one in committed if one is not None)
        return self.priced.net_usd_e18 - needed

    def commitment(self, symbol: str) -> Commitment | None:
        """What it holds and has ordered of a symbol; None where settings, mark or conversion are missing."""
        if symbol not in self._commitments:
            self._commitments[symbol] = commitment(self.holdings, symbol, self.inputs)
        return self._commitments[symbol]
