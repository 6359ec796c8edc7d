"""What a record changes of what an account has, and what the account's readers are told of it, in order.

Each happening is a mapping of ``kind``; of ``seq``, ``time_ms`` and ``cause`` of the record that did it; and of the
whole object, under the name of what it is: ``{"kind": "position_closed", "seq": 7, "time_ms": 1, "cause": "trade 9",
"position": {…}}``.

| kinds | object |
|---|---|
| ``account_opened`` | ``owner`` |
| ``wallet_changed`` | ``wallet``, also of one that is new; one that a snapshot left out has a balance of 0 |
| ``position_opened``, ``position_changed``, ``position_closed`` | ``position``; of a closed one its amount is 0 |
| ``order_opened``, ``order_changed``, ``order_closed`` | ``order``; the same for ``offer``, ``credit`` and ``loan`` |
| ``notified`` | ``notice`` |
| ``account_doubted``, ``account_restored`` | ``suspect``: why figures are unknown; null once they are known |

A snapshot makes the happenings of what it changed: of each kind of object, what was closed first, then what is new or
other than before. An order that it left out is said to be closed as it was known last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import msgspec

from models.ledger.ledger_objects import LedgerPosition, Wallet
from models.ledger.ledger_records import (
    AccountOpened,
    CreditClosed,
    CreditSet,
    LoanClosed,
    LoanSet,
    Notification,
    OfferClosed,
    OfferSet,
    OrderClosed,
    OrderSet,
    PositionClosed,
    PositionSet,
    Snapshot,
    WalletSet,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.ledger.ledger_objects import Credit, Loan, Offer, Order
    from models.ledger.ledger_records import LedgerRecord
    from models.ledger.ledger_state import Holdings

    Kept = Wallet | LedgerPosition | Order | Offer | Credit | Loan

Happening = dict[str, Any]


class Changed(NamedTuple):
    """What an account has after a record, and what happened."""

    holdings: Holdings
    happenings: Sequence[Happening]


class _Shelf(NamedTuple):
    """One kind of object that accounts have: the field that holds it, its name in happenings, what tells two apart."""

    field: str
    name: str
    key: Callable[[Any], str | int]


def _id(kept: Order | Offer | Credit | Loan) -> int:
    return kept.id


def _wallet_name(wallet: Wallet) -> str:
    return wallet.name


def _symbol(position: LedgerPosition) -> str:
    return position.symbol


_WALLETS = _Shelf("wallets", "wallet", _wallet_name)
_POSITIONS = _Shelf("positions", "position", _symbol)
_ORDERS = _Shelf("orders", "order", _id)
_OFFERS = _Shelf("offers", "offer", _id)
_CREDITS = _Shelf("credits", "credit", _id)
_LOANS = _Shelf("loans", "loan", _id)
_SHELVES = (_WALLETS, _POSITIONS, _ORDERS, _OFFERS, _CREDITS, _LOANS)


def changed_by(holdings: Holdings, record: LedgerRecord) -> Changed:
    """Take in the next record of an account."""
    match record:
        case AccountOpened(owner=owner):
            after = msgspec.structs.replace(holdings, owner=owner)
            changed = Changed(after, [_happened(record, "account_opened", owner=owner)])
        case WalletSet(wallet=wallet):
            changed = _put(holdings, record, _WALLETS, wallet)
        case PositionSet(position=position):
            changed = _put(holdings, record, _POSITIONS, position)
        case PositionClosed(position=position):
            changed = _take_out(holdings, record, _POSITIONS, position)
        case OrderSet(order=order):
            changed = _put(holdings, record, _ORDERS, order)
        case OrderClosed(order=order):
            changed = _take_out(holdings, record, _ORDERS, order)
        case OfferSet(offer=offer):
            changed = _put(holdings, record, _OFFERS, offer)
        case OfferClosed(offer=offer):
            changed = _take_out(holdings, record, _OFFERS, offer)
        case CreditSet(credit=credit):
            changed = _put(holdings, record, _CREDITS, credit)
        case CreditClosed(credit=credit):
            changed = _take_out(holdings, record, _CREDITS, credit)
        case LoanSet(loan=loan):
            changed = _put(holdings, record, _LOANS, loan)
        case LoanClosed(loan=loan):
            changed = _take_out(holdings, record, _LOANS, loan)
        case Notification(notice=notice):
            changed = Changed(holdings, [_happened(record, "notified", notice=msgspec.to_builtins(notice))])
        case Snapshot():
            changed = _replaced(holdings, record)
        case _:
            assert_never(record)
    after = msgspec.structs.replace(changed.holdings, seq=record.seq, time_ms=max(record.time_ms, holdings.time_ms))
    return Changed(after, changed.happenings)


def _put(holdings: Holdings, record: LedgerRecord, shelf: _Shelf, kept: Kept) -> Changed:
    before = {shelf.key(one): one for one in getattr(holdings, shelf.field)}
    kind = _kind(shelf, is_new=shelf.key(kept) not in before)
    before[shelf.key(kept)] = kept
    return Changed(_with(holdings, shelf, before), [_of(record, shelf, kind, kept)])


def _take_out(holdings: Holdings, record: LedgerRecord, shelf: _Shelf, kept: Kept) -> Changed:
    left = {shelf.key(one): one for one in getattr(holdings, shelf.field) if shelf.key(one) != shelf.key(kept)}
    return Changed(_with(holdings, shelf, left), [_of(record, shelf, f"{shelf.name}_closed", kept)])


def _replaced(holdings: Holdings, record: Snapshot) -> Changed:
    happenings = []
    after = msgspec.structs.replace(holdings, owner=record.owner)
    for shelf in _SHELVES:
        before = {shelf.key(one): one for one in getattr(holdings, shelf.field)}
        now = {shelf.key(one): one for one in getattr(record, shelf.field)}
        happenings += [_gone(record, shelf, before[key]) for key in sorted(before.keys() - now.keys())]
        for key in sorted(now):
            if before.get(key) != now[key]:
                happenings.append(_of(record, shelf, _kind(shelf, is_new=key not in before), now[key]))
        after = _with(after, shelf, now)
    return Changed(after, happenings)


def _gone(record: Snapshot, shelf: _Shelf, kept: Kept) -> Happening:
    """Something is in the account no more, of which nothing is said but that."""
    if isinstance(kept, Wallet):
        empty = msgspec.structs.replace(kept, balance="0", unsettled_interest="0", description=None, meta=None)
        return _of(record, shelf, f"{shelf.name}_changed", empty)
    if isinstance(kept, LedgerPosition):
        kept = msgspec.structs.replace(kept, amount="0", updated_ms=record.time_ms)
    return _of(record, shelf, f"{shelf.name}_closed", kept)


def _with(holdings: Holdings, shelf: _Shelf, kept: dict[str | int, Kept]) -> Holdings:
    return msgspec.structs.replace(holdings, **{shelf.field: tuple(kept[key] for key in sorted(kept))})


def _kind(shelf: _Shelf, *, is_new: bool) -> str:
    return f"{shelf.name}_{'opened' if is_new and shelf is not _WALLETS else 'changed'}"


def _of(record: LedgerRecord, shelf: _Shelf, kind: str, kept: Kept) -> Happening:
    return _happened(record, kind, **{shelf.name: msgspec.to_builtins(kept)})


def _happened(record: LedgerRecord, kind: str, **what: object) -> Happening:
    return {"kind": kind, "seq": record.seq, "time_ms": record.time_ms, "cause": record.cause, **what}
