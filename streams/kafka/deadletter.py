"""Records of the ``dead-letters`` topic: what could not be read, why, and where from. Key: that of the refused record.

A dead letter is counted where it is made: ``tidemark_dead_letters_total{source,cause}``.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from models.errors import BadRecord

if TYPE_CHECKING:
    from models.errors import TidemarkError

# A letter of 10 MB would itself be refused by the broker; base64 of this still leaves room below its 1 MB.
MAX_VALUE_BYTES = 64 * 1024
_MAX_REASON_CHARACTERS = 2_000

_DEAD_LETTERS = Counter(
    "tidemark_dead_letters_total", "What could not be read and was put on dead-letters.", ("source", "cause")
)


class DeadLetter(msgspec.Struct, tag="dead-letter", tag_field="kind", frozen=True):
    """One refused record or frame.

    ``source`` is the topic it was read from, or the venue that sent it; then ``partition`` and ``offset`` are null.
    ``key`` and ``value`` are base64; ``value`` holds the first ``MAX_VALUE_BYTES`` of ``value_bytes`` (null where
    the length is not known). ``cause`` names the kind of fault, ``reason`` tells it.
    """

    source: str
    partition: int | None
    offset: int | None
    key: str | None
    value: str
    value_bytes: int | None
    cause: str
    reason: str
    at_ms: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


def dead_letter(
    source: str,
    value: bytes,
    error: TidemarkError,
    *,
    at_ms: int,
    key: bytes | None = None,
    position: tuple[int, int] | None = None,
    value_bytes: int | None = None,
) -> DeadLetter:
    """Make a dead letter and count it.

    Args:
        source: Topic or venue.
        value: What was refused; only its beginning is kept.
        error: Why; its class is the cause, its message the reason.
        at_ms: Now.
        key: The record's key.
        position: Partition and offset of a record.
        value_bytes: The full length where ``value`` is not the whole.
    """
    cause = type(error).__name__
    _DEAD_LETTERS.labels(source=source, cause=cause).inc()
    partition, offset = position or (None, None)
    return DeadLetter(
        source=source,
        partition=partition,
        offset=offset,
        key=None if key is None else base64.b64encode(key).decode(),
        value=base64.b64encode(value[:MAX_VALUE_BYTES]).decode(),
        value_bytes=len(value) if value_bytes is None else value_bytes,
        cause=cause,
        reason=str(error)[:_MAX_REASON_CHARACTERS],
        at_ms=at_ms,
    )


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode a letter as JSON with its ``kind``."""
    return _encoder.encode(letter)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Decode a record of ``dead-letters``.

    Raises:
        BadRecord: ``value`` is no dead letter.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a dead letter, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
