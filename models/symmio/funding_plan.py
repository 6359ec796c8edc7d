"""Funding on chain: what to charge, when, and which quotes make a batch of charges revert.

The contract (FundingRateFacet) takes a 1e18-scaled rate relative to a quote's opened price, for one funding epoch of
its market. It signs the rate the other way round than the interfaces do: where it is positive, party A pays party B. It
takes a charge only near the beginning of an epoch, from ``window`` seconds before to ``window`` seconds after it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from models.money import E18, divide_toward_zero
from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES, PositionType, QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding import FundingRates

T = TypeVar("T")


LATE_S = 300
"""How late a charge may be mined and still pay nothing else: a chain that stands still when a window closes takes it
when it goes on, before it can be taken back."""


class When(StrEnum):
    """On which side of an epoch's beginning its funding is charged."""

    AFTER = "after"
    BEFORE = "before"


class ChargeOn(StrEnum):
    """The price that a rate is a fraction of: an exchange takes the mark, the contract the opened price."""

    MARK = "mark"
    OPENED = "opened"


class Window(NamedTuple):
    """When the epoch that begins at ``pays_s`` may be charged: ``opens_s`` to ``closes_s``, both included, Unix s."""

    epoch_s: int
    pays_s: int
    opens_s: int
    closes_s: int

    def is_open(self, now_s: int) -> bool:
        """Whether the contract takes a charge in a block of that time for this epoch."""
        return self.opens_s <= now_s <= self.closes_s


def paid_epoch(now_s: int, epoch_s: int, window_s: int) -> int | None:
    """Find the epoch that the contract would take a charge for; return its beginning in Unix s, None where it reverts.

    Args:
        now_s: Time of the block, Unix s.
        epoch_s: The market's funding epoch in s, positive.
        window_s: The market's window in s, 0 or more.
    """
    latest_s = now_s // epoch_s * epoch_s
    if now_s <= latest_s + window_s:
        return latest_s
    next_s = latest_s + epoch_s
    return next_s if now_s >= next_s - window_s else None


def window_of(pays_s: int, epoch_s: int, window_s: int, when: When) -> Window:
    """Find the window in which we charge the epoch that begins at ``pays_s``.

    Where windows are so long that they overlap, the contract takes a charge for the earlier epoch as long as it can:
    ours begins after that.

    Args:
        pays_s: When the epoch begins, Unix s.
        epoch_s: The market's funding epoch in s, positive.
        window_s: The market's window in s, 0 or more.
        when: On which side of the epoch's beginning we charge.
    """
    if when is When.AFTER:
        return Window(epoch_s, pays_s, pays_s, pays_s + min(window_s, epoch_s - 1))
    return Window(epoch_s, pays_s, max(pays_s - window_s, pays_s - epoch_s + window_s + 1), pays_s - 1)


def refusal_of(epoch_s: int, window_s: int, when: When) -> str | None:
    """Find out why markets with this epoch and window are not charged; None where they are.

    A transaction may be mined after our window has closed. With a window of about half an epoch or more, the contract
    would take it for the next epoch, at the terms of this one. One that is late for a window before the epoch still
    pays that epoch; but a window of nothing, or of the whole epoch, leaves no time at which the contract takes that.

    Args:
        epoch_s: The market's funding epoch in s, positive.
        window_s: The market's window in s, 0 or more.
        when: On which side of an epoch's beginning we charge.
    """
    if when is When.AFTER and epoch_s - 2 * window_s <= LATE_S:
        return (
            f"expected a window {LATE_S // 2} s and more below half of the epoch of {epoch_s} s, found {window_s} s: a "
            "charge that is late would pay the next epoch at the terms of this one"
        )
    window = window_of(epoch_s, epoch_s, window_s, when)
    if window.opens_s > window.closes_s:
        return (
            f"expected a window in which an epoch of {epoch_s} s is paid before it begins, found {window_s} s: the "
            "contract never takes a charge then"
        )
    return None


