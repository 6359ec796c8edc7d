"""An owner's account at Flash as its rows keep it, and how records of the chains are folded into it.

An account has two parts: the owner's basket, and the ledger of what the owner has deposited. Of each part the newest
state holds, by the order of its chain; whatever is older, or comes again, changes nothing. A part that cannot be read
makes the account suspect until a newer state of that part can be.
"""

from __future__ import annotations

from base64 import b64decode
from functools import cached_property
from typing import TYPE_CHECKING, Literal, assert_never

import msgspec

from models.account_rows import AccountColumns, AccountRows
from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import decode_order
from models.errors import BadRecord
from models.flash.chain_accounts import (
    LAYER_OF,
    OWNED,
    SAID_BYTES_MAX,
    AccountClosed,
    AccountRecord,
    AccountSaid,
    AccountTooLarge,
    Order,
    account_bytes,
    decode_account_record,
    expect_slot,
    slot_max,
)
from models.flash.flash_accounts import Basket, UserDepositLedger, decode_account
from models.flash.solana_keys import key_text

if TYPE_CHECKING:
    from models.flash.chain_accounts import Layer
    from models.plain_venue import Own

KIND = "flash"
_SCHEMA = 1
_CAUSE_CHARACTERS_MAX = 500
# Each position is 500 bytes of a row of valuations; a row of so many stays below 1 MB, which is what the broker takes.
_POSITIONS_MAX = 500

PartName = Literal["basket", "ledger"]
_PART_OF: dict[str, PartName] = {Basket.__name__: "basket", UserDepositLedger.__name__: "ledger"}


class Part(msgspec.Struct, frozen=True):
    """The newest state of one of the two parts.

    Attributes:
        pubkey: Its address.
        slot: As of which slot of its chain.
        write_version: Which write of the slot.
        received_ms: When it came, Unix ms.
        data: Its bytes as base64, None where it was closed or cannot be read.
        fault: Why it cannot be read, None where it can.
    """

    pubkey: str
    slot: int
    write_version: int
    received_ms: int
    data: str | None
    fault: str | None = None

    def order_on(self, layer: Layer) -> Order:
        """Which of two states on its chain is newer; one of a slot beyond ``slot_max`` is the oldest."""
        return Order(self.slot if self.slot <= slot_max(layer, self.received_ms) else -1, self.write_version)


