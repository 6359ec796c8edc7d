"""Records of the ``account-events`` topic: what the router made of ``chain-blocks``, grouped by account.

``Transaction`` and ``AccountCheckpoint`` are keyed by account and sent to its partition; ``Final``, ``RolledBack`` and
``Unsupported`` are keyed by deployment and sent to *every* partition. ``position`` is where in ``chain-blocks`` the
record comes from: what the router sends twice carries the same position and is folded once.
"""

from __future__ import annotations

import msgspec

from models.chain_records import Checkpoint, Position, RawLog  # noqa: TC001 - msgspec resolves the annotations at run time
from models.errors import BadRecord


class Transaction(msgspec.Struct, tag="transaction", tag_field="kind", frozen=True):
    """All logs of one transaction that touch one account, in log order, legacy duplicates left out."""

    position: Position
    block: int
    time_s: int
    tx: str
    logs: tuple[RawLog, ...]


class AccountCheckpoint(msgspec.Struct, tag="checkpoint", tag_field="kind", frozen=True):
    """The account's state as the contract's views answered at ``checkpoint.block``."""

    position: Position
    checkpoint: Checkpoint


class Final(msgspec.Struct, tag="final", tag_field="kind", frozen=True):
    """The deployment is known up to ``head``; nothing at or below ``final`` will be rolled back."""

    position: Position
    head: int
    head_time_s: int
    final: int


class RolledBack(msgspec.Struct, tag="rollback", tag_field="kind", frozen=True):
    """What blocks above ``ancestor`` did is to be undone; ``supported``: also what made the deployment unsupported."""

    position: Position
    ancestor: int
    supported: bool = False


class Unsupported(msgspec.Struct, tag="unsupported", tag_field="kind", frozen=True):
    """From ``block`` on the deployment's logs cannot be trusted to this version; its accounts are unknown."""

    position: Position
    block: int
    reason: str


class Supported(msgspec.Struct, tag="supported", tag_field="kind", frozen=True):
    """The deployment was joined anew at ``block``: accounts are known again from their checkpoints on, which follow.

    ``enumerated`` says whether every account has one.
    """

    position: Position
    block: int
    enumerated: bool


class Unfoldable(msgspec.Struct, tag="unfoldable", tag_field="kind", frozen=True):
    """A transaction of the account that cannot be sent to it; the account is unknown from there on."""

    position: Position
    cause: str


AccountRecord = Transaction | AccountCheckpoint | Unfoldable | Final | RolledBack | Unsupported | Supported

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
