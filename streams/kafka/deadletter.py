"""Records of the ``dead-letters`` topic: copies of records that could not be read. Key: that of the refused record.

What is refused is counted in ``tidemark_dead_letters_total{source,cause}``. A fault that repeats itself is written and
logged once, and then once an hour with the number of its repeats for as long as it lasts: a symbol whose price stays 0
would otherwise be a letter a second for as long as the venue sends it.
"""

from __future__ import annotations

import base64
import logging
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from models.errors import BadRecord

if TYPE_CHECKING:
    from models.errors import TidemarkError
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

# A letter of 10 MB would itself be refused by the broker; base64 of this still leaves room below its 1 MB.
MAX_VALUE_BYTES = 64 * 1024
_MAX_REASON_CHARACTERS = 2_000
# A fault that lasts stays in sight on the topic, whose letters are kept for 30 days: 720 letters each, not 2.6 million.
REPEATS_TOLD_EVERY_MS = 3_600_000
# Some hundred bytes each. A venue has less than 1,000 symbols, and a fault seldom hits all of them.
_MOST_FAULTS = 4_096
# A Unix time in ms, which differs between two refusals of one fault; another height or quote is another fault.
_INSTANT = re.compile(r"(?<!\d)1\d{12}(?!\d)")
_DIGITS = re.compile(r"\d+")

_DEAD_LETTERS = Counter("tidemark_dead_letters_total", "What could not be read.", ("source", "cause"))
_REPEATS = Counter(
    "tidemark_dead_letter_repeats_total",
    "What could not be read and was only counted, since its fault was told within the hour.",
    ("source", "cause"),
)


class DeadLetter(msgspec.Struct, tag="dead-letter", tag_field="kind", frozen=True):
    """One refused record or frame.

    ``source`` is the topic that it was read from, or the venue that sent it, where ``partition`` and ``offset`` are
    null. ``key`` and ``value`` are base64. ``value`` holds the first ``MAX_VALUE_BYTES`` of ``value_bytes``, which is
    null where the length is not known. ``cause`` names the kind of fault, ``reason`` describes it. ``repeats`` counts
    what was refused with the same fault since the letter before, and has no letter of its own.
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
    repeats: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


@dataclass(slots=True)
class _Told:
    """When a fault was last told, and how often it has been met since."""

    at_ms: int
    repeats: int = 0


class DeadLetters:
    """Makes the letters of one process, each fault's once, and then at most once an hour.

    Two refusals are of one fault where source, key, cause and reason are the same, but for the instants in the reason.
    The faults that were met last are remembered; one that is forgotten is told anew.

    Args:
        clock: Tells when something was refused.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[tuple[str, bytes | None, str, str], _Told] = OrderedDict()

    def refuse(
        self,
        source: str,
        value: bytes,
        error: TidemarkError,
        *,
        key: bytes | None = None,
        position: tuple[int, int] | None = None,
        fault: str | None = None,
    ) -> DeadLetter | None:
        """Count a refusal, and make its letter unless its fault was told within the hour.

        Args:
            source: The topic, or the venue.
            value: The value that was refused; only its beginning is kept.
            error: Why it was refused; its class is the cause, its message the reason.
            key: The record's key, None for a venue's frame.
            position: Partition and offset of the record, None for a venue's frame.
            fault: What is at fault, where the reason quotes what differs from one refusal to the next; see ``form_of``.

        Returns:
            The letter to write; None where the refusal is only counted.
        """
        cause, reason, now_ms = type(error).__name__, str(error)[:_MAX_REASON_CHARACTERS], self._clock.now_ms()
        _DEAD_LETTERS.labels(source=source, cause=cause).inc()
        met = self._met((source, key, cause, _INSTANT.sub("", reason) if fault is None else fault), now_ms)
        if met is None:
            _REPEATS.labels(source=source, cause=cause).inc()
            return None
        at = "" if position is None else f" partition={position[0]} offset={position[1]}"
        _log.warning("refused source=%s%s key=%r cause=%s repeats=%d: %.300s", source, at, key, cause, met, reason)
        partition, offset = position or (None, None)
        return DeadLetter(
            source=source,
            partition=partition,
            offset=offset,
            key=None if key is None else base64.b64encode(key).decode(),
            value=base64.b64encode(value[:MAX_VALUE_BYTES]).decode(),
            value_bytes=len(value),
            cause=cause,
            reason=reason,
            at_ms=now_ms,
            repeats=met,
        )

    def _met(self, fault: tuple[str, bytes | None, str, str], now_ms: int) -> int | None:
        """Note that a fault was met; return its repeats since it was told, or None where it is not told now."""
        told = self._told.get(fault)
        if told is not None:
            self._told.move_to_end(fault)
            if 0 <= now_ms - told.at_ms < REPEATS_TOLD_EVERY_MS:
                told.repeats += 1
                return None
        self._told[fault] = _Told(now_ms)
        if len(self._told) > _MOST_FAULTS:
            self._told.popitem(last=False)
        return 0 if told is None else told.repeats


def form_of(error: TidemarkError) -> str:
    """Say what an error says, each number in it only by how many digits it has.

    It is the fault where a later record takes the place of the refused one, as with prices: which of many wrong prices
    it was does not matter then.
    """
    return _DIGITS.sub(lambda digits: str(len(digits[0])), str(error)[:_MAX_REASON_CHARACTERS])


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode a letter as JSON with its ``kind``."""
    return _encoder.encode(letter)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Decode a record of ``dead-letters``.

    Raises:
        BadRecord: ``value`` is not a dead letter.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a dead letter, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