class FlashAccount(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An account as of the last record folded.

    Attributes:
        applied: Where that record stands in ``flash-accounts``.
        version: How many records changed the account.
        basket: The owner's basket, None where none was ever seen.
        ledger: What the owner has deposited, None where none was ever seen.
        owner: The owner as base58, None where no part could be read yet.
        unread: Why a record could not be read, nor of which part it was; a newer state of the basket takes it away.
        refused: Why the record at a log offset made the account suspect, and that offset.
    """

    applied: LogOffset
    version: int
    basket: Part | None = None
    ledger: Part | None = None
    owner: str | None = None
    unread: str | None = None
    refused: tuple[str, LogOffset] | None = None

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""
        return self.refused[0] if self.refused is not None and self.refused[1] == self.applied else None

    @property
    def unsettled(self) -> bool:
        """Never: what is newer replaces what was."""
        return False

    def unsettled_above(self, final: int) -> bool:  # noqa: ARG002 - it is never unsettled
        """Never, either."""
        return False

    @property
    def suspect(self) -> str | None:
        """Why the account is not known, None where it is."""
        faults = (part.fault for part in (self.basket, self.ledger) if part is not None)
        return self.unread or next((fault for fault in faults if fault is not None), None)

    @cached_property
    def contents(self) -> Basket | None:
        """The basket, None where there is none, or it cannot be read."""
        if self.basket is None or self.basket.data is None:
            return None
        return decode_account(Basket, b64decode(self.basket.data))


NEW = FlashAccount(applied=(-1, -1), version=0)
"""An account of which no record was folded yet."""


def take(before: FlashAccount, own: Own) -> FlashAccount:
    """Fold a record.

    Args:
        before: The account so far.
        own: The record, which comes after the last one that was folded.

    Returns:
        ``before`` itself where the record changes nothing.

    Raises:
        BadRecord: It is of a chain on which nobody updates such an account, or of a slot that no chain can have.
    """
    try:
        record = _owned_record(own.value)
    except BadRecord as error:
        return doubted(before, own.position, str(error))
    if record.layer != LAYER_OF[record.account]:
        msg = f"expected a {record.account} of the {LAYER_OF[record.account]} chain, found one of {record.layer}"
        raise BadRecord(msg)
    expect_slot(record)
    name = _PART_OF[record.account]
    standing: Part | None = getattr(before, name)
    if standing is not None and (record.order < standing.order_on(record.layer) or _says(record, standing)):
        return before
    part, owner = _read(record, before.owner)
    changes: dict[str, object] = {"applied": own.position, "version": before.version + 1, name: part, "owner": owner}
    if name == "basket":
        changes["unread"] = None
    if part.fault is not None:
        changes["refused"] = part.fault, own.position
    return msgspec.structs.replace(before, **changes)


def doubted(before: FlashAccount, position: LogOffset, cause: str) -> FlashAccount:
    """An account of which a record could not be read.

    Args:
        before: The account.
        position: Where the record stands.
        cause: Why it could not be read.
    """
    cause = cause[:_CAUSE_CHARACTERS_MAX]
    return msgspec.structs.replace(
        before, applied=position, version=before.version + 1, unread=cause, refused=(cause, position)
    )


def _owned_record(value: bytes) -> AccountRecord:
    record = decode_account_record(value)
    if record.account not in OWNED:
        msg = f"expected a record of one of {OWNED}, found one of {record.account[:80]!r}"
        raise BadRecord(msg)
    return record


def _says(record: AccountRecord, standing: Part) -> bool:
    """Whether a record of the same order says what is known already."""
    if record.order != standing.order_on(record.layer) or record.pubkey != standing.pubkey:
        return False
    match record:
        case AccountSaid():
            return record.data == standing.data
        case AccountClosed():
            return standing.data is None and standing.fault is None
        case AccountTooLarge():
            return standing.fault is not None
        case _:
            assert_never(record)


def _read(record: AccountRecord, owner: str | None) -> tuple[Part, str | None]:
    """The part that a record says, and the account's owner, where it names one."""
    data, fault = None, None
    match record:
        case AccountSaid():
            try:
                owner = _owner(record, owner)
                data = record.data
            except BadRecord as error:
                fault = str(error)[:_CAUSE_CHARACTERS_MAX]
        case AccountTooLarge():
            fault = f"expected an account of at most {SAID_BYTES_MAX} bytes, found {record.size} of {record.pubkey}"
        case AccountClosed():
            pass
        case _:
            assert_never(record)
    return Part(record.pubkey, record.slot, record.write_version, record.received_ms, data, fault), owner


def _owner(record: AccountSaid, known: str | None) -> str:
    """The owner that an account names; the whole account is read, so that what is kept can be read."""
    data = account_bytes(record)
    if record.account == Basket.__name__:
        basket = decode_account(Basket, data)
        if len(basket.positions) > _POSITIONS_MAX:
            msg = f"expected a basket of at most {_POSITIONS_MAX} positions, found {len(basket.positions)}"
            raise BadRecord(msg)
        owner = key_text(basket.owner)
    else:
        owner = key_text(decode_account(UserDepositLedger, data).owner)
    if known is not None and owner != known:
        msg = f"expected an account of {known}, found {record.pubkey} of {owner} under its key"
        raise BadRecord(msg)
    return owner


class _Columns(AccountColumns):
    basket: Part | None
    ledger: Part | None
    owner: str | None
    unread: str | None
    refused: tuple[str, LogOffset] | None


_rows = AccountRows(KIND, _SCHEMA, _Columns)


def read_account(row: bytes) -> FlashAccount:
    """Read an account out of a row of ``accounts``, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is another venue's, of another schema, or no row.
    """
    found = _rows.read(row)
    return FlashAccount(
        applied=found.applied,
        version=decode_order(row)[1],
        basket=found.basket,
        ledger=found.ledger,
        owner=found.owner,
        unread=found.unread,
        refused=found.refused,
    )


def write_account(account: FlashAccount) -> bytes:
    """Encode the body of an account's row."""
    return _rows.write(
        _Columns(
            KIND,
            _SCHEMA,
            account.applied,
            account.basket,
            account.ledger,
            account.owner,
            account.unread,
            account.refused,
        )
    )


def statement_of(account: FlashAccount) -> dict[str, object]:
    """What an account shows beside its valuation: the bytes of its parts, as the chains have them.

    A part that cannot be read is null, as one that is closed; ``suspect`` says why it cannot.
    """
    parts = {"basket": _shown(account.basket), "ledger": _shown(account.ledger)}
    return {"owner": account.owner, **parts, "suspect": account.suspect}


def _shown(part: Part | None) -> dict[str, object] | None:
    if part is None or part.data is None:
        return None
    return {
        "pubkey": part.pubkey,
        "data": part.data,
        "slot": part.slot,
        "write_version": part.write_version,
        "received_ms": part.received_ms,
    }
