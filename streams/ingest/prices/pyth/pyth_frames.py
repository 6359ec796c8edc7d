"""Reads the frames of Pyth's two services into ticks. Pure.

Both say a price as a whole number and an exponent, and by how much it may be wrong; the tick has all of it, so that who
values as a programme on chain does gets the very numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from models.prices import MarkTick, OracleSaid
from streams.ingest.prices.price_frames import UNREADABLE, BadFrame, BadTick, Frame, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_MS_PER_S = 1_000
_US_PER_MS = 1_000
_PLACES_MAX = 18
_DIGITS_MAX = 21
_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _LazerFeed(msgspec.Struct, rename="camel"):
    price_feed_id: int
    price: str | None = None
    exponent: int | None = None
    confidence: _Whole | str | None = None
    ema_price: str | None = None
    market_session: str | None = None
    feed_update_timestamp: _Whole | None = None


class _LazerPayload(msgspec.Struct, rename="camel"):
    timestamp_us: str
    price_feeds: list[_LazerFeed]


class _LazerFrame(msgspec.Struct):
    type: str
    parsed: _LazerPayload | None = None


class _HermesPrice(msgspec.Struct):
    price: str
    conf: str
    expo: int
    publish_time: _Whole


class _HermesFeed(msgspec.Struct):
    id: str
    price: _HermesPrice
    ema_price: _HermesPrice


class _HermesFrame(msgspec.Struct):
    type: str
    price_feed: _HermesFeed | None = None


_Frame = TypeVar("_Frame")
_lazer = msgspec.json.Decoder(_LazerFrame)
_hermes = msgspec.json.Decoder(_HermesFrame)


class LazerReader:
    """Makes ticks of Lazer's frames, each price once, whichever of several connections says it first.

    Args:
        feeds: The numbers of feeds by symbol.
    """

    def __init__(self, feeds: Mapping[str, int]) -> None:
        self._symbols = {number: symbol for symbol, number in feeds.items()}
        self._last_ms: dict[str, int] = {}

    def read(self, body: bytes, source: str, received_ms: int) -> Frame:
        """Read a frame.

        Raises:
            BadFrame: It is none of Lazer's, or says that a subscription failed.
        """
        frame: _LazerFrame = _decoded(_lazer, body)
        if frame.type.lower().endswith("error"):
            msg = f"expected prices of Pyth Lazer, found an error: {body[:300]!r}"
            raise BadFrame(msg)
        if frame.parsed is None:
            return Frame([], [], 1)
        found = Frame([], [], 0)
        for feed in frame.parsed.price_feeds:
            symbol = self._symbols.get(feed.price_feed_id)
            # A feed without a price has none at the moment, as on a weekend.
            if symbol is None or feed.price is None:
                continue
            try:
                us = feed.feed_update_timestamp or _whole("timestampUs", frame.parsed.timestamp_us)
                said = _said(feed.exponent, feed.ema_price, feed.confidence, feed.market_session)
                tick = _tick(source, symbol, feed.price, said, event_ms=us // _US_PER_MS, received_ms=received_ms)
            except BadTick as error:
                found.refused.append(Refused(msgspec.json.encode(feed), error, symbol))
                continue
            if tick.event_ms > self._last_ms.get(symbol, 0):
                self._last_ms[symbol] = tick.event_ms
                found.ticks.append(tick)
        return found


class HermesReader:
    """Makes ticks of Hermes' frames, each price once. Its time is in seconds, and a price of each second is enough.

    Args:
        feeds: The ids of feeds by symbol.
    """

    def __init__(self, feeds: Mapping[str, str]) -> None:
        self._symbols = {feed_key(number): symbol for symbol, number in feeds.items()}
        self._last_ms: dict[str, int] = {}

    def read(self, body: bytes, source: str, received_ms: int) -> Frame:
        """Read a frame.

        Raises:
            BadFrame: It is none of Hermes'.
        """
        frame: _HermesFrame = _decoded(_hermes, body)
        if frame.type == "response" and b'"error"' in body:
            msg = f"expected prices of Pyth Hermes, found an error: {body[:300]!r}"
            raise BadFrame(msg)
        feed = frame.price_feed
        symbol = None if feed is None else self._symbols.get(feed_key(feed.id))
        if feed is None or symbol is None:
            return Frame([], [], 1)
        try:
            said = _said(feed.price.expo, feed.ema_price.price, feed.price.conf, None)
            event_ms = feed.price.publish_time * _MS_PER_S
            tick = _tick(source, symbol, feed.price.price, said, event_ms=event_ms, received_ms=received_ms)
        except BadTick as error:
            return Frame([], [Refused(body, error, symbol)], 0)
        if tick.event_ms <= self._last_ms.get(symbol, 0):
            return Frame([], [], 0)
        self._last_ms[symbol] = tick.event_ms
        return Frame([tick], [], 0)


def feed_key(feed: str) -> str:
    """The one spelling of a feed's id, which may be written with ``0x`` and in either case."""
    return feed.lower().removeprefix("0x")


def _decoded(decoder: msgspec.json.Decoder[_Frame], body: bytes) -> _Frame:
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        msg = f"expected a frame of Pyth, found {body[:80]!r}: {error}"
        raise BadFrame(msg) from error


def _said(exponent: int | None, average: str | None, confidence: int | str | None, session: str | None) -> OracleSaid:
    if exponent is None or not -_PLACES_MAX <= exponent <= 0:
        msg = f"expected an exponent from -{_PLACES_MAX} to 0, found {exponent}"
        raise BadTick(msg)
    return OracleSaid(exponent, _optional_text(average, exponent), _optional_text(confidence, exponent), session)


def _optional_text(number: int | str | None, exponent: int) -> str | None:
    return None if number is None else decimal_text(_whole("a number", number), exponent)


def _tick(source: str, symbol: str, price: str, said: OracleSaid, *, event_ms: int, received_ms: int) -> MarkTick:
    number = _whole("price", price)
    if number <= 0 or event_ms <= 0:
        msg = f"expected a price above 0 and its time, found {price} at {event_ms}"
        raise BadTick(msg)
    mark = decimal_text(number, said.exponent)
    return MarkTick(source, symbol, event_ms, received_ms, mark, None, None, None, oracle=said)


def _whole(name: str, number: int | str) -> int:
    text = str(number)
    if len(text) > _DIGITS_MAX or not text.removeprefix("-").isascii() or not text.removeprefix("-").isdecimal():
        msg = f"expected {name} as a whole number, found {text[:80]!r}"
        raise BadTick(msg)
    return int(text)


def decimal_text(number: int, exponent: int) -> str:
    """``number x 10^exponent`` as a decimal text with as many places as the exponent says; ``exponent`` <= 0."""
    digits = str(abs(number)).rjust(1 - exponent, "0")
    point = len(digits) + exponent
    text = f"{digits[:point]}.{digits[point:]}" if exponent else digits
    return f"-{text}" if number < 0 else text
