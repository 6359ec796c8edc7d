"""Price ticks as the sources said them, and the marks folded from them."""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec import UNSET, UnsetType

from models.body_reader import body_reader, no_row
from models.codec import NUMBER_MAX
from models.errors import BadNumber, BadRecord
from models.money import E18, parse_e18
from models.row_bodies import MarkBody, OracleBody

# No market quotes above 1e15 per unit (SHIB per satoshi would be 1e11); a larger text is a fault of the source.
HIGHEST_PRICE_E18 = 10**15 * E18
# A mark never moves backward, so one of the far future would hold its market until then. A smaller bound would refuse
# every tick where our clock is a little slow; a larger one lets a faulty tick stop a market for longer.
FUTURE_MAX_MS = 60_000
# No oracle counts in steps as coarse or as fine as these.
_EXPONENT_MAX = 30


class OracleSaid(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an oracle says of a price beside it, as sent.

    ``exponent`` is that of the oracle's own number, so that it can be made again to the digit. ``average`` is the
    price's exponential moving average, ``confidence`` by how much the price may be wrong, ``session`` which session of
    its market is on; each None where the oracle does not say.
    """

    exponent: int
    average: str | None = None
    confidence: str | None = None
    session: str | None = None


class MarkTick(msgspec.Struct, tag="mark", tag_field="kind", frozen=True):
    """One element of a mark price frame, its numbers as sent. Times are the venue's, ``received_ms`` is ours.

    ``clock_ahead_ms`` is by how much the venue's clock was ahead of ours then, as ingest had measured it, or 0 while it
    had not, and ``max_late_ms`` how late its setting allowed a tick to be; so whoever reads the tick again judges it
    alike. Both are None in ticks of before clocks were compared.
    """

    source: str
    symbol: str
    event_ms: int
    received_ms: int
    mark: str
    index: str | None
    funding_rate: str | None
    next_funding_ms: int | None
    clock_ahead_ms: int | None = None
    max_late_ms: int | None = None
    oracle: OracleSaid | UnsetType = UNSET


class BookTick(msgspec.Struct, tag="book", tag_field="kind", frozen=True):
    """Best bid and ask of a book; the mark made of it is their middle. Times are as in ``MarkTick``."""

    source: str
    symbol: str
    event_ms: int
    received_ms: int
    bid: str
    ask: str
    clock_ahead_ms: int | None = None
    max_late_ms: int | None = None


PriceTick = MarkTick | BookTick


def happened_ms(tick: PriceTick) -> int:
    """When what a tick says happened, by our clock, in Unix ms: at the latest when it was received.

    A venue that says an old price again, as one does whose caches outlive its prices, has said nothing newer.
    """
    return min(tick.received_ms, tick.event_ms - (tick.clock_ahead_ms or 0))


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[PriceTick] = msgspec.json.Decoder(PriceTick)
_read_body = body_reader("marks", MarkBody)


class OracleTerms(msgspec.Struct, frozen=True):
    """What an oracle says of a mark beside it, as ``OracleSaid`` does, with numbers at 1e18."""

    exponent: int
    average_e18: int | None
    confidence_e18: int | None
    session: str | None


class Mark(msgspec.Struct, frozen=True):
    """A market's newest price from one source.

    ``mark_e18`` is positive; ``index_e18`` and ``funding_rate_e18`` (signed, a fraction per funding interval) are None
    where the source does not say. ``event_ms`` orders marks; ``received_ms`` tells their age. ``offset`` is that of the
    tick in its partition of ``price-ticks``. ``clock_ahead_ms`` and ``max_late_ms`` are as in ``MarkTick``;
    ``oracle`` is None of a source that is none.
    """

    mark_e18: int
    index_e18: int | None
    funding_rate_e18: int | None
    next_funding_ms: int | None
    event_ms: int
    received_ms: int
    offset: int
    clock_ahead_ms: int | None = None
    max_late_ms: int | None = None
    oracle: OracleTerms | None = None

    @property
    def late_ms(self) -> int | None:
        """How long the event took to reach us, by our clock; None where the venue's clock was not compared with it."""
        return None if self.clock_ahead_ms is None else self.received_ms - (self.event_ms - self.clock_ahead_ms)

    @property
    def is_late(self) -> bool:
        """Whether it took longer than its source's setting allows, so that it was stale from the beginning."""
        late_ms = self.late_ms
        return late_ms is not None and self.max_late_ms is not None and late_ms > self.max_late_ms


class UsedMark(msgspec.Struct, frozen=True):
    """The mark a market is valued at. ``key`` is ``source:symbol``, ``mark_e18`` positive, ``offset`` that of its tick.

    ``event_ms`` is the venue's time. ``stale``: no source of the market has a mark that is neither too old nor came too
    late. ``oracle`` is as in ``Mark``.
    """

    key: str
    mark_e18: int
    event_ms: int
    offset: int
    stale: bool
    oracle: OracleTerms | None = None


def used_mark(key: str, mark: Mark, *, stale: bool) -> UsedMark:
    """A mark as it is used.

    Args:
        key: Its key, ``source:symbol``.
        mark: The mark.
        stale: Whether it is too old, or came too late.
    """
    return UsedMark(key, mark.mark_e18, mark.event_ms, mark.offset, stale, mark.oracle)


def encode_tick(tick: PriceTick) -> bytes:
    """Encode a tick as JSON with its ``kind``."""
    return _encoder.encode(tick)


def decode_tick(value: bytes) -> PriceTick:
    """Decode a record of ``price-ticks``.

    Raises:
        BadRecord: ``value`` is no tick.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a price tick, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error


def mark_of(tick: PriceTick, offset: int) -> Mark:
    """Read a tick's price exactly.

    Raises:
        BadRecord: A price is no number, not positive, or beyond ``HIGHEST_PRICE_E18``; or a bid is above its ask; or a
            time is not positive, beyond 63 bits, or by our clock more than ``FUTURE_MAX_MS`` after the tick was
            received.
    """
    _expect_times(tick)
    match tick:
        case MarkTick():
            if tick.next_funding_ms is not None:
                _expect_time(tick, "next_funding_ms", tick.next_funding_ms, 0)
            return Mark(
                mark_e18=_price(tick, "mark", tick.mark),
                index_e18=_optional(tick, "index", tick.index),
                funding_rate_e18=_optional(tick, "funding rate", tick.funding_rate),
                next_funding_ms=tick.next_funding_ms,
                event_ms=tick.event_ms,
                received_ms=tick.received_ms,
                offset=offset,
                clock_ahead_ms=tick.clock_ahead_ms,
                max_late_ms=tick.max_late_ms,
                oracle=None if tick.oracle is UNSET else _oracle_terms(tick, tick.oracle),
            )
        case BookTick():
            bid, ask = _price(tick, "bid", tick.bid), _price(tick, "ask", tick.ask)
            if bid > ask:
                msg = f"expected bid <= ask of {tick.source}:{tick.symbol}, found {tick.bid} > {tick.ask}"
                raise BadRecord(msg)
            return Mark(
                mark_e18=(bid + ask) // 2,
                index_e18=None,
                funding_rate_e18=None,
                next_funding_ms=None,
                event_ms=tick.event_ms,
                received_ms=tick.received_ms,
                offset=offset,
                clock_ahead_ms=tick.clock_ahead_ms,
                max_late_ms=tick.max_late_ms,
            )
        case _:
            assert_never(tick)


def later_mark(standing: Mark | None, new: Mark) -> Mark | None:
    """Return ``new`` if it is newer than the standing mark by event time, else None: a mark never moves backward."""
    if standing is not None and new.event_ms <= standing.event_ms:
        return None
    return new


def encode_mark(mark: Mark) -> MarkBody:
    """Body of a row of the ``marks`` table."""
    return MarkBody(
        mark=str(mark.mark_e18),
        index=None if mark.index_e18 is None else str(mark.index_e18),
        funding_rate=None if mark.funding_rate_e18 is None else str(mark.funding_rate_e18),
        next_funding_ms=mark.next_funding_ms,
        event_ms=mark.event_ms,
        received_ms=mark.received_ms,
        offset=mark.offset,
        clock_ahead_ms=UNSET if mark.clock_ahead_ms is None else mark.clock_ahead_ms,
        max_late_ms=UNSET if mark.max_late_ms is None else mark.max_late_ms,
        oracle=UNSET if mark.oracle is None else _oracle_body(mark.oracle),
    )


def decode_mark(row: bytes) -> Mark:
    """Read a row of the ``marks`` table.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    try:
        return Mark(
            mark_e18=_positive(body.mark),
            index_e18=None if body.index is None else int(body.index),
            funding_rate_e18=None if body.funding_rate is None else int(body.funding_rate),
            next_funding_ms=body.next_funding_ms,
            event_ms=body.event_ms,
            received_ms=body.received_ms,
            offset=body.offset,
            clock_ahead_ms=None if body.clock_ahead_ms is UNSET else body.clock_ahead_ms,
            max_late_ms=None if body.max_late_ms is UNSET else body.max_late_ms,
            oracle=None if body.oracle is UNSET else _oracle_of(body.oracle),
        )
    except ValueError as error:
        raise no_row(row, "marks", error) from error


def _oracle_terms(tick: MarkTick, said: OracleSaid) -> OracleTerms:
    if not -_EXPONENT_MAX <= said.exponent <= _EXPONENT_MAX:
        msg = f"expected an oracle's exponent of {tick.source}:{tick.symbol} within {_EXPONENT_MAX} of 0, found {said}"
        raise BadRecord(msg)
    return OracleTerms(
        said.exponent,
        _optional(tick, "average", said.average),
        _optional(tick, "confidence", said.confidence),
        said.session,
    )


def _oracle_body(terms: OracleTerms) -> OracleBody:
    return OracleBody(
        terms.exponent,
        None if terms.average_e18 is None else str(terms.average_e18),
        None if terms.confidence_e18 is None else str(terms.confidence_e18),
        terms.session,
    )


def _positive(text: str) -> int:
    mark_e18 = int(text)
    if mark_e18 <= 0:
        msg = f"expected a mark above 0, found {text}"
        raise ValueError(msg)
    return mark_e18


def _oracle_of(body: OracleBody) -> OracleTerms:
    return OracleTerms(
        exponent=body.exponent,
        average_e18=None if body.average is None else int(body.average),
        confidence_e18=None if body.confidence is None else int(body.confidence),
        session=body.session,
    )


def _expect_times(tick: PriceTick) -> None:
    _expect_time(tick, "event_ms", tick.event_ms, 1)
    _expect_time(tick, "received_ms", tick.received_ms, 0)
    ahead_ms = tick.clock_ahead_ms or 0
    if abs(ahead_ms) > NUMBER_MAX:
        msg = f"expected clock_ahead_ms of {tick.source}:{tick.symbol} within 63 bits, found {ahead_ms}"
        raise BadRecord(msg)
    if tick.max_late_ms is not None:
        _expect_time(tick, "max_late_ms", tick.max_late_ms, 0)
    if tick.event_ms - ahead_ms - tick.received_ms > FUTURE_MAX_MS:
        msg = (
            f"expected event_ms of {tick.source}:{tick.symbol} at most {FUTURE_MAX_MS} ms after it was received at "
            f"{tick.received_ms}, found {tick.event_ms} of a clock {ahead_ms} ms ahead: compare the clocks of this "
            "host and the venue"
        )
        raise BadRecord(msg)


def _expect_time(tick: PriceTick, name: str, time_ms: int, least: int) -> None:
    if not least <= time_ms <= NUMBER_MAX:
        msg = f"expected {name} of {tick.source}:{tick.symbol} in {least} to 2^63 - 1, found {time_ms}"
        raise BadRecord(msg)


def _number(tick: PriceTick, name: str, text: str) -> int:
    try:
        return parse_e18(text)
    except BadNumber as error:
        msg = f"{name} of {tick.source}:{tick.symbol}: {error}"
        raise BadRecord(msg) from error


def _price(tick: PriceTick, name: str, text: str) -> int:
    price_e18 = _number(tick, name, text)
    if not 0 < price_e18 <= HIGHEST_PRICE_E18:
        msg = f"expected {name} of {tick.source}:{tick.symbol} in (0, 1e15], found {text}"
        raise BadRecord(msg)
    return price_e18


def _optional(tick: PriceTick, name: str, text: str | None) -> int | None:
    return None if text is None or not text else _number(tick, name, text)
