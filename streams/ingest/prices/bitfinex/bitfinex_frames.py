"""Frames of Bitfinex's public websocket, read into ticks whose numbers are exactly those that were sent.

The venue writes numbers as JSON numbers, small ones with an exponent. A number is kept as its literal; an exponent is
written out. What is finer than tables keep is rounded to their finest unit.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.prices import MarkTick
from streams.ingest.prices.price_frames import UNREADABLE, BadFrame, BadTick, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

# Tables keep 18 decimals (models.money).
_FINEST = Decimal("1e-18")
_FINEST_EXPONENT = -18
# A literal of 64 characters may have an exponent of 60 digits. No price or rate is beyond these.
_LARGEST_EXPONENT = 30
_NULL = b"null"
# The elements of a ticker and of a derivative's status, as the venue numbers them.
_LAST_PRICE = 6
_TICKER_LEAST = 7
_TIME, _SPOT_PRICE, _NEXT_FUNDING, _CURRENT_FUNDING, _MARK_PRICE = 0, 3, 7, 11, 14
_STATUS_LEAST = 15

_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]{1,18})?")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")

HEARTBEAT = b'"hb"'
"""The content of a data frame that says that a channel lives and has nothing new."""


class Platform(msgspec.Struct):
    """Whether the venue works: 1, or 0 while it is in maintenance."""

    status: int = 1


class Event(msgspec.Struct, rename={"chan_id": "chanId"}):
    """A frame that is an object: what the venue says of the connection and of subscriptions."""

    event: str = ""
    code: int | None = None
    version: int | None = None
    platform: Platform | None = None
    flags: int | None = None
    status: str | None = None
    channel: str | None = None
    chan_id: int | None = None
    symbol: str | None = None
    key: str | None = None
    cid: int | None = None
    ts: int | None = None
    msg: str | None = None


class Data(NamedTuple):
    """A frame that is an array: of which channel it is, its content, and what is appended to it.

    Attributes:
        channel: The channel's number on this connection.
        content: What it says, as it was sent.
        sequence: The number of the frame on this connection; None where such were not agreed on.
        at_ms: When it was sent, by the venue's clock, in Unix ms; None where such times were not agreed on.
    """

    channel: int
    content: bytes
    sequence: int | None
    at_ms: int | None


_event = msgspec.json.Decoder(Event)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_integer = msgspec.json.Decoder(int)


def read_event(frame: bytes) -> Event:
    """Read an object.

    Raises:
        BadFrame: It is none that the venue sends.
    """
    try:
        return _event.decode(frame)
    except UNREADABLE as error:
        msg = f"expected an event as JSON, found {frame[:80]!r} of {len(frame)} bytes: {error}"
        raise BadFrame(msg) from error


def read_data(frame: bytes, *, has_sequence: bool, has_time: bool) -> Data:
    """Read an array.

    Args:
        frame: The frame as it was sent.
        has_sequence: Whether it was agreed that a number is appended to each frame.
        has_time: Whether it was agreed that a time is appended, after the number.

    Raises:
        BadFrame: It is none, or does not have what was agreed on.
    """
    try:
        elements = _elements.decode(frame)
        appended = has_sequence + has_time
        if len(elements) < 2 + appended:
            msg = f"expected an array of {2 + appended} elements or more, found {frame[:80]!r}"
            raise BadFrame(msg)
        at_ms = _integer.decode(bytes(elements[-1])) if has_time else None
        sequence = _integer.decode(bytes(elements[-appended])) if has_sequence else None
        return Data(_integer.decode(bytes(elements[0])), bytes(elements[1]).strip(), sequence, at_ms)
    except UNREADABLE as error:
        msg = f"expected an array as JSON, found {frame[:80]!r} of {len(frame)} bytes: {error}"
        raise BadFrame(msg) from error


def ticker_tick(content: bytes, source: str, symbol: str, received_ms: int, at_ms: int | None) -> MarkTick | None:
    """Read a ticker: the mark is the price of the last trade; None where the pair never had one.

    Args:
        content: What the channel says.
        source: The source's name.
        symbol: The pair.
        received_ms: When it came, in Unix ms.
        at_ms: When it was sent, by the venue's clock; where that is not said, it is taken to be when it came.

    Raises:
        BadTick: It is no ticker.
    """
    elements = _array(content, "a ticker", _TICKER_LEAST)
    last = _number("last price", elements[_LAST_PRICE])
    if last is None:
        return None
    return MarkTick(source, symbol, received_ms if at_ms is None else at_ms, received_ms, last, None, None, None)


def status_tick(content: bytes, source: str, symbol: str, received_ms: int) -> MarkTick | None:
    """Read the status of a derivative: its mark, with the spot price as its index, and its funding; None without one.

    The rate is the one that is paid in the current period, which ends at the next funding.

    Args:
        content: What the channel says.
        source: The source's name.
        symbol: The derivative.
        received_ms: When it came, in Unix ms.

    Raises:
        BadTick: It is no status of a derivative.
    """
    elements = _array(content, "the status of a derivative", _STATUS_LEAST)
    mark = _number("mark price", elements[_MARK_PRICE])
    if mark is None:
        return None
    event_ms = _whole("time", elements[_TIME])
    if event_ms is None:
        msg = "expected the time of a status, found null"
        raise BadTick(msg)
    return MarkTick(
        source=source,
        symbol=symbol,
        event_ms=event_ms,
        received_ms=received_ms,
        mark=mark,
        index=_number("spot price", elements[_SPOT_PRICE]),
        funding_rate=_number("current funding", elements[_CURRENT_FUNDING]),
        next_funding_ms=_whole("time of the next funding", elements[_NEXT_FUNDING]),
    )


def plain(name: str, text: str) -> str:
    """Write a number without an exponent, and without digits beyond the finest unit; others stay as they are.

    Raises:
        BadTick: It is no number, or larger or smaller than any price or rate.
    """
    if _PLAIN.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text) is None:
        msg = f"expected {name} as a number, found {text[:80]!r}"
        raise BadTick(msg)
    number = Decimal(text)
    if not number.is_finite() or number.adjusted() > _LARGEST_EXPONENT:
        msg = f"expected {name} below 1e{_LARGEST_EXPONENT}, found {text[:80]!r}"
        raise BadTick(msg)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < _FINEST_EXPONENT:
        with localcontext(prec=100):
            number = number.quantize(_FINEST, ROUND_HALF_EVEN)
    return f"{number:f}"


def _array(content: bytes, what: str, least: int) -> Sequence[msgspec.Raw]:
    try:
        elements = _elements.decode(content)
    except UNREADABLE as error:
        msg = f"expected {what} as an array, found {content[:80]!r}: {error}"
        raise BadTick(msg) from error
    if len(elements) < least:
        msg = f"expected {what} of {least} elements or more, found {len(elements)}: {content[:80]!r}"
        raise BadTick(msg)
    return elements


def _number(name: str, raw: msgspec.Raw) -> str | None:
    return None if bytes(raw).strip() == _NULL else plain(name, number_text(name, raw))


def _whole(name: str, raw: msgspec.Raw) -> int | None:
    if bytes(raw).strip() == _NULL:
        return None
    # A float such as 1.7e12 is a time too, as some of the venue's servers write it.
    text = plain(name, number_text(name, raw))
    whole, _, fraction = text.partition(".")
    if fraction.strip("0"):
        msg = f"expected {name} in whole ms, found {text[:80]!r}"
        raise BadTick(msg)
    return int(whole)
