"""The fold: one account's state after the events of one transaction, as contracts 0.8.3 and 0.8.4 change it.

File and line references are to SYMMIO's protocol-core 0.8.4. Balances follow from the BalanceChange events, quotes and
locked values from the quote events. The fold requires of an event every condition that the contract requires of its
action, so a state that has gone wrong is found at once instead of served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from models.money import E18
from models.symmio.draft import BadFold, Draft
from models.symmio.events import (
    AddAccount,
    BalanceChange,
    BalanceChangePartyA,
    BalanceChangePartyB,
    CancelCloseRequest,
    CancelQuote,
    ChargeFundingRate,
    ClosePosition,
    Closing,
    EditAccountName,
    ExpireQuoteClose,
    ExpireQuoteOpen,
    FullyLiquidatedPartyA,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    LockQuote,
    OpenPosition,
    RequestToCancelCloseRequest,
    RequestToCancelQuote,
    RequestToClosePosition,
    SendQuote,
    SetSymbolsPrices,
    SettleUpnl,
    UnlockQuote,
)
from models.symmio.fold_liquidations import LOCKED_STATUSES, Liquidations
from models.symmio.state import (
    OPEN_STATUSES,
    PENDING_STATUSES,
    ZERO_ADDRESS,
    AccountState,
    Locked,
    PositionType,
    Quote,
    QuoteStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.symmio.events import AccountEvent

__all__ = ["NAME_CHARACTERS_MAX", "BadFold", "fold"]

# An owner may give an account a name of any length; a row must stay small.
NAME_CHARACTERS_MAX = 200
_CLOSING_STATUSES = {
    Closing.FILL: frozenset({QuoteStatus.CLOSE_PENDING, QuoteStatus.CANCEL_CLOSE_PENDING}),
    Closing.EMERGENCY: frozenset({QuoteStatus.OPENED, QuoteStatus.CLOSE_PENDING}),
    Closing.FORCE: frozenset({QuoteStatus.CLOSE_PENDING}),
}
_replace = msgspec.structs.replace


def fold(state: AccountState, events: Iterable[AccountEvent], block: int) -> AccountState:
    """Fold the events of one transaction, in log order, into the account they concern.

    Args:
        state: The account before the transaction.
        events: Every event of the transaction that concerns the account, without legacy duplicates.
        block: Number of the block; a quote that ends keeps it.

    Returns:
        The account after the transaction; ``state`` is unchanged.

    Raises:
        BadFold: An event does not fit the state.
    """
    transaction = _Transaction(state, block)
    for event in events:
        transaction.apply(event)
    return transaction.result()


def fold_each(state: AccountState, events: Iterable[AccountEvent], block: int) -> Iterator[AccountState]:
    """Fold the same, and yield the account as each of the events leaves it.

    Args:
        state: The account before the transaction.
        events: Every event of the transaction that concerns the account.
        block: Number of the block.

    Raises:
        BadFold: An event does not fit the state.
    """
    transaction = _Transaction(state, block)
    for event in events:
        transaction.apply(event)
        yield transaction.so_far()


class _Transaction:
    """One transaction being folded."""

    def __init__(self, state: AccountState, block: int) -> None:
        self._draft = Draft(state)
        self._block = block
        # The remainder of a partial fill, until the next event gives it its id.
        self._remainder: Quote | None = None
        self._liquidations = Liquidations(self._draft, block)

    def result(self) -> AccountState:
        self._expect_no_remainder("the end of the transaction")
        return self._draft.state()

    def so_far(self) -> AccountState:
        """The account as the events so far leave it; later ones do not change what was handed out."""
        state = self._draft.state()
        return _replace(state, party_b=dict(state.party_b), quotes=dict(state.quotes))

    def apply(self, event: AccountEvent) -> None:
        if not isinstance(event, SendQuote | CancelQuote):
            self._expect_no_remainder(type(event).__name__)
        match event:
            case BalanceChangePartyA():
                self._balance_change_party_a(event)
            case BalanceChangePartyB():
                self._balance_change_party_b(event)
            case SendQuote():
                self._send_quote(event)
            case LockQuote():
                self._lock(event)
            case UnlockQuote():
                self._unlock(event)
            case RequestToCancelQuote():
                self._request_to_cancel(event)
            case CancelQuote():
                self._cancel(event)
            case ExpireQuoteOpen():
                quote = self._draft.quote(event.quote_id, "ExpireQuoteOpen", PENDING_STATUSES)
                self._end_pending(quote, QuoteStatus.EXPIRED)
            case ExpireQuoteClose():
                self._reopen(self._draft.quote(event.quote_id, "ExpireQuoteClose", _CLOSING_STATUSES[Closing.FILL]))
            case OpenPosition():
                self._open(event)
            case RequestToClosePosition():
                self._request_to_close(event)
            case RequestToCancelCloseRequest():
                quote = self._draft.quote(event.quote_id, "RequestToCancelCloseRequest", {QuoteStatus.CLOSE_PENDING})
                self._draft.put(quote, status=QuoteStatus.CANCEL_CLOSE_PENDING)
            case CancelCloseRequest():
                statuses = {QuoteStatus.CANCEL_CLOSE_PENDING}
                self._reopen(self._draft.quote(event.quote_id, "AcceptCancelCloseRequest", statuses))
            case ClosePosition():
                self._close(event)
            case ChargeFundingRate():
                self._charge_funding(event)
            case SettleUpnl():
                for quote_id, price in event.prices:
                    self._draft.put(self._draft.quote(quote_id, "SettleUpnl", OPEN_STATUSES), opened_price=price)
            case (
                LiquidatePartyA()
                | SetSymbolsPrices()
                | LiquidatePendingPositionsPartyA()
                | LiquidatePositionsPartyA()
                | FullyLiquidatedPartyA()
                | LiquidatePartyB()
                | LiquidatePositionsPartyB()
            ):
                self._liquidations.apply(event)
            case AddAccount():
                self._draft.named = (event.owner, event.multi_account, event.name[:NAME_CHARACTERS_MAX])
            case EditAccountName():
                owner, multi_account, _ = self._draft.named
                self._draft.named = (owner, multi_account, event.name[:NAME_CHARACTERS_MAX])
            case _:
                assert_never(event)

    # Balances

    def _balance_change_party_a(self, event: BalanceChangePartyA) -> None:
        if self._draft.liquidating and event.change is BalanceChange.PLATFORM_FEE_IN:
            # Fees of quotes that end with the liquidation are kept aside, not allocated (LiquidationFacetImpl.sol:108).
            self._liquidations.fees_back += event.amount
            return
        if self._draft.liquidating and event.change is BalanceChange.CVA_OUT:
            # 0.8.3 emits it when it settles, but its storage only changes with the REALIZED_PNL_OUT of all that is
            # left.
            return
        allocated = self._draft.balances.allocated + (event.amount if event.change.is_in else -event.amount)
        if allocated < 0:
            msg = (
                f"expected party A's allocated balance to be at least the {event.amount} taken by "
                f"{event.change.name}, found {self._draft.balances.allocated}"
            )
            raise BadFold(msg)
        self._draft.balances = _replace(self._draft.balances, allocated=allocated)

    def _balance_change_party_b(self, event: BalanceChangePartyB) -> None:
        bucket = self._draft.bucket(event.party_b)
        allocated = bucket.allocated + (event.amount if event.change.is_in else -event.amount)
        if allocated < 0:
            msg = (
                f"expected what {event.party_b} allocated to be at least the {event.amount} taken by "
                f"{event.change.name}, found {bucket.allocated}"
            )
            raise BadFold(msg)
        self._draft.buckets[event.party_b] = _replace(bucket, allocated=allocated)

    # Pending quotes

    def _send_quote(self, event: SendQuote) -> None:
        if event.quote_id in self._draft.quotes:
            msg = (
                f"expected quote {event.quote_id} to be new at SendQuote, found it {self._draft.status(event.quote_id)}"
            )
            raise BadFold(msg)
        parent, self._remainder = self._remainder, None
        if parent is not None and (parent.status, parent.quantity, parent.locked) != (
            QuoteStatus.PENDING,
            event.quantity,
            event.locked,
        ):
            msg = (
                f"expected quote {event.quote_id} to be what the partial fill of {parent.parent_id} left, "
                f"{parent.quantity} with {parent.locked}, found {event.quantity} with {event.locked}"
            )
            raise BadFold(msg)
        self._draft.quotes[event.quote_id] = Quote(
            quote_id=event.quote_id,
            symbol_id=event.symbol_id,
            position_type=event.position_type,
            order_type=event.order_type,
            status=QuoteStatus.PENDING,
            party_b=ZERO_ADDRESS,
            whitelist=event.whitelist,
            requested_open_price=event.price,
            market_price=event.market_price,
            opened_price=0,
            initial_opened_price=0,
            quantity=event.quantity,
            closed_amount=0,
            avg_closed_price=0,
            avg_closed_known=True,
            requested_close_price=0,
            quantity_to_close=0,
            locked=event.locked,
            initial_locked=event.locked,
            trading_fee=event.trading_fee,
            deadline_s=event.deadline_s,
            parent_id=0 if parent is None else parent.parent_id,
            max_funding_rate=None if parent is None else parent.max_funding_rate,
            terminal_block=None,
        )
        self._draft.balances = _replace(self._draft.balances, pending=self._draft.balances.pending.plus(event.locked))

    def _lock(self, event: LockQuote) -> None:
        quote = self._draft.quote(event.quote_id, "LockQuote", {QuoteStatus.PENDING})
        self._draft.put(quote, status=QuoteStatus.LOCKED, party_b=event.party_b)
        self._draft.add_pending_party_b(event.party_b, quote.locked)

    def _unlock(self, event: UnlockQuote) -> None:
        quote = self._draft.quote(event.quote_id, "UnlockQuote", {QuoteStatus.LOCKED})
        self._draft.take_pending_party_b(quote)
        self._draft.put(quote, status=QuoteStatus.PENDING, party_b=ZERO_ADDRESS)

    def _request_to_cancel(self, event: RequestToCancelQuote) -> None:
        match event.status:
            case QuoteStatus.CANCEL_PENDING:
                quote = self._draft.quote(event.quote_id, "RequestToCancelQuote", {QuoteStatus.LOCKED})
                self._draft.put(quote, status=QuoteStatus.CANCEL_PENDING)
            case QuoteStatus.CANCELED:
                quote = self._draft.quote(event.quote_id, "RequestToCancelQuote", {QuoteStatus.PENDING})
                self._end_pending(quote, QuoteStatus.CANCELED)
            case status:
                msg = f"expected quote {event.quote_id} to be CANCELED or CANCEL_PENDING, found {status.name}"
                raise BadFold(msg)

    def _cancel(self, event: CancelQuote) -> None:
        left, self._remainder = self._remainder, None
        if left is None:
            name = "ForceCancelQuote" if event.forced else "AcceptCancelRequest"
            quote = self._draft.quote(event.quote_id, name, {QuoteStatus.CANCEL_PENDING})
            self._end_pending(quote, QuoteStatus.CANCELED)
            return
        if event.forced or event.quote_id in self._draft.quotes or left.status is not QuoteStatus.CANCELED:
            msg = f"expected the rest of the partly filled quote {left.parent_id}, found {event.quote_id} cancelled"
            raise BadFold(msg)
        self._draft.quotes[event.quote_id] = _replace(left, quote_id=event.quote_id, terminal_block=self._block)

    def _end_pending(self, quote: Quote, status: QuoteStatus) -> None:
        self._draft.take_pending_party_a(quote)
        if quote.status in LOCKED_STATUSES:
            self._draft.take_pending_party_b(quote)
        self._draft.put(quote, status=status, terminal_block=self._block)

    # Positions

    def _open(self, event: OpenPosition) -> None:
        quote = self._draft.quote(event.quote_id, "OpenPosition", LOCKED_STATUSES)
        # A market quote of quantity 0 may be sent and opened (LibPartyBPositionsActions.sol:46-49): 0 of 0 is filled.
        if event.party_b != quote.party_b or not min(1, quote.quantity) <= event.filled_amount <= quote.quantity:
            msg = (
                f"expected at most {quote.quantity} of quote {event.quote_id} filled by {quote.party_b}, "
                f"found {event.filled_amount} by {event.party_b}"
            )
            raise BadFold(msg)
        if quote.requested_open_price == 0:
            msg = f"expected a requested open price of quote {event.quote_id} at OpenPosition, found 0"
            raise BadFold(msg)
        self._draft.take_pending_party_a(quote)
        self._draft.take_pending_party_b(quote)
        filled = quote.locked
        if event.filled_amount < quote.quantity:
            # LibPartyBPositionsActions.sol:75-158: the parent keeps what was filled, a child gets the rest.
            filled = quote.locked.scaled(event.filled_amount, quote.quantity)
            self._remainder = _remainder(quote, event.filled_amount, quote.locked.minus(filled))
        locked = filled.scaled(event.opened_price, quote.requested_open_price)
        self._draft.put(
            quote,
            status=QuoteStatus.OPENED,
            quantity=event.filled_amount,
            opened_price=event.opened_price,
            initial_opened_price=event.opened_price,
            locked=locked,
        )
        self._draft.balances = _replace(self._draft.balances, locked=self._draft.balances.locked.plus(locked))
        bucket = self._draft.bucket(quote.party_b)
        self._draft.buckets[quote.party_b] = _replace(bucket, locked=bucket.locked.plus(locked))

    def _request_to_close(self, event: RequestToClosePosition) -> None:
        self._draft.put(
            self._draft.quote(event.quote_id, "RequestToClosePosition", {QuoteStatus.OPENED}),
            status=QuoteStatus.CLOSE_PENDING,
            requested_close_price=event.close_price,
            quantity_to_close=event.quantity_to_close,
            order_type=event.order_type,
            deadline_s=event.deadline_s,
        )

    def _close(self, event: ClosePosition) -> None:
        """Close a part or all of a position (LibQuote.sol:171-247)."""
        name = f"{event.closing.name.capitalize()} close"
        quote = self._draft.quote(event.quote_id, name, _CLOSING_STATUSES[event.closing])
        amount, to_close = event.filled_amount, quote.quantity_to_close
        if event.closing is Closing.EMERGENCY:
            to_close = quote.open_amount
        if not 0 < amount <= to_close:
            msg = f"expected at most {to_close} of quote {event.quote_id} closed, found {amount}"
            raise BadFold(msg)
        released = quote.locked.scaled(amount, quote.open_amount)
        self._draft.take_locked_party_a(quote, released)
        self._draft.take_locked_party_b(quote, released)
        closed = quote.closed_amount + amount
        status, requested_close_price, left = quote.status, quote.requested_close_price, to_close - amount
        terminal_block = None
        if closed == quote.quantity:
            status, requested_close_price, terminal_block = QuoteStatus.CLOSED, 0, self._block
        elif status is QuoteStatus.CANCEL_CLOSE_PENDING or left == 0:
            status, requested_close_price, left = QuoteStatus.OPENED, 0, 0
        if status is not event.status:
            msg = f"expected quote {event.quote_id} to be {status.name} after {amount} more, found {event.status.name}"
            raise BadFold(msg)
        self._draft.put(
            quote,
            status=status,
            locked=quote.locked.minus(released),
            avg_closed_price=(quote.avg_closed_price * quote.closed_amount + amount * event.closed_price) // closed,
            closed_amount=closed,
            quantity_to_close=left,
            requested_close_price=requested_close_price,
            terminal_block=terminal_block,
        )

    def _reopen(self, quote: Quote) -> None:
        self._draft.put(quote, status=QuoteStatus.OPENED, requested_close_price=0, quantity_to_close=0)

    def _charge_funding(self, event: ChargeFundingRate) -> None:
        """Move opened prices: party A pays where the rate is 0 or more, else party B (FundingRateFacetImpl.sol:50)."""
        for quote_id, rate in event.rates:
            quote = self._draft.quote(quote_id, "ChargeFundingRate", OPEN_STATUSES)
            difference = quote.opened_price * abs(rate) // E18
            up = (rate >= 0) == (quote.position_type is PositionType.LONG)
            opened_price = quote.opened_price + (difference if up else -difference)
            if opened_price < 0:
                msg = f"expected a rate that leaves quote {quote_id} a price of {quote.opened_price}, found {rate}"
                raise BadFold(msg)
            self._draft.put(quote, opened_price=opened_price)

    def _expect_no_remainder(self, found: str) -> None:
        if self._remainder is not None:
            msg = (
                f"expected SendQuote or AcceptCancelRequest for what the partial fill of quote "
                f"{self._remainder.parent_id} left, found {found}"
            )
            raise BadFold(msg)


def _remainder(quote: Quote, filled_amount: int, locked: Locked) -> Quote:
    """Make the remainder that a partial fill of ``filled_amount`` leaves of ``quote``; its id is not known yet."""
    return _replace(
        quote,
        quote_id=0,
        parent_id=quote.quote_id,
        status=QuoteStatus.CANCELED if quote.status is QuoteStatus.CANCEL_PENDING else QuoteStatus.PENDING,
        party_b=ZERO_ADDRESS,
        quantity=quote.quantity - filled_amount,
        locked=locked,
        initial_locked=locked,
    )
