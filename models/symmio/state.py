"""One account (a party A) of a SYMMIO deployment: its balances, its buckets with each party B, its quotes.

Amounts and prices are 1e18-scaled ints, addresses lower-case ``0x`` hex. Nothing here is ever changed in place: a fold
copies the mappings that it changes, and an old state stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec resolves the annotations at run time
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.codec import NUMBER_MAX
from models.column_types import Amount, Flag, Unquoted  # noqa: TC001 - msgspec resolves the annotations at run time

if TYPE_CHECKING:
    from models.chain_records import Checkpoint, QuoteView

ZERO_ADDRESS = "0x" + "0" * 40
"""The zero address, which the contract gives as the party B of a quote that nobody has locked."""


class PositionType(IntEnum):
    """Side of a quote, as party A sees it (QuoteStorage.sol)."""

    LONG = 0
    SHORT = 1


class OrderType(IntEnum):
    """Order type of a quote, or of its last close request (QuoteStorage.sol)."""

    LIMIT = 0
    MARKET = 1


class QuoteStatus(IntEnum):
    """Status of a quote (QuoteStorage.sol); the last one exists from contracts 0.8.3 on."""

    PENDING = 0
    LOCKED = 1
    CANCEL_PENDING = 2
    CANCELED = 3
    OPENED = 4
    CLOSE_PENDING = 5
    CANCEL_CLOSE_PENDING = 6
    CLOSED = 7
    LIQUIDATED = 8
    EXPIRED = 9
    LIQUIDATED_PENDING = 10


PENDING_STATUSES = frozenset({QuoteStatus.PENDING, QuoteStatus.LOCKED, QuoteStatus.CANCEL_PENDING})
OPEN_STATUSES = frozenset({QuoteStatus.OPENED, QuoteStatus.CLOSE_PENDING, QuoteStatus.CANCEL_CLOSE_PENDING})


class Locked(NamedTuple):
    """Locked values of a quote, or sums of them: cva, liquidation fee, maintenance margins of party A and party B."""

    cva: Amount
    lf: Amount
    party_amm: Amount
    party_bmm: Amount

    def plus(self, other: Locked) -> Locked:
        """Add, value by value."""
        return Locked(
            self.cva + other.cva,
            self.lf + other.lf,
            self.party_amm + other.party_amm,
            self.party_bmm + other.party_bmm,
        )

    def minus(self, other: Locked) -> Locked:
        """Subtract, value by value; a result may be negative."""
        return Locked(
            self.cva - other.cva,
            self.lf - other.lf,
            self.party_amm - other.party_amm,
            self.party_bmm - other.party_bmm,
        )

    def scaled(self, numerator: int, denominator: int) -> Locked:
        """Scale each value by ``numerator`` ÷ ``denominator``, floored as LibLockedValues does. Both are positive."""
        return Locked(
            self.cva * numerator // denominator,
            self.lf * numerator // denominator,
            self.party_amm * numerator // denominator,
            self.party_bmm * numerator // denominator,
        )

    @property
    def total_for_party_a(self) -> int:
        """The sum of the values that party A locks: cva + its maintenance margin + liquidation fee."""
        return self.cva + self.party_amm + self.lf

    @property
    def total_for_party_b(self) -> int:
        """The sum of the values that party B locks: cva + its maintenance margin + liquidation fee."""
        return self.cva + self.party_bmm + self.lf


NOTHING = Locked(0, 0, 0, 0)


class Balances(msgspec.Struct, frozen=True):
    """An answer of ``balanceInfoOfPartyA`` or ``balanceInfoOfPartyB``: allocated, locked and pending locked values."""

    allocated: int = 0
    locked: Locked = NOTHING
    pending: Locked = NOTHING


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quote, named as the contract's struct names it.

    ``avg_closed_known`` is False where the average closed price is not in the logs: those of a liquidation of party B
    have no prices. ``max_funding_rate`` is None where the quote is known by logs only. ``terminal_block`` is the block
    in which the quote got a status that it cannot leave, None before.
    """

    quote_id: Unquoted[int]
    symbol_id: Unquoted[int]
    position_type: Unquoted[PositionType]
    order_type: Unquoted[OrderType]
    status: Unquoted[QuoteStatus]
    party_b: str
    whitelist: tuple[str, ...]
    requested_open_price: Amount
    market_price: Amount
    opened_price: Amount
    initial_opened_price: Amount
    quantity: Amount
    closed_amount: Amount
    avg_closed_price: Amount
    avg_closed_known: Flag
    requested_close_price: Amount
    quantity_to_close: Amount
    locked: Locked
    initial_locked: Locked
    trading_fee: Amount
    deadline_s: Amount
    parent_id: Unquoted[int]
    max_funding_rate: Amount | None
    terminal_block: Unquoted[int | None]

    @property
    def open_amount(self) -> int:
        """Quantity not closed yet (LibQuote.quoteOpenAmount)."""
        return self.quantity - self.closed_amount

    @property
    def trading_fee_amount(self) -> int:
        """The fee taken when the quote was sent, and given back if it is not opened (LibQuote.getTradingFee)."""
        price = self.requested_open_price if self.order_type is OrderType.LIMIT else self.market_price
        return self.open_amount * price * self.trading_fee // 10**36


