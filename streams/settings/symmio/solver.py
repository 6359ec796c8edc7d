"""Settings of what a solver offers to the frontends of its interface."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from streams.settings.values import Amount, Band, HttpUrl, Leverage, Percent, Section


class LockedParams(Section):
    """The shares of a margin that are locked at leverages up to ``leverage``, in percent.

    ``cva`` is the credit valuation adjustment, ``lf`` the liquidation fee. Party A's maintenance margin is the rest, so
    that the three add up to 100. ``party_b_mm`` is party B's own maintenance margin.
    """

    leverage: Leverage
    cva: Percent
    lf: Percent
    party_b_mm: Percent = Decimal(0)

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.cva + self.lf > 100:  # noqa: PLR2004 - percent
            msg = f"expected cva and lf to be 100 at most, found {self.cva + self.lf}"
            raise ValueError(msg)
        return self


LockedTable = Annotated[tuple[LockedParams, ...], Field(min_length=1)]

# At leverage L the margin is 1/L of the notional. With these shares cva is 2/3 % of the notional and the liquidation
# fee 1/3 %, whatever L is.
_LOCKED = tuple(
    LockedParams(leverage=Decimal(leverage), cva=Decimal(2 * leverage // 3), lf=Decimal(leverage // 3))
    for leverage in (3, 6, 9, 12, 15, 21, 30, 45, 60, 75, 90)
)


class SymbolSettings(Section):
    """A solver's terms for a symbol. Amounts are in the collateral, fees and bands are fractions.

    ``cap`` bounds the symbol's open interest, ``max_notional_value`` a single quote. Limit orders are taken within
    ``price_band`` of the mark. Where ``max_leverage`` is not set, the chain's holds. Frontends put ``max_funding_rate``
    into quotes as the most that these may be charged. ``locked`` has a row for some leverages: the row of the nearest
    one at or above a quote's leverage holds.
    """

    cap: Amount = Decimal(2_100_000)
    max_notional_value: Amount = Decimal(2_100_000)
    max_leverage: Leverage | None = None
    price_band: Band = Decimal("0.5")
    hedger_fee_open: Amount = Decimal("0.0006")
    hedger_fee_close: Amount = Decimal("0.0006")
    max_funding_rate: Amount = Decimal(200)
    rfq_allowed: bool = True
    locked: LockedTable = _LOCKED


class SymbolOverrides(Section):
    """The terms of one symbol that differ from those of the others; None where they do not."""

    cap: Amount | None = None
    max_notional_value: Amount | None = None
    max_leverage: Leverage | None = None
    price_band: Band | None = None
    hedger_fee_open: Amount | None = None
    hedger_fee_close: Amount | None = None
    max_funding_rate: Amount | None = None
    rfq_allowed: bool | None = None
    locked: LockedTable | None = None


class SolverSettings(Section):
    """What a solver's interface tells frontends.

    ``open_interest_cap`` bounds the open interest of all symbols together. With ``count_pending``, quotes that are not
    opened yet count as well. With ``balance_list``, ``get_balance_info`` answers a list. Requests that concern trading
    are forwarded to ``upstream``, the solver's own engine. ``error_codes`` adds codes to the known ones, or replaces
    their texts. ``defaults`` holds for every symbol; ``symbols`` has what differs for one, by its name on chain.
    """

    open_interest_cap: Amount = Decimal(10_000_000)
    count_pending: bool = False
    balance_list: bool = False
    upstream: HttpUrl | None = None
    error_codes: dict[str, str] = Field(default_factory=dict)
    defaults: SymbolSettings = SymbolSettings()
    symbols: dict[str, SymbolOverrides] = Field(default_factory=dict)

    def of(self, symbol: str) -> SymbolSettings:
        """Find the terms of a symbol."""
        own = self.symbols.get(symbol, SymbolOverrides())
        return self.defaults.model_copy(update={name: value for name, value in own if value is not None})
