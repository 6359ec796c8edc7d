"""The Diamond's bookkeeping of trades, written from its users' side: every action checks, stores and emits.

It follows protocol-core 0.8.4 in what is required, in every rounding, and in the order of the events. It knows nothing
of how Tidemark reads them, which makes it an independent witness. An action that is refused raises ``Reverted`` before
it stores anything. Amounts, prices and rates an epoch are in 1e18ths; a rate is positive where party A pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.money import E18
from tidemark.demo import events
from tidemark.demo.books import require
from tidemark.demo.ledger import (
    OPEN,
    ZERO_ADDRESS,
    Locked,
    OrderType,
    PositionType,
    Quote,
    Status,
)
from tidemark.demo.trader_actions import (
    PLATFORM_FEE_IN,
    REALIZED_PNL_IN,
    REALIZED_PNL_OUT,
    TraderActions,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Contract(TraderActions):
    """The whole Diamond except for liquidations."""

    def lock_quote(self, hedger: str, quote_id: int) -> None:
        """Let a hedger take a pending quote on, who must then open it, unlock it or accept its cancellation."""
        quote = self._live(quote_id, Status.PENDING)
        require(self.now_s <= quote.deadline_s, "the quote is expired")
        require(not quote.whitelist or hedger in quote.whitelist, "the sender is not whitelisted")
        available = self.available_for_quote_of_party_b(hedger, quote.party_a)
        require(available >= quote.locked.for_party_b, "insufficient available balance")
        pair = self.ledger.pairs[hedger, quote.party_a]
        self.ledger.pairs[hedger, quote.party_a] = pair._replace(
            pending=pair.pending.plus(quote.locked), pending_quotes=(*pair.pending_quotes, quote_id)
        )
        self.ledger.put_quote(quote._replace(status=Status.LOCKED, party_b=hedger, modified_s=self.now_s))
        self.emit(events.LOCK_QUOTE, hedger, quote_id)

    def unlock_quote(self, quote_id: int) -> None:
        """Give a locked quote back; an expired one expires."""
        quote = self._live(quote_id, Status.LOCKED)
        if self.now_s > quote.deadline_s:
            self._expire_open(quote)
            return
        self._release_party_b(quote)
        self.ledger.put_quote(quote._replace(status=Status.PENDING, party_b=ZERO_ADDRESS, modified_s=self.now_s))
        self.emit(events.UNLOCK_QUOTE, quote.party_b, quote_id, Status.PENDING)

    def accept_cancel_request(self, quote_id: int) -> None:
        """Cancel a locked quote whose owner asked for that."""
        quote = self._live(quote_id, Status.CANCEL_PENDING)
        self._leave_pending(quote, Status.CANCELED)
        self.emit(events.ACCEPT_CANCEL_REQUEST, quote_id, Status.CANCELED)

    def open_position(self, quote_id: int, filled: int, price: int) -> None:
        """Open a locked quote; the part of a limit order that is left becomes a new quote, or is cancelled.

        Args:
            quote_id: The quote.
            filled: How much is opened, in 1e18ths; all of it for a market order.
            price: At which price, in 1e18ths, no worse than the quote asks for.

        Raises:
            Reverted: The contract would refuse it.
        """
        quote = self._live(quote_id, Status.LOCKED, Status.CANCEL_PENDING)
        symbol = self.ledger.symbol(quote.symbol_id)
        require(self.now_s <= quote.deadline_s, "the quote is expired")
        if quote.order_type is OrderType.LIMIT:
            require(0 < filled <= quote.quantity, "invalid filled amount")
        else:
            require(filled == quote.quantity, "invalid filled amount")
        require(_no_worse(quote, price, quote.requested_open_price), "invalid opened price")
        part = quote.locked if filled == quote.quantity else quote.locked.scaled(filled, quote.quantity)
        locked = part.scaled(price, quote.requested_open_price)
        require(locked.for_party_a >= symbol.min_acceptable_quote_value, "the quote's value is low")
        require(filled * price // locked.for_party_a <= symbol.max_leverage, "the leverage is high")
        opened = quote._replace(
            opened_price=price,
            initial_opened_price=price,
            quantity=filled,
            locked=locked,
            status=Status.OPENED,
            modified_s=self.now_s,
        )
        gain = opened.profit(self.marks[quote.symbol_id], filled)
        require(self.equity(quote.party_a) + gain >= 0, "party A would be insolvent")
        require(self.equity_of_party_b(quote.party_b, quote.party_a) - gain >= 0, "party B would be insolvent")
        rest = None
        if filled < quote.quantity:
            left = quote.locked.minus(part)
            kept = quote.status is Status.LOCKED
            require(not kept or left.for_party_a >= symbol.min_acceptable_quote_value, "the quote's value is low")
            rest = quote._replace(
                quote_id=self.ledger.counters["quote"] + 1,
                quantity=quote.quantity - filled,
                locked=left,
                initial_locked=left,
                party_b=ZERO_ADDRESS,
                status=Status.PENDING if kept else Status.CANCELED,
                parent_id=quote_id,
                modified_s=self.now_s,
            )
        self._store_opened(quote, opened, rest)
        self.ledger.balances[self.fee_collector] += quote._replace(quantity=filled).fee
        self.emit(events.OPEN_POSITION, quote_id, quote.party_a, quote.party_b, filled, price)
        if rest is not None and rest.status is Status.PENDING:
            self._emit_sent(rest)
        elif rest is not None:
            self.emit(events.ACCEPT_CANCEL_REQUEST, rest.quote_id, Status.CANCELED)

    def _store_opened(self, quote: Quote, opened: Quote, rest: Quote | None) -> None:
        account, hedger = quote.party_a, quote.party_b
        party, pair = self.ledger.party_as[account], self.ledger.pairs[hedger, account]
        party = party._replace(
            locked=party.locked.plus(opened.locked),
            pending=party.pending.minus(quote.locked),
            nonce=party.nonce + 1,
            pending_quotes=without(party.pending_quotes, quote.quote_id),
            open_quotes=(*party.open_quotes, quote.quote_id),
        )
        self.ledger.pairs[hedger, account] = pair._replace(
            locked=pair.locked.plus(opened.locked),
            pending=pair.pending.minus(quote.locked),
            nonce=pair.nonce + 1,
            pending_quotes=without(pair.pending_quotes, quote.quote_id),
            open_quotes=(*pair.open_quotes, quote.quote_id),
        )
        if rest is not None:
            self.ledger.next_id("quote")
            self.ledger.put_quote(rest)
            party = party._replace(quotes_sent=party.quotes_sent + 1)
            if rest.status is Status.PENDING:
                party = party._replace(
                    pending=party.pending.plus(rest.locked), pending_quotes=(*party.pending_quotes, rest.quote_id)
                )
            else:
                party = party._replace(allocated=party.allocated + rest.fee)
                self.emit(events.BALANCE_CHANGE_PARTY_A, account, rest.fee, PLATFORM_FEE_IN)
        self.ledger.put_party_a(account, party)
        self.ledger.put_quote(opened)

    def fill_close_request(self, quote_id: int, filled: int, price: int) -> None:
        """Close a part of a position, or all of it; the profit moves between the two parties' allocated balances.

        Args:
            quote_id: The position.
            filled: How much is closed, in 1e18ths; all that is asked for in a market order.
            price: At which price, in 1e18ths, no worse than the request asks for.

        Raises:
            Reverted: The contract would refuse it.
        """
        quote = self._live(quote_id, Status.CLOSE_PENDING, Status.CANCEL_CLOSE_PENDING)
        account, hedger = quote.party_a, quote.party_b
        party, pair = self.ledger.party_as[account], self.ledger.pairs[hedger, account]
        require(self.now_s <= quote.deadline_s, "the quote is expired")
        require(_no_worse(quote, quote.requested_close_price, price), "invalid closed price")
        if quote.order_type is OrderType.LIMIT:
            require(0 < filled <= quote.quantity_to_close, "invalid filled amount")
        else:
            require(filled == quote.quantity_to_close, "invalid filled amount")
        freed = quote.locked.scaled(filled, quote.open_amount)
        require(min(freed) > 0, "the filled amount is low")
        left = quote.locked.minus(freed)
        if quote.open_amount == quote.quantity_to_close:
            least = self.ledger.symbol(quote.symbol_id).min_acceptable_quote_value
            require(left.for_party_a == 0 or left.for_party_a >= least, "the remaining quote's value is low")
        unlocked = filled * (quote.locked.cva + quote.locked.lf) // quote.open_amount
        against_mark = quote._replace(opened_price=self.marks[quote.symbol_id]).profit(price, filled)
        require(self.equity(account) + unlocked + against_mark >= 0, "party A would be insolvent")
        equity_b = self.equity_of_party_b(hedger, account)
        require(equity_b + unlocked - against_mark >= 0, "party B would be insolvent")
        profit = quote.profit(price, filled)
        require(pair.allocated >= profit and party.allocated >= -profit, "other positions should be closed first")

        after = self._after_fill(quote, filled, price, left)
        open_a, open_b = party.open_quotes, pair.open_quotes
        if after.status is Status.CLOSED:
            open_a, open_b = without(open_a, quote_id), without(open_b, quote_id)
        self.ledger.put_quote(after)
        self.ledger.put_party_a(
            account,
            party._replace(
                allocated=party.allocated + profit,
                locked=party.locked.minus(freed),
                nonce=party.nonce + 1,
                open_quotes=open_a,
            ),
        )
        self.ledger.pairs[hedger, account] = pair._replace(
            allocated=pair.allocated - profit,
            locked=pair.locked.minus(freed),
            nonce=pair.nonce + 1,
            open_quotes=open_b,
        )
        gains = _gains(quote, price)
        self.emit(events.BALANCE_CHANGE_PARTY_A, account, abs(profit), REALIZED_PNL_IN if gains else REALIZED_PNL_OUT)
        self.emit(
            events.BALANCE_CHANGE_PARTY_B, hedger, account, abs(profit), REALIZED_PNL_OUT if gains else REALIZED_PNL_IN
        )
        self.emit(events.FILL_CLOSE_REQUEST, quote_id, account, hedger, filled, price, after.status, quote.close_id)

    def _after_fill(self, quote: Quote, filled: int, price: int, left: Locked) -> Quote:
        """A position of which ``filled`` was closed at ``price``, with the locked amounts that are left of it."""
        closed = quote.closed_amount + filled
        average = (quote.avg_closed_price * quote.closed_amount + filled * price) // closed
        to_close = quote.quantity_to_close - filled
        after = quote._replace(locked=left, closed_amount=closed, avg_closed_price=average, quantity_to_close=to_close)
        if closed == quote.quantity:
            return after._replace(status=Status.CLOSED, modified_s=self.now_s, requested_close_price=0)
        if quote.status is Status.CANCEL_CLOSE_PENDING or to_close == 0:
            return after._replace(
                status=Status.OPENED, modified_s=self.now_s, requested_close_price=0, quantity_to_close=0
            )
        return after

    def accept_cancel_close_request(self, quote_id: int) -> None:
        """Drop a close request whose owner asked for that."""
        quote = self._live(quote_id, Status.CANCEL_CLOSE_PENDING)
        self._back_to_opened(quote)
        self.emit(events.ACCEPT_CANCEL_CLOSE_REQUEST, quote_id, Status.OPENED, quote.close_id)

    def charge_funding_rate(self, hedger: str, account: str, rates: Sequence[tuple[int, int]]) -> None:
        """Charge positions for the running epoch by moving their opened prices.

        Args:
            hedger: Whose positions they are, party B.
            account: Whose they are on the other side, party A.
            rates: Quote ids and their rates for the epoch, 1e18-scaled; positive where party A pays.

        Raises:
            Reverted: The contract would refuse it.
        """
        party, pair = self.ledger.party_as[account], self.ledger.pairs[hedger, account]
        require(not party.liquidated, "party A is in liquidation")
        charged = []
        costs = 0
        for quote_id, rate in rates:
            quote = self.ledger.quote(quote_id)
            symbol = self.ledger.symbol(quote.symbol_id)
            require(quote.party_a == account and quote.party_b == hedger, "not a quote of this pair")
            require(quote.status in OPEN, "invalid state")
            require(abs(rate) <= quote.max_funding_rate, "high funding rate")
            epoch_s = self.now_s - self.now_s % symbol.funding_epoch_s
            require(self.now_s <= epoch_s + symbol.funding_window_s, "out of the window")
            require(epoch_s > quote.last_funding_s, "already paid for this window")
            difference = quote.opened_price * abs(rate) // E18
            party_a_pays = rate >= 0
            costs += (1 if party_a_pays else -1) * (quote.open_amount * difference // E18)
            raised = party_a_pays == (quote.position_type is PositionType.LONG)
            price = quote.opened_price + (difference if raised else -difference)
            charged.append(quote._replace(opened_price=price, last_funding_s=epoch_s))
        require(self.equity(account) >= costs, "party A would be insolvent")
        require(self.equity_of_party_b(hedger, account) >= -costs, "party B would be insolvent")
        for quote in charged:
            self.ledger.put_quote(quote)
        self.ledger.put_party_a(account, party._replace(nonce=party.nonce + 1))
        self.ledger.pairs[hedger, account] = pair._replace(nonce=pair.nonce + 1)
        self.emit(
            events.CHARGE_FUNDING_RATE,
            hedger,
            account,
            tuple(quote_id for quote_id, _ in rates),
            tuple(rate for _, rate in rates),
        )


def _gains(quote: Quote, price: int) -> bool:
    if price > quote.opened_price:
        return quote.position_type is PositionType.LONG
    return quote.position_type is PositionType.SHORT


def _no_worse(quote: Quote, lower_for_long: int, higher_for_long: int) -> bool:
    if quote.position_type is PositionType.LONG:
        return lower_for_long <= higher_for_long
    return lower_for_long >= higher_for_long
