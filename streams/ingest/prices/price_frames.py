"""What reading a venue's frame comes to: ticks that keep numbers as the texts that were sent, and what is no tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.errors import BadRecord, TidemarkError
from models.ids import mark_key

if TYPE_CHECKING:
    from models.prices import PriceTick

# No price, rate or symbol is longer. A longer text is a fault, and must not get into every table.
MAX_TEXT = 64

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes raise that are no JSON of the shape that is expected, or are nested too deeply for the interpreter."""

_text = msgspec.json.Decoder(str)


class BadFrame(BadRecord):
    """A whole frame is not JSON, or not of a shape that this venue sends."""


class BadTick(BadRecord):
    """One element of a frame is not a price update as the venue sends them; the other elements are used."""


class Refused(NamedTuple):
    """A value that could not be read, and why; ``symbol`` is what it is about, empty where it does not say."""

    value: bytes
    error: TidemarkError
    symbol: str


class Frame(NamedTuple):
    """The content of a frame; ``ignored`` counts its events of other kinds."""

    ticks: list[PriceTick]
    refused: list[Refused]
    ignored: int


def tick_key(tick: PriceTick) -> bytes:
    """Return the tick's key in ``price-ticks``."""
    return mark_key(tick.source, tick.symbol)


def number_text(name: str, raw: msgspec.Raw) -> str:
    """Return the text of a JSON string or the literal of a JSON number, which a float would not give back unchanged.

    Raises:
        BadTick: It is neither, or longer than any number.
    """
    literal = bytes(raw)
    match literal[:1]:
        case b'"':
            text = _text.decode(literal)
        case first if first and first in b"-0123456789":
            text = literal.decode()
        case _:
            msg = f"expected {name} as a text or a number, found {literal[:80]!r}"
            raise BadTick(msg)
    if len(text) > MAX_TEXT:
        msg = f"expected {name} of at most {MAX_TEXT} characters, found {len(text)}: {text[:80]!r}"
        raise BadTick(msg)
    return text