def window_at(now_s: int, epoch_s: int, window_s: int, when: When) -> Window | None:
    """Find the window that is open, None where none is.

    Args:
        now_s: Time of the block, Unix s.
        epoch_s: The market's funding epoch in s, positive.
        window_s: The market's window in s, 0 or more.
        when: On which side of an epoch's beginning we charge.
    """
    latest_s = now_s // epoch_s * epoch_s
    window = window_of(latest_s if when is When.AFTER else latest_s + epoch_s, epoch_s, window_s, when)
    return window if window.is_open(now_s) else None


def next_window(now_s: int, epoch_s: int, window_s: int, when: When) -> Window:
    """Find the window that is open, or else the next one to open.

    Args:
        now_s: Time of the block, Unix s.
        epoch_s: The market's funding epoch in s, positive.
        window_s: The market's window in s, 0 or more.
        when: On which side of an epoch's beginning we charge.
    """
    latest_s = now_s // epoch_s * epoch_s
    for pays_s in (latest_s, latest_s + epoch_s):
        window = window_of(pays_s, epoch_s, window_s, when)
        if now_s <= window.closes_s:
            return window
    return window_of(latest_s + 2 * epoch_s, epoch_s, window_s, when)


def missed_windows(last_pays_s: int, now_s: int, epoch_s: int, window_s: int, when: When) -> list[Window]:
    """List the windows that have opened and closed since the last one that was charged, oldest first.

    Args:
        last_pays_s: When the epoch that was charged last begins, Unix s.
        now_s: Time of the newest block, Unix s.
        epoch_s: The funding epoch in s, positive.
        window_s: The window in s, 0 or more.
        when: On which side of an epoch's beginning we charge.
    """
    windows = []
    pays_s = last_pays_s + epoch_s
    while (window := window_of(pays_s, epoch_s, window_s, when)).closes_s < now_s:
        windows.append(window)
        pays_s += epoch_s
    return windows


class ChainQuote(NamedTuple):
    """A quote as the contract has it. ``paid_s`` is the epoch charged last; prices, amount and rate are 1e18-scaled."""

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_a: str
    party_b: str
    status: QuoteStatus
    opened_price: int
    open_amount: int
    max_funding_rate: int
    paid_s: int


class Terms(NamedTuple):
    """A market's mark and rates for one epoch. Rates are positive where party B pays, as the interfaces sign them."""

    mark_e18: int
    rates: FundingRates


class Charge(NamedTuple):
    """A charge of a quote, signed as the contract does; ``rate_e18`` is ``wanted_e18`` within the quote's maximum."""

    quote_id: int
    rate_e18: int
    wanted_e18: int

    @property
    def is_clipped(self) -> bool:
        """Whether the quote's own maximum made the rate smaller."""
        return self.rate_e18 != self.wanted_e18


def contract_rate(rate_e18: int, *, mark_e18: int, opened_e18: int, charge_on: ChargeOn) -> int:
    """Convert a rate to the one that the contract takes, truncated toward zero.

    Args:
        rate_e18: Fraction of the position's value, positive where party B pays party A.
        mark_e18: The mark, positive.
        opened_e18: The quote's opened price now, positive.
        charge_on: The price that ``rate_e18`` is a fraction of.
    """
    if charge_on is ChargeOn.OPENED:
        return -rate_e18
    return divide_toward_zero(-rate_e18 * mark_e18, opened_e18)


def charge_of(quote: ChainQuote, terms: Terms, charge_on: ChargeOn) -> Charge:
    """Find what to charge a quote.

    Args:
        quote: The quote; its opened price is positive.
        terms: Its market's mark and rates for the epoch.
        charge_on: The price that the rates are taken of.
    """
    rate_e18 = terms.rates.long_e18 if quote.position_type is PositionType.LONG else terms.rates.short_e18
    wanted = contract_rate(rate_e18, mark_e18=terms.mark_e18, opened_e18=quote.opened_price, charge_on=charge_on)
    most = quote.max_funding_rate
    return Charge(quote.quote_id, max(-most, min(most, wanted)), wanted)