class AccountState(msgspec.Struct, frozen=True):
    """The state of one account, as far as logs and checkpoints tell it.

    ``owner``, ``multi_account`` and ``name`` are None where no configured MultiAccount named the account.
    ``reimbursement`` is what goes back to the account when its liquidation is over. ``party_b`` maps a party B to its
    bucket with this account; ``liquidation_prices`` maps symbol ids to the prices of the liquidation under way.
    """

    owner: str | None = None
    multi_account: str | None = None
    name: str | None = None
    balances: Balances = Balances()
    reimbursement: int = 0
    liquidating: bool = False
    party_b: Mapping[str, Balances] = {}
    quotes: Mapping[int, Quote] = {}
    liquidation_prices: Mapping[int, int] = {}

    @property
    def open_quotes(self) -> list[Quote]:
        """Quotes that are positions (statuses 4, 5, 6), by quote id."""
        return [
            self.quotes[quote_id] for quote_id in sorted(self.quotes) if self.quotes[quote_id].status in OPEN_STATUSES
        ]

    @property
    def pending_quotes(self) -> list[Quote]:
        """Quotes that are not opened yet (statuses 0, 1, 2), by quote id."""
        return [
            self.quotes[quote_id]
            for quote_id in sorted(self.quotes)
            if self.quotes[quote_id].status in PENDING_STATUSES
        ]


EMPTY = AccountState()


def state_of_checkpoint(checkpoint: Checkpoint) -> AccountState:
    """Make the state of an account from a checkpoint.

    Raises:
        ValueError: A text is not a number, or a number is out of its range.
    """
    return AccountState(
        owner=checkpoint.owner,
        multi_account=checkpoint.multi_account,
        name=checkpoint.name,
        balances=_balances(checkpoint.balances),
        reimbursement=int(checkpoint.reimbursement),
        liquidating=checkpoint.liquidated,
        party_b={view.party_b.lower(): _balances(view.balances) for view in checkpoint.party_bs},
        quotes={view.quote_id: _quote(view) for view in checkpoint.quotes},
    )


def _balances(texts: tuple[str, ...]) -> Balances:
    allocated, cva, lf, amm, bmm, pending_cva, pending_lf, pending_amm, pending_bmm = map(int, texts)
    return Balances(allocated, Locked(cva, lf, amm, bmm), Locked(pending_cva, pending_lf, pending_amm, pending_bmm))


def _quote(view: QuoteView) -> Quote:
    for number in (view.quote_id, view.symbol_id, view.parent_id):
        if not 0 <= number <= NUMBER_MAX:
            msg = f"expected ids of at most 63 bits, found {number}"
            raise ValueError(msg)
    return Quote(
        quote_id=view.quote_id,
        symbol_id=view.symbol_id,
        position_type=PositionType(view.position_type),
        order_type=OrderType(view.order_type),
        status=QuoteStatus(view.status),
        party_b=view.party_b.lower(),
        whitelist=view.whitelist,
        requested_open_price=int(view.requested_open_price),
        market_price=int(view.market_price),
        opened_price=int(view.opened_price),
        initial_opened_price=int(view.initial_opened_price),
        quantity=int(view.quantity),
        closed_amount=int(view.closed_amount),
        avg_closed_price=int(view.avg_closed_price),
        avg_closed_known=True,
        requested_close_price=int(view.requested_close_price),
        quantity_to_close=int(view.quantity_to_close),
        locked=Locked(*map(int, view.locked)),
        initial_locked=Locked(*map(int, view.initial_locked)),
        trading_fee=int(view.trading_fee),
        deadline_s=int(view.deadline_s),
        parent_id=view.parent_id,
        max_funding_rate=int(view.max_funding_rate),
        terminal_block=None,
    )
