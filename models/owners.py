"""Records of ``owner-requests`` and ``owners``: whose sub-account an account is, asked of the chain and answered.

Blocks say it of the sub-accounts that were made since ingest began to read them. Of an older one the contract that made
it says it. Both records have the account's key. An answer without a value says that, as of the newest block, no
MultiAccount of the deployment made the account.
"""

from __future__ import annotations

import re

import msgspec

from models.errors import BadRecord
from models.ids import split_key

OWNER_WAITED_FOR_S = 2.0
"""How long who asks waits for an answer, in seconds. A node answers within 0.1 s."""

_ADDRESS = r"0x[0-9a-f]{40}"
_KEY = re.compile(rf"[^:]+:{_ADDRESS}".encode())


class OwnerRequest(msgspec.Struct, tag="owner-request", tag_field="kind", frozen=True):
    """Somebody wants to know whose the account is."""


class SubAccountOwner(msgspec.Struct, tag="owner", tag_field="kind", frozen=True):
    """``owner`` had ``multi_account`` make the account; addresses in lower case."""

    multi_account: str
    owner: str


_encode = msgspec.json.Encoder().encode
_request_decoder = msgspec.json.Decoder(OwnerRequest)
_owner_decoder = msgspec.json.Decoder(SubAccountOwner)


def encode_owner_request() -> bytes:
    """Encode a request as JSON with its ``kind``."""
    return _encode(OwnerRequest())


def decode_owner_request(key: bytes | None, value: bytes | None) -> tuple[str, str]:
    """Decode a record of ``owner-requests`` into the deployment and the account's address in lower case.

    Raises:
        BadRecord: ``key`` is no account's, or ``value`` is no request.
    """
    if key is None or not _KEY.fullmatch(key):
        msg = f"expected the key of an account, deployment:0x…, found {key[:80] if key else key!r}"
        raise BadRecord(msg)
    try:
        _request_decoder.decode(value or b"")
        return split_key(key)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected an owner request for {key!r}, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error


def encode_owner(owner: SubAccountOwner) -> bytes:
    """Encode an answer as JSON with its ``kind``."""
    return _encode(owner)


def decode_owner(key: bytes, value: bytes) -> SubAccountOwner:
    """Decode a record of ``owners`` that has a value.

    Raises:
        BadRecord: ``value`` is no answer.
    """
    try:
        return _owner_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected the owner of {key!r}, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
