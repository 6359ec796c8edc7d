"""Records of ``ledger-events``: what a ledger says of one account, keyed ``<deployment>:<account>``.

Each says the whole of what it is about, in absolute values. ``seq`` counts an account's records from 1, without gaps.
``cause`` says in the venue's words what made it happen, such as the id of a trade. ``v`` is the version of the format.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.ledger.ledger_objects import (
    CALCULATED,
    Credit,
    LedgerPosition,
    Loan,
    Notice,
    Offer,
    Order,
    Text,
    TimeMs,
    Wallet,
)

Seq = Annotated[int, Meta(ge=1, le=2**53 - 1, description="Number of the account's record, from 1 without gaps")]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every record says."""

    v: Literal[1]
    seq: Seq
    time_ms: TimeMs
    cause: Text


class AccountOpened(_Record, tag="account_opened"):
    """The account exists from now on; ``owner`` says whose it is, None where that is not known."""

    owner: Text | None = None


class WalletSet(_Record, tag="wallet_set"):
    """A wallet has so much."""

    wallet: Wallet


class PositionSet(_Record, tag="position_set"):
    """The account has this position in its symbol; its amount is not 0."""

    position: LedgerPosition


class PositionClosed(_Record, tag="position_closed"):
    """It has no position in the symbol any more; ``position`` says it as it was closed, its amount 0."""

    position: LedgerPosition


class OrderSet(_Record, tag="order_set"):
    """An order stands so."""

    order: Order


class OrderClosed(_Record, tag="order_closed"):
    """An order stands no more: it was filled, cancelled, or ran out."""

    order: Order


class OfferSet(_Record, tag="offer_set"):
    """An offer stands so."""

    offer: Offer


class OfferClosed(_Record, tag="offer_closed"):
    """An offer stands no more."""

    offer: Offer


class CreditSet(_Record, tag="credit_set"):
    """A credit stands so."""

    credit: Credit


class CreditClosed(_Record, tag="credit_closed"):
    """A credit stands no more."""

    credit: Credit


class LoanSet(_Record, tag="loan_set"):
    """A loan stands so."""

    loan: Loan


class LoanClosed(_Record, tag="loan_closed"):
    """A loan stands no more."""

    loan: Loan


class Notification(_Record, tag="notification"):
    """The venue tells the account something."""

    notice: Notice


class Snapshot(_Record, tag="snapshot"):
    """All that the account has; what is not in it is gone."""

    owner: Text | None = None
    wallets: tuple[Wallet, ...] = ()
    positions: tuple[LedgerPosition, ...] = ()
    orders: tuple[Order, ...] = ()
    offers: tuple[Offer, ...] = ()
    credits: tuple[Credit, ...] = ()
    loans: tuple[Loan, ...] = ()


LedgerRecord = (
    AccountOpened | WalletSet | PositionSet | PositionClosed | OrderSet | OrderClosed | OfferSet | OfferClosed
    | CreditSet | CreditClosed | LoanSet | LoanClosed | Notification | Snapshot
)  # fmt: skip