class Eligibility(StrEnum):
    """Whether a quote may be charged for an epoch: ``DUE``, or why it may not."""

    DUE = "due"
    PAID = "paid"
    LATER = "it has been charged for a later epoch"
    NOT_OPEN = "it is not open"
    GONE = "the block that opened it has left the chain"
    NOT_OURS = "it is another hedger's"
    NO_PRICE = "its opened price is zero"


def eligibility_of(quote: ChainQuote, *, symbol_id: int, party_a: str, party_b: str, pays_s: int) -> Eligibility:
    """Find out whether the contract lets a quote be charged for an epoch.

    A quote never changes its account or its market, and one that was opened is not pending again. So where the contract
    has nothing under its id, or a quote of another account or market, or one that is not opened yet, blocks have left
    the chain; it may come back with later ones.

    Args:
        quote: The quote as the contract has it; it was open by the log.
        symbol_id: Its market by the log.
        party_a: Address of the account that is charged.
        party_b: Address of the party that charges.
        pays_s: When the epoch begins, Unix s.
    """
    if (quote.party_a, quote.symbol_id) != (party_a, symbol_id) or quote.status in PENDING_STATUSES:
        return Eligibility.GONE
    if quote.party_b != party_b:
        return Eligibility.NOT_OURS
    # It may have been closed after it was charged.
    if quote.paid_s == pays_s:
        return Eligibility.PAID
    # The contract keeps the newest epoch alone, and takes none before it any more.
    if quote.paid_s > pays_s:
        return Eligibility.LATER
    if quote.status not in OPEN_STATUSES:
        return Eligibility.NOT_OPEN
    if quote.opened_price <= 0:
        return Eligibility.NO_PRICE
    return Eligibility.DUE


def price_after(quote: ChainQuote, rate_e18: int) -> int:
    """Compute the quote's opened price after a charge."""
    difference = quote.opened_price * abs(rate_e18) // E18
    party_a_pays = rate_e18 >= 0
    is_long = quote.position_type is PositionType.LONG
    return quote.opened_price + (difference if party_a_pays == is_long else -difference)


def moved_to_party_b(charged: Sequence[tuple[ChainQuote, Charge]]) -> int:
    """Sum what the charges move from party A's uPnL to party B's, signed; each is floored as the contract does."""
    moved = 0
    for quote, charge in charged:
        difference = quote.opened_price * abs(charge.rate_e18) // E18
        amount = quote.open_amount * difference // E18
        moved += amount if charge.rate_e18 >= 0 else -amount
    return moved


def batches(charges: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut charges into batches of at most ``size``, in order."""
    return [charges[start : start + size] for start in range(0, len(charges), size)]


class Search(Generic[T]):
    """Finds the members that make a batch revert, by trying halves of it.

    All members of a group that passes are good. A group that fails is halved until a single member is left, which is a
    culprit. With k culprits among n members that takes at most 1 + 2 k log2(n) trials, rounded up.
    """

    def __init__(self, batch: Sequence[T]) -> None:
        self._groups: list[Sequence[T]] = [batch] if batch else []
        self.good: list[T] = []
        self.culprits: list[tuple[T, str]] = []

    @property
    def group(self) -> Sequence[T] | None:
        """The group to try next, None where nothing is left to try."""
        return self._groups[-1] if self._groups else None

    def passed(self) -> None:
        """Note that the group did not revert."""
        self.good += self._groups.pop()

    def failed(self, reason: str) -> None:
        """Note that the group reverted, for ``reason``."""
        group = self._groups.pop()
        if len(group) == 1:
            self.culprits.append((group[0], reason))
            return
        half = len(group) // 2
        self._groups += [group[half:], group[:half]]
