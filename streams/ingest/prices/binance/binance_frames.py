"""Frames of Binance's USD-margined futures, read into ticks that keep numbers as the texts that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.prices import BookTick, MarkTick
from streams.ingest.prices.price_frames import MAX_TEXT, UNREADABLE, BadFrame, BadTick, Frame, Refused, number_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.prices import PriceTick


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")
    e: str = ""


class _About(msgspec.Struct):
    s: str = ""
    symbol: str = ""


class _MarkUpdate(msgspec.Struct):
    s: str
    E: int
    p: msgspec.Raw
    i: msgspec.Raw = msgspec.Raw(b"null")
    r: msgspec.Raw = msgspec.Raw(b"null")
    T: int | None = None


class _BookUpdate(msgspec.Struct):
    s: str
    E: int
    b: msgspec.Raw
    a: msgspec.Raw


class _PremiumIndex(msgspec.Struct, rename="camel"):
    symbol: str
    time: int
    mark_price: msgspec.Raw
    index_price: msgspec.Raw = msgspec.Raw(b"null")
    last_funding_rate: msgspec.Raw = msgspec.Raw(b"null")
    next_funding_time: int | None = None


_elements = msgspec.json.Decoder(list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)
_mark_update = msgspec.json.Decoder(_MarkUpdate)
_book_update = msgspec.json.Decoder(_BookUpdate)
_premium_index = msgspec.json.Decoder(_PremiumIndex)
_about = msgspec.json.Decoder(_About)


def read_frame(frame: bytes, source: str, received_ms: int) -> Frame:
    """Read a websocket frame: an array of updates, one update, or either inside a combined stream's envelope.

    Fields that are not known are passed over, and so are events of other kinds and the answers to subscriptions.

    Args:
        frame: The frame as it was sent.
        source: The source's name; marks carry it, best bids and asks carry it with ``-book`` at its end.
        received_ms: When the frame came, in Unix ms.

    Raises:
        BadFrame: The frame is no JSON, or its beginning is of no known shape.
    """
    body = frame.strip()
    try:
        if not body.startswith(b"["):
            data = bytes(_envelope.decode(body).data)
            body = data or body
        elements = _elements.decode(body) if body.startswith(b"[") else [msgspec.Raw(body)]
    except UNREADABLE as error:
        msg = f"expected a frame of {source} as JSON, found {frame[:80]!r} of {len(frame)} bytes: {error}"
        raise BadFrame(msg) from error
    return _collect(elements, lambda element: _tick(element, source, received_ms))


def read_premium_index(body: bytes, source: str, received_ms: int) -> Frame:
    """Read the answer of ``/fapi/v1/premiumIndex``, an array with every symbol's mark.

    Args:
        body: The answer as it was sent.
        source: The source's name.
        received_ms: When the answer came, in Unix ms.

    Raises:
        BadFrame: The answer is no array in JSON.
    """
    try:
        elements = _elements.decode(body)
    except UNREADABLE as error:
        msg = f"expected premiumIndex of {source} as a JSON array, found {body[:80]!r}: {error}"
        raise BadFrame(msg) from error
    return _collect(elements, lambda element: _premium(element, source, received_ms))


def symbol_of(element: bytes) -> str:
    """Find the symbol that an element is about, whatever else is wrong with it; empty where it names none."""
    try:
        about = _about.decode(element)
    except UNREADABLE:
        return ""
    return (about.s or about.symbol)[:MAX_TEXT]


def _collect(elements: list[msgspec.Raw], read: Callable[[bytes], PriceTick | None]) -> Frame:
    ticks: list[PriceTick] = []
    refused: list[Refused] = []
    ignored = 0
    for element in map(bytes, elements):
        try:
            tick = read(element)
        except UNREADABLE as error:
            refused.append(Refused(element, BadTick(f"expected a price update, found: {error}"), symbol_of(element)))
        except BadTick as error:
            refused.append(Refused(element, error, symbol_of(element)))
        else:
            if tick is None:
                ignored += 1
            else:
                ticks.append(tick)
    return Frame(ticks, refused, ignored)


def _tick(element: bytes, source: str, received_ms: int) -> PriceTick | None:
    match _envelope.decode(element).e:
        case "markPriceUpdate":
            mark = _mark_update.decode(element)
            return MarkTick(
                source=source,
                symbol=_symbol(mark.s),
                event_ms=mark.E,
                received_ms=received_ms,
                mark=number_text("mark", mark.p),
                index=_optional("index", mark.i),
                funding_rate=_optional("funding rate", mark.r),
                next_funding_ms=mark.T,
            )
        case "bookTicker":
            book = _book_update.decode(element)
            return BookTick(
                source=f"{source}-book",
                symbol=_symbol(book.s),
                event_ms=book.E,
                received_ms=received_ms,
                bid=number_text("bid", book.b),
                ask=number_text("ask", book.a),
            )
        case _:
            return None


def _premium(element: bytes, source: str, received_ms: int) -> PriceTick:
    premium = _premium_index.decode(element)
    return MarkTick(
        source=source,
        symbol=_symbol(premium.symbol),
        event_ms=premium.time,
        received_ms=received_ms,
        mark=number_text("mark", premium.mark_price),
        index=_optional("index", premium.index_price),
        funding_rate=_optional("funding rate", premium.last_funding_rate),
        next_funding_ms=premium.next_funding_time,
    )


def _symbol(text: str) -> str:
    if not 0 < len(text) <= MAX_TEXT:
        msg = f"expected a symbol of at most {MAX_TEXT} characters, found {len(text)}: {text[:80]!r}"
        raise BadTick(msg)
    return text


def _optional(name: str, raw: msgspec.Raw) -> str | None:
    return None if bytes(raw) == b"null" else number_text(name, raw)
