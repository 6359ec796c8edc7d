"""Records of ``ledger-events``: what a ledger says of one account, keyed ``<deployment>:<account>``.

Each says the whole of what it is about, in absolute values. ``seq`` counts an account's records from 1, without gaps.
``cause`` says in the venue's words what made it happen, such as the id of a trade. ``v`` is the version of the format.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from models.errors import BadRecord
from models.ledger.free_form import expect_free_form
from models.ledger.ledger_objects import (
    CALCULATED,
    Credit,
    LedgerPosition,
    Loan,
    Notice,
    Offer,
    Order,
    Owner,
    Text,
    TimeMs,
    Wallet,
)
from models.money import parse_e18

# Records wait in a row while another is missing, and rows are at most 1 MB.
RECORD_MAX_BYTES = 4_096
SNAPSHOT_MAX_BYTES = 250_000

Seq = Annotated[int, Meta(ge=1, le=2**53 - 1, description="Number of the account's record, from 1 without gaps")]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every record says."""

    v: Literal[1]
    seq: Seq
    time_ms: TimeMs
    cause: Text


class AccountOpened(_Record, tag="account_opened", frozen=True):
    """The account exists from now on; ``owner`` says whose it is, None where that is not known."""

    owner: Owner | None = None


class WalletSet(_Record, tag="wallet_set", frozen=True):
    """A wallet has so much."""

    wallet: Wallet


class PositionSet(_Record, tag="position_set", frozen=True):
    """The account has this position in its symbol; its amount is not 0."""

    position: LedgerPosition


class PositionClosed(_Record, tag="position_closed", frozen=True):
    """It has no position in the symbol any more; ``position`` says it as it was closed, its amount 0."""

    position: LedgerPosition


class OrderSet(_Record, tag="order_set", frozen=True):
    """An order stands so."""

    order: Order


class OrderClosed(_Record, tag="order_closed", frozen=True):
    """An order stands no more: it was filled, cancelled, or ran out."""

    order: Order


class OfferSet(_Record, tag="offer_set", frozen=True):
    """An offer stands so."""

    offer: Offer


class OfferClosed(_Record, tag="offer_closed", frozen=True):
    """An offer stands no more."""

    offer: Offer


class CreditSet(_Record, tag="credit_set", frozen=True):
    """A credit stands so."""

    credit: Credit


class CreditClosed(_Record, tag="credit_closed", frozen=True):
    """A credit stands no more."""

    credit: Credit


class LoanSet(_Record, tag="loan_set", frozen=True):
    """A loan stands so."""

    loan: Loan


class LoanClosed(_Record, tag="loan_closed", frozen=True):
    """A loan stands no more."""

    loan: Loan


class Notification(_Record, tag="notification", frozen=True):
    """The venue tells the account something."""

    notice: Notice


class Snapshot(_Record, tag="snapshot", frozen=True):
    """All that the account has; what is not in it is gone."""

    owner: Owner | None = None
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

_decoder: msgspec.json.Decoder[LedgerRecord] = msgspec.json.Decoder(LedgerRecord)


class _Numbered(msgspec.Struct):
    seq: Seq


_number_decoder = msgspec.json.Decoder(_Numbered)
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_ledger_record(value: bytes) -> LedgerRecord:
    """Decode a record of ``ledger-events``.

    Raises:
        BadRecord: It is none: the message says which field is at fault.
    """
    try:
        record = _decoder.decode(value)
    except _FAULTS as error:
        found = _UNKNOWN_FIELD.search(str(error))
        if found is not None and found.group(1) in CALCULATED:
            msg = f"expected no {found.group(1)}, which is calculated here from marks: leave it out ({error})"
        else:
            msg = f"expected a record of ledger-events, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
    most = SNAPSHOT_MAX_BYTES if isinstance(record, Snapshot) else RECORD_MAX_BYTES
    if len(value) > most:
        msg = f"expected a record of at most {most} bytes, found {len(value)}"
        raise BadRecord(msg)
    _expect_whole(record)
    return record


def number_of(value: bytes) -> int | None:
    """The ``seq`` of a record that cannot be read otherwise; None where not even that can be."""
    try:
        return _number_decoder.decode(value).seq
    except _FAULTS:
        return None


def _expect_whole(record: LedgerRecord) -> None:
    """Refuse what each field allows for itself, and the record as a whole does not."""
    match record:
        case WalletSet(wallet=wallet):
            expect_free_form("meta", wallet.meta)
        case OrderSet(order=order) | OrderClosed(order=order):
            expect_free_form("meta", order.meta)
        case Notification(notice=notice):
            expect_free_form("info", notice.info)
        case PositionSet(position=position):
            expect_free_form("meta", position.meta)
            _expect_open(position)
        case PositionClosed(position=position):
            expect_free_form("meta", position.meta)
            if parse_e18(position.amount):
                msg = f"expected an amount of 0 in a position that is closed, found {position.amount}"
                raise BadRecord(msg)
        case Snapshot():
            for position in record.positions:
                _expect_open(position)
            metas = [one.meta for one in record.wallets] + [one.meta for one in record.positions]
            for meta in [*metas, *(one.meta for one in record.orders)]:
                expect_free_form("meta", meta)
            _expect_once("wallet", [one.name for one in record.wallets])
            _expect_once("position", [one.symbol for one in record.positions])
            for name, kept in (
                ("order", record.orders), ("offer", record.offers), ("credit", record.credits), ("loan", record.loans)
            ):  # fmt: skip
                _expect_once(name, [one.id for one in kept])
        case _:
            pass


def _expect_open(position: LedgerPosition) -> None:
    # Both are plain decimals, as their types say: one without another digit is 0.
    if not position.amount.strip("-0.") or not position.base_price.strip("0."):
        msg = (
            f"expected an amount other than 0 and a base_price above 0 of {position.symbol}, found {position.amount} "
            f"at {position.base_price}; one without an amount is closed"
        )
        raise BadRecord(msg)


def _expect_once(what: str, names: list[str] | list[int]) -> None:
    twice = [name for name, count in Counter[str | int](names).items() if count > 1]
    if twice:
        msg = f"expected each {what} once in a snapshot, found {twice[0]} more often"
        raise BadRecord(msg)
