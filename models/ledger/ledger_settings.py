"""Records of ``ledger-settings``: what a ledger's figures depend on beside accounts and marks.

Keyed ``<deployment>:<name>``. Two kinds of names are known:

* ``currency:UST`` says by which markets an amount of a currency becomes USD: ``{"v": 1, "path": ["tUSTUSD"]}``. USD has
  no record. JPY by way of BTC would be no such path: each step multiplies by the market's mark.
* ``symbol:tBTCUSD`` says how a position in a symbol is valued: ``{"v": 1, "price": "tBTCUSD", "close_fee": "0.002",
  "tiers": [{"initial": "0.2", "maintenance": "0.15"}]}``.

Markets are those of the deployment: its ``markets`` and ``default_sources`` say where their marks come from.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.errors import BadNumber, BadRecord
from models.ledger.ledger_objects import TEXT_END, Currency, NotNegative, Symbol
from models.ledger.margin_brackets import Bracket, Brackets
from models.money import E18, parse_e18

USD = "USD"
# With the price of a position these are three inputs to one product, for which the exposure's allowance is made.
_PATH_MAX = 2
_TIERS_MAX = 50

MarketName = Annotated[str, Meta(pattern="^[!-~]{1,64}" + TEXT_END, description="Name of a market of the deployment")]


class CurrencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an amount of a currency becomes USD: it is multiplied by the mark of each market of ``path``."""

    v: Literal[1]
    path: Annotated[tuple[MarketName, ...], Meta(min_length=1, max_length=_PATH_MAX)]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part of a notional above the tier before, up to ``up_to`` in the quote currency; None: whatever is above.

    ``initial`` and ``maintenance`` are the shares of that part which the account has to have, up to 1.
    """

    initial: NotNegative
    maintenance: NotNegative
    up_to: NotNegative | None = None


class SymbolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """How a position in a symbol is valued.

    Attributes:
        v: The version of the format.
        price: The market whose mark values it: of the last price of a margin pair, of the mark of a derivative.
        close_fee: The share of the notional that closing costs, such as 0.002; below 1.
        tiers: By notional, rising; only the last has no ``up_to``. Rates do not fall, and initial is above 0.
    """

    v: Literal[1]
    price: MarketName
    close_fee: NotNegative
    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=_TIERS_MAX)]

    @cached_property
    def close_fee_e18(self) -> int:
        """``close_fee`` at 1e18."""
        return parse_e18(self.close_fee)

    @cached_property
    def initial(self) -> Brackets:
        """The margin with which a position may be opened or increased."""
        return Brackets(tuple(Bracket(_bound_e18(one), parse_e18(one.initial)) for one in self.tiers))

    @cached_property
    def maintenance(self) -> Brackets:
        """The margin with less than which it is liquidated."""
        return Brackets(tuple(Bracket(_bound_e18(one), parse_e18(one.maintenance)) for one in self.tiers))


LedgerSettings = CurrencySettings | SymbolSettings

_CURRENCY, _SYMBOL = "currency", "symbol"
_decoders: dict[str, msgspec.json.Decoder[LedgerSettings]] = {
    _CURRENCY: msgspec.json.Decoder(CurrencySettings),
    _SYMBOL: msgspec.json.Decoder(SymbolSettings),
}


def currency_reference(currency: str) -> str:
    """The name under which a currency's settings are found."""
    return f"{_CURRENCY}:{currency}"


def symbol_reference(symbol: str) -> str:
    """The name under which a symbol's settings are found."""
    return f"{_SYMBOL}:{symbol}"


def decode_settings(name: str, value: bytes) -> LedgerSettings:
    """Read a record of ``ledger-settings``.

    Args:
        name: What follows the deployment in its key.
        value: The record.

    Raises:
        BadRecord: The name is of no kind that is known, or the record does not say what it should.
    """
    kind, _, of = name.partition(":")
    decoder = _decoders.get(kind)
    if decoder is None:
        msg = f"expected currency:NAME or symbol:NAME, found {name!r:.200}"
        raise BadRecord(msg)
    try:
        msgspec.convert(of, Currency if kind == _CURRENCY else Symbol)
        settings = decoder.decode(value)
        if isinstance(settings, SymbolSettings):
            _expect_tiers(settings)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadNumber) as error:
        msg = f"expected settings of {name:.80}, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
    if name == currency_reference(USD):
        msg = f"expected settings of a currency other than {USD}, which needs no path; take the record out"
        raise BadRecord(msg)
    return settings


def _bound_e18(tier: Tier) -> int | None:
    return None if tier.up_to is None else parse_e18(tier.up_to)


def _expect_tiers(settings: SymbolSettings) -> None:
    if settings.close_fee_e18 >= E18:
        msg = f"expected close_fee below 1, a share of the notional, found {settings.close_fee}"
        raise BadRecord(msg)
    bounds = [_bound_e18(one) for one in settings.tiers]
    known = [one for one in bounds if one is not None]
    if bounds[-1] is not None or len(known) != len(bounds) - 1 or known != sorted(set(known)) or 0 in known:
        found = [one.up_to for one in settings.tiers]
        msg = f"expected tiers with up_to above 0 and rising and missing only in the last one, found {found}"
        raise BadRecord(msg)
    before = (0, 0)
    for tier in settings.tiers:
        rates = parse_e18(tier.initial), parse_e18(tier.maintenance)
        if not 0 < rates[0] <= E18 or rates[1] > rates[0] or rates[0] < before[0] or rates[1] < before[1]:
            msg = (
                "expected rates 0 <= maintenance <= initial <= 1, initial above 0, not lower than in the tier before, "
                f"found initial {tier.initial} and maintenance {tier.maintenance}"
            )
            raise BadRecord(msg)
        before = rates
