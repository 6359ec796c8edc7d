"""The working copy of an account while one transaction is folded, and the steps that several events share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.errors import BadRecord
from models.symmio.state import AccountState, Balances, Locked, Quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.symmio.state import QuoteStatus

_replace = msgspec.structs.replace


class BadFold(BadRecord):
    """An event does not fit the state that it is folded into: a log is missing, or this version folds one wrongly.

    The account is frozen and served as unknown until a checkpoint replaces its state: ``tidemark audit --repair``.
    """


class Draft:
    """A copy of a state whose parts may be replaced; the state itself is not changed."""

    def __init__(self, state: AccountState) -> None:
        self.named = (state.owner, state.multi_account, state.name)
        self.balances = state.balances
        self.reimbursement = state.reimbursement
        self.liquidating = state.liquidating
        self.buckets = dict(state.party_b)
        self.quotes = dict(state.quotes)
        self.prices = state.liquidation_prices

    def state(self) -> AccountState:
        """Make a state of the draft as it is now."""
        owner, multi_account, name = self.named
        return AccountState(
            owner=owner,
            multi_account=multi_account,
            name=name,
            balances=self.balances,
            reimbursement=self.reimbursement,
            liquidating=self.liquidating,
            party_b=self.buckets,
            quotes=self.quotes,
            liquidation_prices=self.prices,
        )

    def quote(self, quote_id: int, action: str, statuses: Iterable[QuoteStatus]) -> Quote:
        """Find a quote that has to have one of ``statuses``.

        Args:
            quote_id: The quote.
            action: The event that names the quote; the error message says so.
            statuses: The statuses that the event allows.

        Raises:
            BadFold: The quote has another status, or is not known.
        """
        quote = self.quotes.get(quote_id)
        if quote is None or quote.status not in statuses:
            wanted = " or ".join(sorted(status.name for status in statuses))
            msg = f"expected quote {quote_id} to be {wanted} at {action}, found it {self.status(quote_id)}"
            raise BadFold(msg)
        return quote

    def status(self, quote_id: int) -> str:
        """Describe a quote's status for a message."""
        quote = self.quotes.get(quote_id)
        return "unknown or long finished" if quote is None else quote.status.name

    def put(self, quote: Quote, **changes: object) -> None:
        """Put a quote back with some of its fields changed."""
        self.quotes[quote.quote_id] = _replace(quote, **changes)

    def bucket(self, party_b: str) -> Balances:
        """Find party B's bucket with this account; an empty one where there is none."""
        return self.buckets.get(party_b) or Balances()

    def add_pending_party_b(self, party_b: str, locked: Locked) -> None:
        """Add to party B's pending values."""
        bucket = self.bucket(party_b)
        self.buckets[party_b] = _replace(bucket, pending=bucket.pending.plus(locked))

    def take_pending_party_a(self, quote: Quote) -> None:
        """Subtract a quote's locked values from party A's pending ones."""
        pending = _taken(self.balances.pending, quote.locked, "party A's pending", quote)
        self.balances = _replace(self.balances, pending=pending)

    def take_pending_party_b(self, quote: Quote) -> None:
        """Subtract a quote's locked values from its party B's pending ones."""
        bucket = self.bucket(quote.party_b)
        pending = _taken(bucket.pending, quote.locked, f"{quote.party_b}'s pending", quote)
        self.buckets[quote.party_b] = _replace(bucket, pending=pending)

    def take_locked_party_a(self, quote: Quote, released: Locked) -> None:
        """Subtract ``released`` from party A's locked values."""
        locked = _taken(self.balances.locked, released, "party A's locked", quote)
        self.balances = _replace(self.balances, locked=locked)

    def take_locked_party_b(self, quote: Quote, released: Locked) -> None:
        """Subtract ``released`` from the locked values of the quote's party B."""
        bucket = self.bucket(quote.party_b)
        locked = _taken(bucket.locked, released, f"{quote.party_b}'s locked", quote)
        self.buckets[quote.party_b] = _replace(bucket, locked=locked)


def _taken(held: Locked, released: Locked, what: str, quote: Quote) -> Locked:
    left = held.minus(released)
    if min(left) < 0:
        msg = f"expected {what} values to hold {released} of quote {quote.quote_id}, found {held}"
        raise BadFold(msg)
    return left
