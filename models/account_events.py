"""Records of the ``account-events`` topic: what the router made of ``chain-blocks``, grouped by account.

``Transaction``, ``AccountCheckpoint`` and ``Unfoldable`` are keyed by account and sent to its partition. The others are
keyed by deployment and sent to *every* partition. ``position`` is the log offset of the record that a record was made
of: one that the router sends twice carries the same log offset, and is folded once.
"""

from __future__ import annotations

import msgspec

from models.chain_records import Checkpoint, LogOffset, RawLog  # noqa: TC001 - msgspec resolves the annotations at run time
from models.errors import BadRecord


class Transaction(msgspec.Struct, tag="transaction", tag_field="kind", frozen=True):
    """All logs of one transaction that touch one account, in log order, without legacy duplicates."""

    position: LogOffset
    block: int
    time_s: int
    tx: str
    logs: tuple[RawLog, ...]


class AccountCheckpoint(msgspec.Struct, tag="checkpoint", tag_field="kind", frozen=True):
    """The account's state as the contract's views answered it at ``checkpoint.block``."""

    position: LogOffset
    checkpoint: Checkpoint


class Final(msgspec.Struct, tag="final", tag_field="kind", frozen=True):
    """The deployment is known up to ``head``; nothing at or below ``final`` will be rolled back."""

    position: LogOffset
    head: int
    head_time_s: int
    final: int


class RolledBack(msgspec.Struct, tag="rollback", tag_field="kind", frozen=True):
    """Blocks above ``ancestor`` have left the chain: what they did has to be undone.

    ``supported`` is True where one of them had made the deployment unsupported.
    """

    position: LogOffset
    ancestor: int
    supported: bool = False


class Unsupported(msgspec.Struct, tag="unsupported", tag_field="kind", frozen=True):
    """This version cannot fold the deployment's logs from ``block`` on; its accounts are unknown from there."""

    position: LogOffset
    block: int
    reason: str


class Supported(msgspec.Struct, tag="supported", tag_field="kind", frozen=True):
    """The deployment was joined anew at ``block``.

    Checkpoints of the accounts follow; an account is known again once its own is folded. ``enumerated`` is False where
    some account may have none.
    """

    position: LogOffset
    block: int
    enumerated: bool


class Unfoldable(msgspec.Struct, tag="unfoldable", tag_field="kind", frozen=True):
    """A transaction of the account could not be sent to it; the account is unknown from there on."""

    position: LogOffset
    cause: str


OwnRecord = Transaction | AccountCheckpoint | Unfoldable
"""What is said of one account."""

Progress = Final | RolledBack | Unsupported | Supported
"""What is said of a whole deployment, in every partition."""

AccountRecord = OwnRecord | Progress

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AccountRecord] = msgspec.json.Decoder(AccountRecord)


def encode_account_record(record: AccountRecord) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_account_record(value: bytes) -> AccountRecord:
    """Decode a record.

    Raises:
        BadRecord: ``value`` is no record of ``account-events``.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected an account-events record, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
