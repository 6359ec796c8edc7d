"""Records of Flash's accounts as a node of Solana said them: raw bytes, and where on which chain they stood.

The venue has two chains. Baskets live on its **rollup**; what owners have deposited, and the venue's markets, stand on
the **base** chain. While an account lives on the rollup the base chain keeps a copy of it that nobody updates, so
``LAYER_OF`` says which of the two is believed of which account. Slots count on each chain for itself.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from models.errors import BadRecord
from models.flash.flash_accounts import (
    DISCRIMINATORS,
    Basket,
    Custody,
    CustomOracle,
    Market,
    Pool,
    UserDepositLedger,
)
from models.flash.solana_keys import base58_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FLASH_ACCOUNTS = "flash-accounts"
FLASH_REFERENCES = "flash-references"

SAID_BYTES_MAX = 128 * 1024
"""The most bytes of an account that a record has: as base64 they fit into a row, beside the figures made of them."""

Layer = Literal["base", "rollup"]

LAYER_OF: Mapping[str, Layer] = {
    Basket.__name__: "rollup",
    UserDepositLedger.__name__: "base",
    Market.__name__: "base",
    Custody.__name__: "base",
    Pool.__name__: "base",
    CustomOracle.__name__: "base",
}
"""On which chain each type of account is read; its copy on the other one is passed over."""

SLOTS_PER_S_MAX: Mapping[Layer, int] = {"base": 5, "rollup": 200}
"""More slots than a chain makes in a second: one takes 400 ms on Solana, and no less than 10 on a rollup."""

# The 16th of March 2020, UTC, when Solana began; no rollup of it is older.
_BEGUN_MS = 1_584_316_800_000

OWNED = (Basket.__name__, UserDepositLedger.__name__)
"""The types that belong to one owner, whose account they are kept in."""

_TYPE_OF = {first: of.__name__ for of, first in DISCRIMINATORS.items()}
_DISCRIMINATOR_BYTES = 8
_KEY_BYTES = 32
# Where the owner of an account stands; a basket's is its first field, that of a ledger comes after its bump.
_OWNER_AT = {Basket.__name__: 8, UserDepositLedger.__name__: 16}

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_PublicKeyText = Annotated[str, msgspec.Meta(min_length=32, max_length=44, description="A public key as base58.")]


class Order(NamedTuple):
    """Which of two states of an account on one chain is newer: the one with the higher slot, and write in it."""

    slot: int
    write_version: int


class _OfAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What all records of an account say.

    Attributes:
        pubkey: The account's address.
        account: Its type, a key of ``LAYER_OF``.
        programme: The programme that owns it.
        layer: The chain.
        slot: As of which slot of that chain the account was so.
        write_version: Which write it was within the node; 0 where the node does not say.
        received_ms: When it came, by our clock, Unix ms.
    """

    pubkey: _PublicKeyText
    account: str
    programme: _PublicKeyText
    layer: Layer
    slot: _Number
    write_version: _Number = 0
    received_ms: _Number

    @property
    def order(self) -> Order:
        """Which of two records of the account on its chain is newer."""
        return Order(self.slot, self.write_version)


class AccountSaid(_OfAccount, tag="account", tag_field="kind", frozen=True, kw_only=True):
    """An account as it stood; ``data`` are its bytes as base64."""

    data: str


class AccountClosed(_OfAccount, tag="closed", tag_field="kind", frozen=True, kw_only=True):
    """An account that is no more."""


class AccountTooLarge(_OfAccount, tag="too_large", tag_field="kind", frozen=True, kw_only=True):
    """An account of ``size`` bytes, which are more than a record has (``SAID_BYTES_MAX``)."""

    size: _Number


class ClockSaid(msgspec.Struct, tag="clock", tag_field="kind", frozen=True, kw_only=True):
    """The time of a chain, in seconds of Unix time; hourly fees have accrued up to then."""

    layer: Layer
    slot: _Number
    unix_s: _Number
    received_ms: _Number


AccountRecord = AccountSaid | AccountClosed | AccountTooLarge
"""A record of the topic ``flash-accounts``, and of an account on ``flash-references``."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AccountRecord] = msgspec.json.Decoder(AccountRecord)


def encode_account_record(record: AccountRecord | ClockSaid) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def decode_account_record(value: bytes) -> AccountRecord:
    """Decode a record of an account.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"expected a record of an account of Flash, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


def slot_max(layer: Layer, at_ms: int) -> int:
    """The highest slot that a chain can have come to since Solana began.

    Args:
        layer: Which chain.
        at_ms: By when, Unix ms.
    """
    return max(0, at_ms - _BEGUN_MS) * SLOTS_PER_S_MAX[layer] // 1_000


def expect_slot(record: AccountRecord | ClockSaid) -> None:
    """Expect a slot that a chain can have come to. A node may have lied of one before ingest bounded what it believes.

    Raises:
        BadRecord: It is beyond ``slot_max``.
    """
    highest = slot_max(record.layer, record.received_ms)
    if record.slot > highest:
        msg = f"expected a slot of the {record.layer} chain of at most {highest}, found {record.slot}"
        raise BadRecord(msg)


def account_bytes(record: AccountSaid) -> bytes:
    """The account's bytes.

    Raises:
        BadRecord: ``data`` is no base64, or more than a record may have.
    """
    if len(record.data) > SAID_BYTES_MAX // 3 * 4 + 4:
        msg = f"expected an account of at most {SAID_BYTES_MAX} bytes, found {len(record.data)} characters of base64"
        raise BadRecord(msg)
    try:
        return b64decode(record.data, validate=True)
    except (BadBase64, ValueError) as error:
        msg = f"expected the bytes of {record.pubkey} as base64, found {record.data[:80]!r}: {error}"
        raise BadRecord(msg) from error


def account_text(data: bytes) -> str:
    """An account's bytes as a record has them."""
    return b64encode(data).decode()


def type_of(data: bytes) -> str | None:
    """Which type of account bytes begin as, by their discriminator; None where it is none of those that are read."""
    return _TYPE_OF.get(data[:_DISCRIMINATOR_BYTES])


def discriminator_text(account: str) -> str:
    """How accounts of a type begin, as base58: nodes choose accounts by it.

    Raises:
        StopIteration: There is no such type.
    """
    return base58_text(next(first for first, name in _TYPE_OF.items() if name == account))


def owner_of(account: str, data: bytes) -> bytes | None:
    """The owner that an account's bytes name, without reading the rest of them.

    Args:
        account: Its type, one of ``OWNED``.
        data: Its bytes.

    Returns:
        The public key, None where the account is cut off before its end.
    """
    at = _OWNER_AT[account]
    owner = data[at : at + _KEY_BYTES]
    return owner if len(owner) == _KEY_BYTES else None
