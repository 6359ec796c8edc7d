"""What a ledger's account has, as of the records folded so far, and the statement that shows it to users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.ledger.ledger_objects import (  # noqa: TC001 - msgspec resolves the annotations at run time
    Credit,
    LedgerPosition,
    Loan,
    Offer,
    Order,
    Wallet,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Holdings(msgspec.Struct, frozen=True):
    """What an account has; also the shape of its statement, as ``statement_of`` writes it.

    Attributes:
        seq: The number of the last record folded; 0 before the first.
        time_ms: When that happened, Unix ms.
        owner: Whose the account is, None where that is not known.
        suspect: Why this may be out of date, None where it is not: then figures are unknown.
        wallets: By type and currency.
        positions: By symbol.
        orders: By id; so are offers, credits and loans.
    """

    seq: int = 0
    time_ms: int = 0
    owner: str | None = None
    suspect: str | None = None
    wallets: tuple[Wallet, ...] = ()
    positions: tuple[LedgerPosition, ...] = ()
    orders: tuple[Order, ...] = ()
    offers: tuple[Offer, ...] = ()
    credits: tuple[Credit, ...] = ()
    loans: tuple[Loan, ...] = ()

    def wallet(self, type_: str, currency: str) -> Wallet | None:
        """The wallet of a type (``margin``) and a currency (``USD``), None where there is none."""
        return next((one for one in self.wallets if (one.type, one.currency) == (type_, currency)), None)

    def position(self, symbol: str) -> LedgerPosition | None:
        """The open position in a symbol, None where there is none."""
        return next((one for one in self.positions if one.symbol == symbol), None)


def statement_of(holdings: Holdings) -> Mapping[str, Any]:
    """Write a statement: the fields of ``Holdings``, of JSON's types."""
    written: Mapping[str, Any] = msgspec.to_builtins(holdings)
    return written


def read_statement(statement: Mapping[str, Any]) -> Holdings:
    """Read what ``statement_of`` wrote.

    Raises:
        msgspec.ValidationError: It is no statement of a ledger's account.
    """
    return msgspec.convert(statement, Holdings)
