"""A table row on the wire: term and version as 8 big-endian bytes each, then a JSON object.

A term is below 2^48. The order of rows is (term, version) compared left to right, which is the order of the first 16
bytes: readers and recovery compare rows without decoding them. Integers that may pass 53 bits are decimal texts inside
the JSON.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = struct.Struct(">QQ")
_encode_struct = msgspec.json.Encoder().encode
ORDER_BYTES = _HEAD.size
_NO_ORDER = bytes(ORDER_BYTES)
# No topic has as many records, so that a row begins with two zero bytes. So do a length and a schema's id of other
# formats, behind which no object begins just where that of a row does.
_TERM_END = 2**48
_TERM_BEGINS = b"\x00\x00"

BODY_BEGINS = b"{"
"""How the body of every row begins, of every table and version: what has another byte there is no row."""

NUMBER_MAX = 2**63 - 1
"""The largest number in a body, which every version of orjson takes. One that may be larger is written as decimal
text."""


class Row(NamedTuple):
    """A decoded row: its owner's ``term``, its ``version`` and its ``body``."""

    term: int
    version: int
    body: dict[str, Any]


def encode_row(term: int, version: int, body: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """Encode a row.

    Args:
        term: The owner's term, 0 to 2^48 - 1.
        version: The row's version, 0 to 2^64 - 1.
        body: As for ``encode_body``.
    """
    return join_row(term, version, encode_body(body))


def encode_body(body: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """Encode a row's body, which follows its ``ORDER_BYTES``.

    Args:
        body: One of the types of bodies (``models.row_bodies``), or a JSON object that holds only what orjson takes, so
            no int beyond 64 bits.
    """
    return _encode_struct(body) if isinstance(body, msgspec.Struct) else orjson.dumps(body)


def join_row(term: int, version: int, encoded_body: bytes) -> bytes:
    """Put the term and the version before a body that is encoded already.

    Args:
        term: The owner's term, 0 to 2^48 - 1.
        version: The row's version, 0 to 2^64 - 1.
        encoded_body: What ``encode_body`` returned, or another JSON object without a space before it.
    """
    return _HEAD.pack(term, version) + encoded_body


def decode_row(value: bytes) -> Row:
    """Decode a row.

    Raises:
        BadRow: ``value`` is no row of this format.
    """
    try:
        term, version = _HEAD.unpack_from(value)
        body = orjson.loads(memoryview(value)[ORDER_BYTES:])
    except (struct.error, orjson.JSONDecodeError) as error:
        msg = f"expected 16 bytes of term and version and a JSON object, found {value[:60]!r} ({error})"
        raise BadRow(msg) from error
    if type(body) is not dict:
        msg = f"expected a JSON object behind 16 bytes of term and version, found {value[:60]!r}"
        raise BadRow(msg)
    return Row(term, version, body)


def row_order(value: bytes) -> bytes:
    """Return the bytes by which rows of one key are ordered; of equal ones, the row read later is the current one.

    What is no row, such as a text or a frame of Avro that something else wrote, stands below every row: it would be the
    current one for ever otherwise, and whatever replaced it would go unread.
    """
    has_order = value.startswith(_TERM_BEGINS) and value.startswith(BODY_BEGINS, ORDER_BYTES)
    return value[:ORDER_BYTES] if has_order else _NO_ORDER


def order_of_term(term: int) -> bytes:
    """Return the bytes with which every row written under ``term`` begins."""
    return term.to_bytes(8, "big")


def decode_order(value: bytes) -> tuple[int, int]:
    """Read only (term, version) of a row; (0, 0) of what is none."""
    if not value.startswith(BODY_BEGINS, ORDER_BYTES):
        return 0, 0
    term, version = _HEAD.unpack_from(value)
    return (term, version) if term < _TERM_END else (0, 0)
