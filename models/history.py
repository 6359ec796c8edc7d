"""History for people: how uPnL, notional and equity went, in bars of a second, a minute and an hour.

A bar has the first, highest, lowest and last value that were shown in its span. Folding the same rows again, in their
order, changes nothing in a bar: so whoever makes bars may begin again wherever they like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SECOND_S, MINUTE_S, HOUR_S, DAY_S = 1, 60, 3_600, 86_400

KEPT_S: Mapping[int, int | None] = {SECOND_S: DAY_S, MINUTE_S: 30 * DAY_S, HOUR_S: None}
"""For how long bars of each step are kept, in s; None: for ever."""

BAR_BYTES_MAX = 228
"""The most that a packed bar takes. An account has at most 86,400 + 43,200 of them, and 8,760 more each year."""

# An amount that takes more bytes than 19 of seven bits is kept as unknown: it is beyond 10^21 USD.
_AMOUNT_BITS = 19 * 7 - 2
_NUMBERS = 12
# A number has seven bits in each byte, the lowest first; the eighth says that more follow.
_BITS, _MORE = 7, 0x80


class Reading(NamedTuple):
    """What was shown at an instant, 1e18-scaled; None is unknown."""

    upnl_e18: int | None
    notional_e18: int | None
    equity_e18: int | None = None


class Candle(NamedTuple):
    """One figure in a span, 1e18-scaled.

    ``open``, ``high`` and ``low`` are of the values that were known, None where none was. ``close`` is None where the
    figure was unknown at the end.
    """

    open: int | None
    high: int | None
    low: int | None
    close: int | None

    def then(self, value: int | None) -> Candle:
        """The candle with one value more."""
        if value is None:
            return self._replace(close=None)
        return Candle(
            value if self.open is None else self.open,
            value if self.high is None or value > self.high else self.high,
            value if self.low is None or value < self.low else self.low,
            value,
        )

    def widened(self, value: int | None) -> Candle:
        """The candle with a value more that was not the last one."""
        if value is None:
            return self
        return self.then(value)._replace(close=self.close)

    def before(self, later: Candle) -> Candle:
        """The candle of this span and the one that follows it."""
        lows = [one for one in (self.low, later.low) if one is not None]
        highs = [one for one in (self.high, later.high) if one is not None]
        return Candle(
            later.open if self.open is None else self.open,
            max(highs, default=None),
            min(lows, default=None),
            later.close,
        )


NOTHING = Candle(None, None, None, None)


class Bar(NamedTuple):
    """What was shown from ``start_s``, Unix s, on, for one step."""

    start_s: int
    upnl: Candle
    notional: Candle
    equity: Candle

    def then(self, reading: Reading) -> Bar:
        """The bar with one reading more."""
        return Bar(
            self.start_s,
            self.upnl.then(reading.upnl_e18),
            self.notional.then(reading.notional_e18),
            self.equity.then(reading.equity_e18),
        )

    def widened(self, reading: Reading) -> Bar:
        """The bar with a reading more that was not its last one."""
        return Bar(
            self.start_s,
            self.upnl.widened(reading.upnl_e18),
            self.notional.widened(reading.notional_e18),
            self.equity.widened(reading.equity_e18),
        )

    def before(self, later: Bar) -> Bar:
        """The bar of this span and one that follows it."""
        return Bar(
            self.start_s,
            self.upnl.before(later.upnl),
            self.notional.before(later.notional),
            self.equity.before(later.equity),
        )


def empty_bar(start_s: int) -> Bar:
    """The bar of a span in which nothing was shown yet."""
    return Bar(start_s, NOTHING, NOTHING, NOTHING)


def start_of(at_ms: int, step_s: int) -> int:
    """When the bar begins that an instant lies in, Unix s.

    Args:
        at_ms: The instant, Unix ms.
        step_s: The bar's step, in s.
    """
    return at_ms // 1_000 // step_s * step_s


def coarser(bars: Iterable[Bar], step_s: int) -> Iterator[Bar]:
    """Make bars of a longer step.

    Args:
        bars: Bars of a step that divides the longer one, in the order of time.
        step_s: The longer step, in s.
    """
    made: Bar | None = None
    for bar in bars:
        start_s = bar.start_s // step_s * step_s
        if made is not None and made.start_s == start_s:
            made = made.before(bar)
            continue
        if made is not None:
            yield made
        made = bar._replace(start_s=start_s)
    if made is not None:
        yield made


def pack_bar(bar: Bar) -> bytes:
    """Write a bar's figures in at most ``BAR_BYTES_MAX`` bytes, mostly in 40 to 110.

    Each candle is its close, then the others by how far they lie from it, as numbers of seven bits a byte.
    """
    packed = bytearray()
    for candle in (bar.upnl, bar.notional, bar.equity):
        opened, high, low, close = (_kept(value) for value in candle)
        _put(packed, close)
        for value in (opened, high, low):
            _put(packed, None if value is None else value - (close or 0))
    return bytes(packed)


def unpack_bar(start_s: int, packed: bytes) -> Bar:
    """Read what ``pack_bar`` wrote.

    Args:
        start_s: When the bar begins, Unix s.
        packed: Its figures.

    Raises:
        BadRow: These are no figures of a bar.
    """
    numbers = list(_numbers(packed))
    if len(numbers) != _NUMBERS:
        msg = f"expected the {_NUMBERS} numbers of a bar, found {len(numbers)} in {packed[:60]!r}"
        raise BadRow(msg)
    candles = []
    for at in (0, 4, 8):
        close = numbers[at]
        opened, high, low = (None if one is None else one + (close or 0) for one in numbers[at + 1 : at + 4])
        candles.append(Candle(opened, high, low, close))
    return Bar(start_s, *candles)


def _kept(value: int | None) -> int | None:
    return None if value is None or value.bit_length() > _AMOUNT_BITS else value


def _put(packed: bytearray, value: int | None) -> None:
    # 0 says unknown; of all others the lowest bit is 1 where they are not negative.
    number = 0 if value is None else (value << 1) + 1 if value >= 0 else -value << 1
    while number >= _MORE:
        packed.append(_MORE | number & (_MORE - 1))
        number >>= _BITS
    packed.append(number)


def _numbers(packed: bytes) -> Iterator[int | None]:
    number = shift = 0
    for byte in packed:
        number |= (byte & (_MORE - 1)) << shift
        shift += _BITS
        if byte < _MORE:
            yield None if not number else (number >> 1 if number & 1 else -(number >> 1))
            number = shift = 0
