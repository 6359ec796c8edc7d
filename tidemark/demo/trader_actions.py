"""What party A does at the Diamond, and the steps that its actions share with party B's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.money import E18
from tidemark.demo import events
from tidemark.demo.balances import PENDING_QUOTES_LIMIT, Balances
from tidemark.demo.books import require
from tidemark.demo.ledger import (
    OPEN,
    ZERO_ADDRESS,
    Locked,
    OrderType,
    PartyA,
    PositionType,
    Quote,
    Status,
)

if TYPE_CHECKING:
    from tidemark.demo.ledger import Symbol

PLATFORM_FEE_IN, PLATFORM_FEE_OUT = 2, 3
REALIZED_PNL_IN, REALIZED_PNL_OUT = 4, 5
CVA_IN, LF_IN = 6, 8


def without(items: tuple[int, ...], item: int) -> tuple[int, ...]:
    """Remove ``item`` as the contract does: the last item takes its place."""
    at = items.index(item)
    last = items[-1]
    return items[:-1] if at == len(items) - 1 else (*items[:at], last, *items[at + 1 : -1])


class TraderActions(Balances):
    """The actions of party A."""

    def send_quote(
        self,
        account: str,
        *,
        whitelist: tuple[str, ...],
        symbol_id: int,
        position_type: PositionType,
        order_type: OrderType,
        price: int,
        quantity: int,
        locked: Locked,
        max_funding_rate: int,
        deadline_s: int,
        affiliate: str,
    ) -> int:
        """Ask hedgers for a position; the platform's fee is taken at once. Amounts and prices are in 1e18ths.

        Args:
            account: Who asks, party A.
            whitelist: The hedgers who may answer; all may where it is empty.
            symbol_id: The market.
            position_type: Long or short.
            order_type: Whether it waits for its price.
            price: The worst price, above 0.
            quantity: How much, above 0.
            locked: What both sides must set aside.
            max_funding_rate: The greatest rate an epoch, 1e18-scaled.
            deadline_s: Until when it may be opened, in Unix s.
            affiliate: The frontend's address.

        Returns:
            The new quote's id.

        Raises:
            Reverted: The contract would refuse it.
        """
        party = self.ledger.party_as[account]
        symbol = self.ledger.symbol(symbol_id)
        require(not party.liquidated, "party A is in liquidation")
        require(len(party.pending_quotes) < PENDING_QUOTES_LIMIT, "too many pending quotes")
        require(deadline_s >= self.now_s, "the deadline has passed")
        require(locked.lf >= symbol.min_acceptable_portion_lf * locked.for_party_a // E18, "LF is not enough")
        require(locked.for_party_a >= symbol.min_acceptable_quote_value, "the quote's value is low")
        quote = self._blank_quote(account, symbol)._replace(
            whitelist=whitelist,
            position_type=position_type,
            order_type=order_type,
            requested_open_price=price,
            quantity=quantity,
            initial_locked=locked,
            locked=locked,
            max_funding_rate=max_funding_rate,
            deadline_s=deadline_s,
            affiliate=affiliate,
        )
        require(self.available_for_quote(account) >= locked.for_party_a + quote.fee, "insufficient available balance")
        self._put_sent(party, quote)
        return quote.quote_id

    def _blank_quote(self, account: str, symbol: Symbol) -> Quote:
        """The next quote of an account, in which all that the account itself says is still to be set."""
        return Quote(
            quote_id=self.ledger.counters["quote"] + 1,
            whitelist=(),
            symbol_id=symbol.symbol_id,
            position_type=PositionType.LONG,
            order_type=OrderType.LIMIT,
            opened_price=0,
            initial_opened_price=0,
            requested_open_price=0,
            market_price=self.marks[symbol.symbol_id],
            quantity=0,
            closed_amount=0,
            initial_locked=Locked(),
            locked=Locked(),
            max_funding_rate=0,
            party_a=account,
            party_b=ZERO_ADDRESS,
            status=Status.PENDING,
            avg_closed_price=0,
            requested_close_price=0,
            quantity_to_close=0,
            parent_id=0,
            created_s=self.now_s,
            modified_s=self.now_s,
            last_funding_s=0,
            deadline_s=0,
            trading_fee=symbol.trading_fee,
            affiliate=ZERO_ADDRESS,
            close_id=0,
        )

    def _put_sent(self, party: PartyA, quote: Quote) -> None:
        self.ledger.next_id("quote")
        self.ledger.put_quote(quote)
        self.ledger.put_party_a(
            quote.party_a,
            party._replace(
                allocated=party.allocated - quote.fee,
                pending=party.pending.plus(quote.locked),
                quotes_sent=party.quotes_sent + 1,
                pending_quotes=(*party.pending_quotes, quote.quote_id),
            ),
        )
        self.emit(events.BALANCE_CHANGE_PARTY_A, quote.party_a, quote.fee, PLATFORM_FEE_OUT)
        self._emit_sent(quote)

    def request_to_cancel_quote(self, quote_id: int) -> None:
        """Withdraw a pending quote, or ask the hedger who locked it to let it go; an expired one expires."""
        quote = self._live(quote_id, Status.PENDING, Status.LOCKED)
        if self.now_s > quote.deadline_s:
            self._expire_open(quote)
            self.emit(events.EXPIRE_QUOTE, Status.EXPIRED, quote_id)
            return
        status = Status.CANCELED if quote.status is Status.PENDING else Status.CANCEL_PENDING
        if status is Status.CANCELED:
            self._leave_pending(quote, status)
        else:
            self.ledger.put_quote(quote._replace(status=status, modified_s=self.now_s))
        self.emit(events.REQUEST_TO_CANCEL_QUOTE, quote.party_a, quote.party_b, status, quote_id)

    def expire_quote(self, quote_id: int) -> None:
        """End a quote, or a close request, whose deadline has passed."""
        quote = self._live(
            quote_id,
            Status.PENDING,
            Status.LOCKED,
            Status.CANCEL_PENDING,
            Status.CLOSE_PENDING,
            Status.CANCEL_CLOSE_PENDING,
        )
        require(self.now_s > quote.deadline_s, "the quote is not expired")
        if quote.status in OPEN:
            self._back_to_opened(quote)
            self.emit(events.EXPIRE_QUOTE_CLOSE, Status.OPENED, quote_id, quote.close_id)
            self.emit(events.EXPIRE_QUOTE, Status.OPENED, quote_id)
        else:
            self._expire_open(quote)
            self.emit(events.EXPIRE_QUOTE, Status.EXPIRED, quote_id)

    def request_to_close_position(
        self, quote_id: int, *, price: int, quantity: int, order_type: OrderType, deadline_s: int
    ) -> None:
        """Ask the hedger to close a part of a position, or all of it.

        Args:
            quote_id: The position.
            price: The worst price, in 1e18ths, above 0.
            quantity: How much, in 1e18ths, at most what is open.
            order_type: Whether it waits for its price.
            deadline_s: Until when it may be closed, in Unix s.

        Raises:
            Reverted: The contract would refuse it.
        """
        quote = self._live(quote_id, Status.OPENED)
        require(deadline_s >= self.now_s, "the deadline has passed")
        require(quote.open_amount >= quantity, "more than is open")
        if quote.open_amount > quantity:
            rest = (quote.open_amount - quantity) * quote.locked.for_party_a // quote.open_amount
            least = self.ledger.symbol(quote.symbol_id).min_acceptable_quote_value
            require(rest >= least, "the remaining quote's value is low")
        quote = quote._replace(
            status=Status.CLOSE_PENDING,
            modified_s=self.now_s,
            requested_close_price=price,
            quantity_to_close=quantity,
            order_type=order_type,
            deadline_s=deadline_s,
            close_id=self.ledger.next_id("close"),
        )
        self.ledger.put_quote(quote)
        self.emit(
            events.REQUEST_TO_CLOSE_POSITION,
            quote.party_a,
            quote.party_b,
            quote_id,
            price,
            quantity,
            order_type,
            deadline_s,
            Status.CLOSE_PENDING,
            quote.close_id,
        )

    def request_to_cancel_close_request(self, quote_id: int) -> None:
        """Ask the hedger to drop a close request; an expired one expires."""
        quote = self._live(quote_id, Status.CLOSE_PENDING)
        if self.now_s > quote.deadline_s:
            self.expire_quote(quote_id)
            return
        self.ledger.put_quote(quote._replace(status=Status.CANCEL_CLOSE_PENDING, modified_s=self.now_s))
        self.emit(
            events.REQUEST_TO_CANCEL_CLOSE_REQUEST,
            quote.party_a,
            quote.party_b,
            quote_id,
            Status.CANCEL_CLOSE_PENDING,
            quote.close_id,
        )

    # Shared steps

    def _live(self, quote_id: int, *statuses: Status) -> Quote:
        quote = self.ledger.quote(quote_id)
        require(quote.status in statuses, "invalid state")
        require(not self.ledger.party_as[quote.party_a].liquidated, "party A is in liquidation")
        return quote

    def _emit_sent(self, quote: Quote) -> None:
        self.emit(
            events.SEND_QUOTE,
            quote.party_a,
            quote.quote_id,
            quote.whitelist,
            quote.symbol_id,
            quote.position_type,
            quote.order_type,
            quote.requested_open_price,
            quote.market_price,
            quote.quantity,
            *quote.locked,
            quote.trading_fee,
            quote.deadline_s,
        )

    def _expire_open(self, quote: Quote) -> None:
        self._leave_pending(quote, Status.EXPIRED)
        self.emit(events.EXPIRE_QUOTE_OPEN, Status.EXPIRED, quote.quote_id)

    def _leave_pending(self, quote: Quote, status: Status) -> None:
        party: PartyA = self.ledger.party_as[quote.party_a]
        self.ledger.put_party_a(
            quote.party_a,
            party._replace(
                allocated=party.allocated + quote.fee,
                pending=party.pending.minus(quote.locked),
                pending_quotes=without(party.pending_quotes, quote.quote_id),
            ),
        )
        if quote.party_b != ZERO_ADDRESS:
            self._release_party_b(quote)
        self.ledger.put_quote(quote._replace(status=status, modified_s=self.now_s))
        self.emit(events.BALANCE_CHANGE_PARTY_A, quote.party_a, quote.fee, PLATFORM_FEE_IN)

    def _release_party_b(self, quote: Quote) -> None:
        pair = self.ledger.pairs[quote.party_b, quote.party_a]
        self.ledger.pairs[quote.party_b, quote.party_a] = pair._replace(
            pending=pair.pending.minus(quote.locked), pending_quotes=without(pair.pending_quotes, quote.quote_id)
        )

    def _back_to_opened(self, quote: Quote) -> None:
        self.ledger.put_quote(
            quote._replace(status=Status.OPENED, modified_s=self.now_s, requested_close_price=0, quantity_to_close=0)
        )
