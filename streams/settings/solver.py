"""What a solver offers to the frontends of its interface."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from streams.settings.values import Amount, Band, HttpUrl, Leverage, Percent, Section


class LockedParams(Section):
    """What is locked of a margin at leverages up to ``leverage``, in percent of it.

    ``cva`` and ``lf`` are the credit valuation adjustment and the liquidation fee; party A's maintenance margin is the
    rest, so that the three are 100. ``party_b_mm`` is what party B locks as its own.
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

# A margin of 1/L of the notional locks 2/3 % of the notional as cva and 1/3 % as the liquidation fee, whatever L is.
_LOCKED = tuple(
    LockedParams(leverage=Decimal(leverage), cva=Decimal(2 * leverage // 3), lf=Decimal(leverage // 3))
    for leverage in (3, 6, 9, 12, 15, 21, 30, 45, 60, 75, 90)
)


class SymbolSettings(Section):
    """What a solver offers in a symbol. Amounts are in the collateral, fees and bands are fractions.

    ``cap`` bounds what may be open of the symbol in all, ``max_notional_value`` one quote. Limit orders are taken
    within ``price_band`` of the mark. ``max_leverage`` is the chain's where it is not set. ``max_funding_rate`` is what
    frontends put into quotes as the most that they may be charged. ``locked`` says what is locked at which leverage:
    the row of the nearest leverage at or above holds.
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
    """The same of one symbol, as far as it is not as the others'."""

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
    """What a solver says of itself to frontends.

    ``open_interest_cap`` bounds what may be open of all symbols together. ``count_pending``: what is used of caps
    counts quotes that are not opened yet too. ``balance_list``: ``get_balance_info`` answers a list. ``upstream`` is
    the solver's own engine, to which what concerns trading is forwarded. ``error_codes`` are added to the known ones,
    or say them in other words. ``defaults`` hold for every symbol, by its name on chain, that ``symbols`` says nothing
    else of.
    """

    open_interest_cap: Amount = Decimal(10_000_000)
    count_pending: bool = False
    balance_list: bool = False
    upstream: HttpUrl | None = None
    error_codes: dict[str, str] = Field(default_factory=dict)
    defaults: SymbolSettings = SymbolSettings()
    symbols: dict[str, SymbolOverrides] = Field(default_factory=dict)

    def of(self, symbol: str) -> SymbolSettings:
        """What holds for a symbol."""
        own = self.symbols.get(symbol, SymbolOverrides())
        return self.defaults.model_copy(update={name: value for name, value in own if value is not None})
