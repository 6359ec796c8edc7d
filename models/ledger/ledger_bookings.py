"""The bookings of a ledger's account, as far as its venue says them: amounts of positions, and balances of wallets.

A ledger says what there is after each record, in its own order, and at no price: so what was opened, closed and paid is
the difference, and what it was for is what the venue calls it. Where it was not known for a while, the next difference
has all of that in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.bookings import BALANCE, CLOSE, NO_BLOCK, OPEN, Booked, Booking
from models.money import parse_e18

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from models.ledger.ledger_account import LedgerAccount
    from models.ledger.ledger_changes import Happening
    from models.ledger.ledger_state import Holdings
    from models.plain_venue import Own

LEDGER_BOOKING_NAMES = (OPEN, CLOSE, BALANCE)


def bookings_of_happenings(
    before: Holdings, record: Own, after: LedgerAccount, happened: Sequence[Happening]
) -> Booked | None:
    """The bookings of a record, and of those that waited for it; None where there are none.

    Args:
        before: What the account had before.
        record: The record.
        after: The account after it.
        happened: What the account's readers are told of it.
    """
    books = _Books(before)
    is_beginning = books.is_empty
    found = tuple(books.entries(happened))
    if not found:
        return None
    return Booked(record.position, NO_BLOCK, after.holdings.time_ms, found, is_beginning=is_beginning)


class _Books:
    """Follows amounts and balances from happening to happening."""

    def __init__(self, before: Holdings) -> None:
        self._positions = {one.symbol: (parse_e18(one.amount), parse_e18(one.base_price)) for one in before.positions}
        self._wallets = {one.name: parse_e18(one.balance) for one in before.wallets}

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a balance nor a position."""
        return not any(self._wallets.values()) and not any(amount for amount, _ in self._positions.values())

    def entries(self, happened: Sequence[Happening]) -> Iterator[Booking]:
        for one in happened:
            if "position" in one:
                yield from self._traded(one["position"], one["cause"], f"seq {one['seq']}")
            elif "wallet" in one:
                yield from self._paid(one["wallet"], one["cause"], f"seq {one['seq']}")

    def _traded(self, position: Mapping[str, Any], cause: str, at: str) -> Iterator[Booking]:
        symbol = position["symbol"]
        amount, base_price = parse_e18(position["amount"]), parse_e18(position["base_price"])
        was, was_opened = self._positions.get(symbol, (0, 0))
        self._positions[symbol] = amount, base_price
        # One that goes through 0 is closed, and the rest is opened.
        kept = amount if amount * was > 0 else 0
        if abs(kept) < abs(was):
            yield Booking(
                CLOSE, cause, at, symbol, symbol, _side(was), quantity=str(abs(was) - abs(kept)), left=str(abs(kept)),
                opened_price=str(was_opened),
            )  # fmt: skip
        held = was if kept else 0
        if abs(amount) > abs(held):
            yield Booking(
                OPEN, cause, at, symbol, symbol, _side(amount), quantity=str(abs(amount) - abs(held)),
                left=str(abs(amount)), opened_price=str(was_opened) if held else None,
                opened_price_after=str(base_price),
            )  # fmt: skip

    def _paid(self, wallet: Mapping[str, Any], cause: str, at: str) -> Iterator[Booking]:
        name, balance = f"{wallet['type']}:{wallet['currency']}", parse_e18(wallet["balance"])
        change = balance - self._wallets.get(name, 0)
        self._wallets[name] = balance
        if change:
            said = wallet.get("description") or cause
            yield Booking(BALANCE, said, at, balance=str(change), currency=wallet["currency"])


def _side(amount: int) -> str:
    return "long" if amount > 0 else "short"
