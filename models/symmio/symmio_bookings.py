"""The bookings of a SYMMIO account: what each event of a transaction did to its positions and its allocated balance.

Every event is folded by the fold itself, stopped after each, and a booking says by how much what stands differs. So the
changes of the balance in an account's bookings add up to what the contract has allocated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never, cast

from models.account_events import AccountCheckpoint, Transaction, Unfoldable
from models.bookings import (
    CHECKPOINT,
    CLOSE,
    FEE,
    FUNDING,
    GAP,
    LIQUIDATION,
    OPEN,
    REALISED,
    SETTLEMENT,
    TRANSFER,
    Booked,
    Booking,
)
from models.money import E18, divide_toward_zero
from models.symmio.abi import decode_log
from models.symmio.account import AccountRow
from models.symmio.events import (
    BalanceChange,
    BalanceChangePartyA,
    CancelQuote,
    ChargeFundingRate,
    ClosePosition,
    ExpireQuoteOpen,
    FullyLiquidatedPartyA,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    OpenPosition,
    RequestToCancelQuote,
    SendQuote,
    SettleUpnl,
)
from models.symmio.fold import fold_each
from models.symmio.state import PositionType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from models.account_events import OwnRecord
    from models.symmio.events import AccountEvent
    from models.symmio.state import AccountState, Quote

SYMMIO_BOOKING_NAMES = (
    OPEN, CLOSE, LIQUIDATION, FUNDING, SETTLEMENT, FEE, REALISED, TRANSFER, CHECKPOINT, GAP,
)  # fmt: skip
_OF_BALANCE = {
    BalanceChange.ALLOCATE: TRANSFER,
    BalanceChange.DEALLOCATE: TRANSFER,
    BalanceChange.PLATFORM_FEE_IN: FEE,
    BalanceChange.PLATFORM_FEE_OUT: FEE,
    BalanceChange.REALIZED_PNL_IN: REALISED,
    BalanceChange.REALIZED_PNL_OUT: REALISED,
    BalanceChange.CVA_IN: LIQUIDATION,
    BalanceChange.CVA_OUT: LIQUIDATION,
    BalanceChange.LF_IN: LIQUIDATION,
    BalanceChange.LF_OUT: LIQUIDATION,
    BalanceChange.FUNDING_FEE_IN: FUNDING,
    BalanceChange.FUNDING_FEE_OUT: FUNDING,
}
_SENT = (SendQuote, RequestToCancelQuote, CancelQuote, ExpireQuoteOpen)
_BOOKED = (
    BalanceChangePartyA,
    OpenPosition,
    ClosePosition,
    ChargeFundingRate,
    SettleUpnl,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    FullyLiquidatedPartyA,
    LiquidatePositionsPartyB,
)


class _Happened(NamedTuple):
    """An event, where it stands, and the account before and after it.

    ``fee_quote`` is the quote whose fee its transaction takes. ``is_hedger_liquidated``: the transaction liquidates the
    bucket of a party B with the account, and what it pays is what was left of that.
    """

    event: AccountEvent
    at: str
    before: AccountState
    after: AccountState
    fee_quote: int | None
    is_hedger_liquidated: bool

    @property
    def balance_e18(self) -> int:
        """By how much it changed the allocated balance."""
        return self.after.balances.allocated - self.before.balances.allocated


def bookings_of_record(before: AccountRow | None, record: OwnRecord, after: AccountRow) -> Booked | None:
    """The bookings of a record; None where it has none.

    Args:
        before: The account before it, None of a new one.
        record: The record.
        after: The account after it.
    """
    known = AccountRow() if before is None else before
    is_beginning = not known.state.balances.allocated and not known.state.quotes
    if after.suspicion is not None:
        gap = (Booking(GAP, after.suspicion),)
        return Booked(record.position, after.block, after.time_s * 1_000, gap, is_beginning=is_beginning)
    match record:
        case Transaction():
            # What comes to an account that is suspect already is not folded.
            found = () if after.suspect is not None else tuple(_of_transaction(known.state, record))
            if not found:
                return None
            return Booked(record.position, record.block, record.time_s * 1_000, found, is_beginning=is_beginning)
        case AccountCheckpoint(checkpoint=checkpoint):
            change = after.state.balances.allocated - known.state.balances.allocated
            booking = Booking(CHECKPOINT, "checkpoint", balance=str(change))
            time_ms = checkpoint.time_s * 1_000
            return Booked(record.position, checkpoint.block, time_ms, (booking,), is_beginning=is_beginning)
        case Unfoldable():
            return None
        case _:
            assert_never(record)


def _of_transaction(before: AccountState, record: Transaction) -> Iterator[Booking]:
    events = cast("list[AccountEvent]", [decode_log(log) for log in record.logs])
    if not any(isinstance(event, _BOOKED) for event in events):
        return
    fee_quote = _fee_quote(events)
    is_hedger_liquidated = any(isinstance(event, LiquidatePartyB) for event in events)
    states = fold_each(before, events, record.block)
    for log, event, state in zip(record.logs, events, states, strict=True):
        at = f"{record.tx}/{log.log_index}"
        yield from _of_event(_Happened(event, at, before, state, fee_quote, is_hedger_liquidated))
        before = state


def _fee_quote(events: Sequence[AccountEvent]) -> int | None:
    """The quote whose fee is taken or given back in a transaction, None where it is not of one quote alone."""
    quotes = {event.quote_id for event in events if isinstance(event, _SENT)}
    return quotes.pop() if len(quotes) == 1 else None


def _of_event(happened: _Happened) -> Iterator[Booking]:
    event = happened.event
    match event:
        case OpenPosition():
            yield _opened(happened, event)
        case ClosePosition():
            cause = f"{event.closing.name.lower()} close"
            yield _ended(happened, event.quote_id, CLOSE, cause, event.closed_price)
        case ChargeFundingRate():
            for quote_id, rate in event.rates:
                yield _charged(happened, quote_id, rate)
        case SettleUpnl():
            for quote_id in event.quote_ids:
                yield _settled(happened, quote_id)
        case LiquidatePositionsPartyA() | LiquidatePositionsPartyB():
            # Of a liquidation of party B, prices are in no log.
            prices = happened.before.liquidation_prices if isinstance(event, LiquidatePositionsPartyA) else {}
            for quote_id in event.quote_ids:
                price = prices.get(happened.before.quotes[quote_id].symbol_id)
                yield _ended(happened, quote_id, LIQUIDATION, type(event).__name__, price)
        case BalanceChangePartyA():
            if happened.balance_e18:
                yield _paid(happened, event)
        case LiquidatePartyA() | FullyLiquidatedPartyA() | LiquidatePartyB():
            # One that is deferred sets a part of the balance aside, which its end gives back.
            yield Booking(LIQUIDATION, type(event).__name__, happened.at, balance=str(happened.balance_e18))
        case _:
            return


def _opened(happened: _Happened, event: OpenPosition) -> Booking:
    quote = happened.after.quotes[event.quote_id]
    return Booking(
        OPEN,
        "OpenPosition",
        happened.at,
        quote.quote_id,
        quote.symbol_id,
        _side(quote),
        quantity=str(event.filled_amount),
        left=str(quote.open_amount),
        price=str(event.opened_price),
        opened_price_after=str(quote.opened_price),
    )


def _ended(happened: _Happened, quote_id: int, name: str, cause: str, price: int | None) -> Booking:
    """The booking of a position that a part of was closed, or all."""
    before, after = happened.before.quotes[quote_id], happened.after.quotes[quote_id]
    amount = before.open_amount - after.open_amount
    return Booking(
        name,
        cause,
        happened.at,
        quote_id,
        before.symbol_id,
        _side(before),
        quantity=str(amount),
        left=str(after.open_amount),
        price=None if price is None else str(price),
        opened_price=str(before.opened_price),
        realised=None if price is None else str(_gain(before, amount, price - before.opened_price)),
    )


def _charged(happened: _Happened, quote_id: int, rate: int) -> Booking:
    before, after = happened.before.quotes[quote_id], happened.after.quotes[quote_id]
    return Booking(
        FUNDING,
        "ChargeFundingRate",
        happened.at,
        quote_id,
        before.symbol_id,
        _side(before),
        quantity=str(before.open_amount),
        left=str(after.open_amount),
        opened_price=str(before.opened_price),
        opened_price_after=str(after.opened_price),
        rate=str(rate),
        # The charge is in the price that the position counts as opened at.
        funding=str(_gain(before, before.open_amount, before.opened_price - after.opened_price)),
    )


def _settled(happened: _Happened, quote_id: int) -> Booking:
    before, after = happened.before.quotes[quote_id], happened.after.quotes[quote_id]
    return Booking(
        SETTLEMENT,
        "SettleUpnl",
        happened.at,
        quote_id,
        before.symbol_id,
        _side(before),
        quantity=str(before.open_amount),
        left=str(after.open_amount),
        price=str(after.opened_price),
        opened_price=str(before.opened_price),
        opened_price_after=str(after.opened_price),
        realised=str(_gain(before, before.open_amount, after.opened_price - before.opened_price)),
    )


def _paid(happened: _Happened, event: BalanceChangePartyA) -> Booking:
    is_liquidation = happened.before.liquidating or happened.is_hedger_liquidated
    name = LIQUIDATION if is_liquidation else _OF_BALANCE[event.change]
    quote_id = happened.fee_quote if name == FEE else None
    return Booking(name, event.change.name, happened.at, quote_id, balance=str(happened.balance_e18))


def _gain(quote: Quote, amount: int, change: int) -> int:
    """What a change of the price is worth to party A, cut toward zero as the contract does (LibQuote.sol)."""
    signed = change if quote.position_type is PositionType.LONG else -change
    return divide_toward_zero(amount * signed, E18)


def _side(quote: Quote) -> str:
    return quote.position_type.name.lower()
