"""Decoded logs: one class for every event that is folded or changes a market's settings.

The classes are named as the contract names its events; the modern and the legacy form of an event have one class.
Amounts, prices and rates are 1e18-scaled ints, addresses lower-case ``0x`` hex.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.symmio.markets import Market
    from models.symmio.state import Locked, OrderType, PositionType, QuoteStatus


class BalanceChange(IntEnum):
    """Why an allocated balance changed (SharedEvents.sol); even numbers add to it, odd ones subtract."""

    ALLOCATE = 0
    DEALLOCATE = 1
    PLATFORM_FEE_IN = 2
    PLATFORM_FEE_OUT = 3
    REALIZED_PNL_IN = 4
    REALIZED_PNL_OUT = 5
    CVA_IN = 6
    CVA_OUT = 7
    LF_IN = 8
    LF_OUT = 9
    FUNDING_FEE_IN = 10
    FUNDING_FEE_OUT = 11

    @property
    def is_in(self) -> bool:
        """Whether the amount is added."""
        return self % 2 == 0


@dataclass(frozen=True, slots=True)
class BalanceChangePartyA:
    """``amount`` (not negative) was added to or taken from party A's allocated balance."""

    party_a: str
    amount: int
    change: BalanceChange


@dataclass(frozen=True, slots=True)
class BalanceChangePartyB:
    """``amount`` (not negative) was added to or taken from the balance that party B allocated for party A."""

    party_b: str
    party_a: str
    amount: int
    change: BalanceChange


@dataclass(frozen=True, slots=True)
class SendQuote:
    """Party A sent a quote, or a partial fill left this remainder pending."""

    party_a: str
    quote_id: int
    whitelist: tuple[str, ...]
    symbol_id: int
    position_type: PositionType
    order_type: OrderType
    price: int
    market_price: int
    quantity: int
    locked: Locked
    trading_fee: int
    deadline_s: int


@dataclass(frozen=True, slots=True)
class LockQuote:
    """Party B locked the quote for itself."""

    party_b: str
    quote_id: int


@dataclass(frozen=True, slots=True)
class UnlockQuote:
    """Party B gave up its lock; the quote is pending again."""

    quote_id: int


@dataclass(frozen=True, slots=True)
class RequestToCancelQuote:
    """Party A cancelled a pending quote, or asked party B to let a locked one be cancelled: ``status`` says which."""

    party_a: str
    quote_id: int
    status: QuoteStatus


@dataclass(frozen=True, slots=True)
class CancelQuote:
    """AcceptCancelRequest or ForceCancelQuote.

    After a partial fill the former is the first log to name the remainder.
    """

    quote_id: int
    forced: bool


@dataclass(frozen=True, slots=True)
class ExpireQuoteOpen:
    """A quote that was not opened expired."""

    quote_id: int


@dataclass(frozen=True, slots=True)
class ExpireQuoteClose:
    """A close request expired; the position stays open."""

    quote_id: int


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """Party B filled all or part of a quote."""

    quote_id: int
    party_a: str
    party_b: str
    filled_amount: int
    opened_price: int


@dataclass(frozen=True, slots=True)
class RequestToClosePosition:
    """Party A asked to close all or part of a position."""

    party_a: str
    quote_id: int
    close_price: int
    quantity_to_close: int
    order_type: OrderType
    deadline_s: int


@dataclass(frozen=True, slots=True)
class RequestToCancelCloseRequest:
    """Party A asked party B to drop the close request."""

    party_a: str
    quote_id: int


@dataclass(frozen=True, slots=True)
class CancelCloseRequest:
    """AcceptCancelCloseRequest or ForceCancelCloseRequest: the position is open without a close request."""

    quote_id: int


class Closing(IntEnum):
    """Which event closed (a part of) a position."""

    FILL = 0
    EMERGENCY = 1
    FORCE = 2


@dataclass(frozen=True, slots=True)
class ClosePosition:
    """FillCloseRequest, EmergencyClosePosition or ForceClosePosition; ``status`` is the quote's after it."""

    quote_id: int
    party_a: str
    party_b: str
    filled_amount: int
    closed_price: int
    status: QuoteStatus
    closing: Closing


@dataclass(frozen=True, slots=True)
class ChargeFundingRate:
    """Party B charged funding; a rate is signed, per epoch, a fraction of the opened price."""

    party_a: str
    rates: tuple[tuple[int, int], ...]

    @property
    def quote_ids(self) -> tuple[int, ...]:
        """The quotes charged."""
        return tuple(quote_id for quote_id, _ in self.rates)


@dataclass(frozen=True, slots=True)
class SettleUpnl:
    """Positions were settled at new opened prices: (quote id, price) each; none where nothing was settled."""

    party_a: str
    prices: tuple[tuple[int, int], ...]

    @property
    def quote_ids(self) -> tuple[int, ...]:
        """The quotes settled."""
        return tuple(quote_id for quote_id, _ in self.prices)


@dataclass(frozen=True, slots=True)
class LiquidatePartyA:
    """The liquidation of party A began; a ``deferred`` one leaves ``allocated`` and sets the rest aside."""

    party_a: str
    allocated: int
    deferred: bool


@dataclass(frozen=True, slots=True)
class SetSymbolsPrices:
    """Prices of party A's liquidation: (symbol id, price) each."""

    party_a: str
    prices: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LiquidatePendingPositionsPartyA:
    """Party A's pending quotes ended with its liquidation."""

    party_a: str
    quote_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LiquidatePositionsPartyA:
    """Positions ended with party A's liquidation, at the prices set for it."""

    party_a: str
    quote_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FullyLiquidatedPartyA:
    """Party A's liquidation is over."""

    party_a: str


@dataclass(frozen=True, slots=True)
class LiquidatePartyB:
    """Party B's bucket with party A was liquidated; the positions in it end by LiquidatePositionsPartyB."""

    party_b: str
    party_a: str


@dataclass(frozen=True, slots=True)
class LiquidatePositionsPartyB:
    """Positions ended with party B's liquidation, at prices that are not in the log."""

    party_b: str
    party_a: str
    quote_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AddAccount:
    """A MultiAccount made a sub-account for its owner."""

    owner: str
    account: str
    name: str
    multi_account: str


@dataclass(frozen=True, slots=True)
class EditAccountName:
    """A sub-account got another name."""

    account: str
    name: str


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """A market was added or some of its settings changed; settings that are not in the event are None in ``market``."""

    market: Market


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event without an effect on any account: its name and its parameters as decoded."""

    name: str
    parameters: Mapping[str, object]


AccountEvent = (
    BalanceChangePartyA
    | BalanceChangePartyB
    | SendQuote
    | LockQuote
    | UnlockQuote
    | RequestToCancelQuote
    | CancelQuote
    | ExpireQuoteOpen
    | ExpireQuoteClose
    | OpenPosition
    | RequestToClosePosition
    | RequestToCancelCloseRequest
    | CancelCloseRequest
    | ClosePosition
    | ChargeFundingRate
    | SettleUpnl
    | LiquidatePartyA
    | SetSymbolsPrices
    | LiquidatePendingPositionsPartyA
    | LiquidatePositionsPartyA
    | FullyLiquidatedPartyA
    | LiquidatePartyB
    | LiquidatePositionsPartyB
    | AddAccount
    | EditAccountName
)
"""An event that is folded into one account."""

Event = AccountEvent | MarketSettings | OtherEvent
