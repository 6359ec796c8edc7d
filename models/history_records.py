"""Records about history: ``history``, ``history-requests``, ``history-answers``, and what ``served`` says for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from models.booking_requests import BookingsAnswer, BookingsRequest
from models.bookings import Int64  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import ORDER_BYTES, decode_order
from models.errors import BadRecord, BadRow
from models.history import Bar, Candle, Reading
from models.instants import rfc3339
from models.plain_venue import TIME_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

HISTORY_WAITED_FOR_S = 3.0
"""How long who asks waits for an answer, in seconds. A page is read in some ms."""

PAGE_MAX = 1_000
"""The most bars of an answer: at most 0.5 MB of texts, which fits a record."""

DAYS_MAX = 366
"""The most days of an answer: each is read out of its hours."""

_Candle = tuple[str | None, str | None, str | None, str | None]
_StartS = Annotated[int, Meta(ge=0, le=TIME_MS_MAX // 1_000)]
_Bar = tuple[_StartS, _Candle, _Candle, _Candle]


class _MadeFrom(msgspec.Struct, gc=False):
    at_ms: int


class _Shown(msgspec.Struct, gc=False):
    upnl: str | None = None
    notional: str | None = None
    equity: str | None = None
    made_from: _MadeFrom | None = None


class ShownRow(NamedTuple):
    """What a record of ``served`` says: under which term, when (Unix ms; None of a row of before), and the figures."""

    term: int
    at_ms: int | None
    reading: Reading


class HistoryRequest(msgspec.Struct, tag="history-request", tag_field="kind", frozen=True):
    """A replica wants bars of ``series`` that begin in [from_s, to_s), the first ``most`` of them.

    ``series`` is an account's key, or that of a deployment's totals. Its record has the key ``id``.
    """

    id: str
    series: str
    step_s: Annotated[int, Meta(ge=1)]
    from_s: Int64
    to_s: Int64
    most: Annotated[int, Meta(ge=1)]


class HistoryAnswer(msgspec.Struct, tag="history-answer", tag_field="kind", frozen=True):
    """The bars, in the order of time; ``has_more`` where there are more in the window.

    ``before`` is the last bar before the window, whose end still holds where it begins. ``held_from_s`` is from when on
    bars of the step are held, None where there are none.
    """

    id: str
    bars: list[_Bar]
    before: _Bar | None
    has_more: bool
    held_from_s: int | None


class HistoryHour(msgspec.Struct, tag="history-hour", tag_field="kind", frozen=True):
    """A bar of an hour of one series, kept for ever; its record has the key ``series:start``."""

    series: str
    bar: _Bar


_encode = msgspec.json.Encoder().encode
_shown_decoder = msgspec.json.Decoder(_Shown)
Request = HistoryRequest | BookingsRequest
"""What is asked on ``history-requests``."""

Answer = HistoryAnswer | BookingsAnswer
"""What is answered on ``history-answers``."""

_request_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answer_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
_hour_decoder = msgspec.json.Decoder(HistoryHour)


def decode_shown(value: bytes) -> ShownRow:
    """Read the figures out of a record of ``served``.

    Raises:
        BadRow: It is no row with these figures.
    """
    try:
        body = _shown_decoder.decode(memoryview(value)[ORDER_BYTES:])
        figures = (None if text is None else int(text) for text in (body.upnl, body.notional, body.equity))
        at_ms = None if body.made_from is None else body.made_from.at_ms
        return ShownRow(decode_order(value)[0], at_ms, Reading(*figures))
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"expected a row with figures, found {value[:80]!r} ({error})"
        raise BadRow(msg) from error


def encode_request(request: Request) -> bytes:
    """Encode a request as JSON with its ``kind``."""
    return _encode(request)


def decode_request(value: bytes | None) -> Request:
    """Decode a record of ``history-requests``.

    Raises:
        BadRecord: It is none.
    """
    return _decoded(_request_decoder, value, "a request for history")


def encode_answer(answer: Answer) -> bytes:
    """Encode an answer as JSON with its ``kind``."""
    return _encode(answer)


def decode_answer(value: bytes | None) -> Answer:
    """Decode a record of ``history-answers``.

    Raises:
        BadRecord: It is none.
    """
    return _decoded(_answer_decoder, value, "an answer with history")


def encode_hour(series: str, bar: Bar) -> tuple[bytes, bytes]:
    """Key and value of the record that keeps a bar of an hour for ever."""
    return f"{series}:{rfc3339(bar.start_s * 1_000)}".encode(), _encode(HistoryHour(series, bar_texts(bar)))


def decode_hour(value: bytes | None) -> tuple[str, Bar]:
    """Decode a record of ``history`` into the series and the bar.

    Raises:
        BadRecord: It is none.
    """
    hour = _decoded(_hour_decoder, value, "a bar of an hour")
    return hour.series, bar_of_texts(hour.bar)


def bar_texts(bar: Bar) -> _Bar:
    """A bar with its 1e18-scaled figures as decimal texts."""

    def texts(candle: Candle) -> _Candle:
        opened, high, low, close = (None if value is None else str(value) for value in candle)
        return opened, high, low, close

    return bar.start_s, texts(bar.upnl), texts(bar.notional), texts(bar.equity)


def bar_of_texts(texts: _Bar) -> Bar:
    """Read what ``bar_texts`` made.

    Raises:
        BadRecord: A text is no whole number.
    """
    start_s, *candles = texts
    try:
        upnl, notional, equity = (Candle(*(None if text is None else int(text) for text in one)) for one in candles)
    except ValueError as error:
        msg = f"expected whole numbers in a bar, found {texts!r:.200}"
        raise BadRecord(msg) from error
    return Bar(start_s, upnl, notional, equity)


def candles_of(bar: Bar) -> Mapping[str, Candle]:
    """The candles of a bar by the names of their figures."""
    return {"upnl": bar.upnl, "notional": bar.notional, "equity": bar.equity}


def _decoded(decoder: msgspec.json.Decoder[T], value: bytes | None, expected: str) -> T:
    try:
        return decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected {expected}, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
