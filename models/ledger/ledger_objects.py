"""What an account of a ledger has, as its venue says it: wallets, positions, orders, offers, credits, loans.

Amounts, prices and rates are decimal texts, exact and absolute. What follows from prices (``CALCULATED``) is no part of
any of them: it is calculated here, and refused where a venue sends it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

TEXT_END = r"(?![\s\S])"
"""The end of a text, in the regular expressions of JSON schemas and of Python: Python's $ lets a line feed follow."""
# 30 digits hold any amount of any currency, and products of three of them stay far below the largest float.
_UNSIGNED = r"[0-9]{1,30}(\.[0-9]{1,18})?" + TEXT_END
Decimal = Annotated[str, Meta(pattern="^-?" + _UNSIGNED, description="Decimal number, exact")]
NotNegative = Annotated[str, Meta(pattern="^" + _UNSIGNED, description="Decimal number >= 0, exact")]
Currency = Annotated[str, Meta(pattern="^[A-Za-z0-9]{2,20}" + TEXT_END, description="Currency, such as USD or USTF0")]
Owner = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,64}" + TEXT_END, description="Whose the account is")]
Symbol = Annotated[
    str,
    Meta(
        pattern="^t([A-Za-z0-9]{6}|[A-Za-z0-9]{2,20}:[A-Za-z0-9]{2,20})" + TEXT_END,
        description="Trading symbol: currencies of three letters, such as tBTCUSD, or any two, such as tBTCF0:USTF0",
    ),
]
FundingSymbol = Annotated[
    str, Meta(pattern="^f[A-Za-z0-9]{2,20}" + TEXT_END, description="Funding symbol, such as fUSD")
]
# Beyond 53 bits JavaScript clients would read another id.
Id = Annotated[int, Meta(ge=0, le=2**53 - 1, description="Id, below 2^53")]
# The last millisecond of the year 9999, which is the last that RFC 3339 can write.
TimeMs = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Unix ms")]
Text = Annotated[str, Meta(max_length=200)]
Days = Annotated[int, Meta(ge=0, le=3_650, description="Days")]
Flags = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Code = Annotated[int, Meta(ge=-(2**53 - 1), le=2**53 - 1, description="A venue's code, within 53 bits")]
Side = Annotated[Literal[-1, 0, 1], Meta(description="1: the account lends, -1: it borrows, 0: both")]

CALCULATED = frozenset({
    "pl", "pl_perc", "price_liq", "leverage", "collateral_min", "balance_available", "available_balance", "user_pl",
    "user_swaps", "margin_balance", "margin_net", "margin_required", "tradable_balance", "gross_balance", "aum",
    "aum_net", "upnl", "liquidation_price",
})  # fmt: skip
"""Names of what is calculated from prices, and so refused on input."""


_CURRENCY_LETTERS = 3


class Pair(NamedTuple):
    """The currencies of a symbol: prices are so much ``quote`` for one ``base``."""

    base: str
    quote: str


def pair_of(symbol: str) -> Pair:
    """The currencies of a trading symbol: ``tBTCUSD`` is of BTC and USD, ``tBTCF0:USTF0`` of BTCF0 and USTF0."""
    base, colon, quote = symbol[1:].partition(":")
    return Pair(base, quote) if colon else Pair(base[:_CURRENCY_LETTERS], base[_CURRENCY_LETTERS:])


class _Object(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that an account has; unknown fields are errors."""


class Wallet(_Object, frozen=True):
    """How much of one currency there is in one wallet; ``unsettled_interest`` is signed, as the venue says it."""

    type: Literal["exchange", "margin", "funding"]
    currency: Currency
    balance: Decimal
    unsettled_interest: Decimal = "0"
    description: Text | None = None
    meta: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """What it is found by: ``<type>:<currency>``."""
        return f"{self.type}:{self.currency}"


class LedgerPosition(_Object, frozen=True):
    """A position; ``amount`` is signed, and 0 only where it is closed; ``base_price`` is above 0.

    ``margin_funding`` is the funding in use, ``margin_funding_type`` 0 for daily and 1 for term. ``collateral``, of a
    derivative, is what the venue set aside for it, in the symbol's quote currency.
    """

    symbol: Symbol
    type: Literal["margin", "derivative"]
    id: Id
    amount: Decimal
    base_price: NotNegative
    margin_funding: Decimal = "0"
    margin_funding_type: Literal[0, 1] = 0
    created_ms: TimeMs | None = None
    updated_ms: TimeMs | None = None
    collateral: NotNegative | None = None
    meta: dict[str, Any] | None = None


class Order(_Object, frozen=True):
    """An order; ``amount`` is what is left of it, signed: > 0 buys. A ``type`` that begins with EXCHANGE is no margin.

    ``price`` is 0 of an order at the market's price.
    """

    id: Id
    symbol: Symbol
    type: Text
    status: Text
    amount: Decimal
    amount_orig: Decimal
    price: NotNegative
    price_avg: NotNegative = "0"
    price_trailing: NotNegative = "0"
    price_aux_limit: NotNegative = "0"
    gid: Id | None = None
    cid: Id | None = None
    created_ms: TimeMs | None = None
    updated_ms: TimeMs | None = None
    type_prev: Text | None = None
    expires_ms: TimeMs | None = None
    flags: Flags = 0
    notify: bool = False
    hidden: bool = False
    placed_id: Id | None = None
    routing: Text | None = None
    meta: dict[str, Any] | None = None


class Offer(_Object, frozen=True):
    """An offer of funding; ``amount`` is what is left of it, > 0 to lend; ``rate`` is a share a day."""

    id: Id
    symbol: FundingSymbol
    type: Text
    status: Text
    amount: Decimal
    amount_orig: Decimal
    rate: Decimal
    period_days: Days
    created_ms: TimeMs | None = None
    updated_ms: TimeMs | None = None
    flags: Flags = 0
    notify: bool = False
    hidden: bool = False
    renew: bool = False


class Funding(_Object, frozen=True):
    """Funding that the account has borrowed or lent; ``amount`` is >= 0, ``rate`` a share a day."""

    id: Id
    symbol: FundingSymbol
    side: Side
    status: Text
    amount: NotNegative
    rate: Decimal
    period_days: Days
    rate_type: Text | None = None
    created_ms: TimeMs | None = None
    updated_ms: TimeMs | None = None
    opened_ms: TimeMs | None = None
    last_payout_ms: TimeMs | None = None
    flags: Flags = 0
    notify: bool = False
    hidden: bool = False
    renew: bool = False
    no_close: bool = False


class Credit(Funding, frozen=True):
    """Funding that a position uses; ``position_pair`` is the position's symbol."""

    position_pair: Symbol | None = None


class Loan(Funding, frozen=True):
    """Funding that no position uses."""


class Notice(_Object, frozen=True):
    """What the venue tells the account; nothing of it is kept."""

    type: Text
    text: Text
    status: Text = "INFO"
    code: Code | None = None
    message_id: Id | None = None
    info: Any = None
