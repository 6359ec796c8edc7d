"""Numbers that the holder of a key may use once, and only in rising order: the record of each use, and their fold.

A replica that was told a number appends it, and reads its own record back. The number is accepted if no record before
it names that key with the same number or a higher one. All readers of a partition decide alike.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from models.codec import NUMBER_MAX
from models.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Collection

_KEY_MAX_BYTES = 256
_USE_MAX_CHARACTERS = 64


class NonceUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One use of a number; ``use`` names it, and is empty where a record only says a number again."""

    nonce: int
    use: str = ""


def nonce_key(realm: str, name: str) -> bytes:
    """Make the key of the records of one holder: names come from outside, so their hash takes their place."""
    return f"{realm}:{hashlib.sha256(name.encode()).hexdigest()}".encode()


def encode_nonce(record: NonceUse) -> bytes:
    """Encode a record of ``nonces``."""
    return msgspec.json.encode(record)


def decode_nonce(key: bytes | None, value: bytes | None) -> NonceUse:
    """Decode a record of ``nonces``.

    Raises:
        BadRecord: It is none.
    """
    try:
        record = msgspec.json.decode(value or b"", type=NonceUse)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a use of a nonce, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
    are_bounded = 0 <= record.nonce <= NUMBER_MAX and len(record.use) <= _USE_MAX_CHARACTERS
    if not key or len(key) > _KEY_MAX_BYTES or not are_bounded:
        msg = f"expected a key and numbers within bounds, found {key!r:.100} {record!r:.200}"
        raise BadRecord(msg)
    return record


class NonceMarks:
    """The highest number of each key: the fold of the topic.

    The topic is compacted, so of each key only the newest record stays for ever. Where that is not the highest, its
    number has to be written again before the higher record is cleaned away; ``sunk`` are those keys.
    """

    def __init__(self) -> None:
        self._highest: dict[bytes, int] = {}
        self._sunk: set[bytes] = set()

    @property
    def sunk(self) -> Collection[bytes]:
        """Keys whose newest record is below their highest."""
        return self._sunk

    def of(self, key: bytes) -> int:
        """The highest number of a key, -1 where there is none."""
        return self._highest.get(key, -1)

    def take(self, key: bytes, nonce: int) -> bool:
        """Fold a record; whether its number is above all before it."""
        highest = self.of(key)
        if nonce < highest:
            self._sunk.add(key)
            return False
        self._sunk.discard(key)
        self._highest[key] = nonce
        return nonce > highest
