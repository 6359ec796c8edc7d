"""The public channels that a client's ordinary start-up asks for: ``ticker``, and ``status`` of derivatives.

They show the marks that accounts are valued at. What a venue's own channels say beside that is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from api.delivery.subscription import Subscription
from api.dialects.bitfinex.account_arrays import instant, money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.delivery.hub import Hub
    from api.delivery.outbox import Outbox
    from api.dialects.bitfinex.numbered_frames import NumberedFrames
    from api.tables.market_prices import MarketPrices
    from models.prices import Mark

HEARTBEAT_S = 15.0
# A venue's ticker comes about so often.
_PACE_S = 1.0
_TICK_S = 0.02
_TICKER_LENGTH = 10
_LAST_PRICE_AT = 6
_STATUS_LENGTH = 23
_DERIV_PREFIX = "deriv:"


class Market(NamedTuple):
    """A market of a deployment."""

    deployment: str
    market: int | str


class Shown(NamedTuple):
    """The mark of a market: its price, 1e18-scaled, and what its source said with it."""

    price_e18: int
    mark: Mark | None


Channel = Callable[["Shown | None"], list[Any]]
"""Makes a channel's array of a mark."""


class Quotes:
    """Finds marks, and tells when they move.

    Args:
        prices: The marks in use.
        clock_ms: Our own time, in Unix ms.
        market_of: The market of a symbol, None where there is none.
    """

    def __init__(
        self, prices: MarketPrices, clock_ms: Callable[[], int], market_of: Callable[[str], Market | None]
    ) -> None:
        self._prices = prices
        self._clock_ms = clock_ms
        self.market_of = market_of
        self._followers: dict[bytes, dict[PublicChannel, None]] = {}

    def of(self, market: Market) -> tuple[bytes, Shown] | None:
        """The mark of a market and its key, None where there is none that can be read."""
        used = self._prices.used(*market, self._clock_ms())
        if used is None:
            return None
        key = used.key.encode()
        return key, Shown(used.mark_e18, self._prices.marks.get(key))

    def follow(self, key: bytes, channel: PublicChannel) -> None:
        """Have a channel sent when a mark moves."""
        self._followers.setdefault(key, {})[channel] = None

    def leave(self, key: bytes, channel: PublicChannel) -> None:
        """Have it sent no more."""
        followers = self._followers.get(key, {})
        followers.pop(channel, None)
        if not followers:
            self._followers.pop(key, None)

    def heard(self, keys: Sequence[bytes]) -> list[PublicChannel]:
        """The channels that show any of these marks."""
        return [channel for key in keys for channel in self._followers.get(key, ())]


class PublicChannel(Subscription):
    """One channel of one connection: sent at once, when its mark moves, and as a heartbeat where it does not.

    Args:
        outbox: The connection's.
        hub: Sends.
        frames: The connection's.
        number: The channel's number on this connection, at least 1.
        quotes: Tell marks.
        market: Whose mark.
        show: Makes the channel's array.
    """

    __slots__ = ("_frames", "_hub", "_key", "_market", "_quotes", "_sent_s", "_show", "_shown", "number")

    def __init__(
        self,
        outbox: Outbox,
        hub: Hub,
        frames: NumberedFrames,
        *,
        number: int,
        quotes: Quotes,
        market: Market,
        show: Channel,
    ) -> None:
        super().__init__(outbox)
        self.number = number
        self._hub = hub
        self._frames = frames
        self._quotes = quotes
        self._market = market
        self._show = show
        self._key: bytes | None = None
        self._shown: list[Any] | None = None
        self._sent_s = 0.0

    def begin(self) -> None:
        """Send what it shows now, and go on."""
        self._hub.at(self, self._hub.now_s())

    def moved(self) -> None:
        """Send the mark as soon as the pace allows."""
        self._hub.at(self, max(self._hub.now_s(), self._sent_s + _PACE_S))

    def end(self) -> None:
        """Send nothing more."""
        self._hub.forget(self)
        if self._key is not None:
            self._quotes.leave(self._key, self)

    def take(self, now_s: float) -> bytes | None:
        """Encode what it shows now; where it showed that before, a heartbeat when one is due."""
        shown = self._shown_now()
        is_new = shown != self._shown
        # The hub's ticks are of 10 ms: one that comes a little early counts.
        if not is_new and now_s < self._sent_s + HEARTBEAT_S - _TICK_S:
            self._hub.at(self, self._sent_s + HEARTBEAT_S)
            return None
        self._shown, self._sent_s = shown, now_s
        self._hub.at(self, now_s + HEARTBEAT_S)
        return self._frames.of_channel(self.number, shown) if is_new else self._frames.heartbeat(self.number)

    def _shown_now(self) -> list[Any]:
        found = self._quotes.of(self._market)
        if found is None:
            # It is followed as before, so that the next mark that can be read is shown.
            return self._show(None)
        self._follow(found[0])
        return self._show(found[1])

    def _follow(self, key: bytes) -> None:
        if key == self._key:
            return
        if self._key is not None:
            self._quotes.leave(self._key, self)
        self._quotes.follow(key, self)
        self._key = key


def channel_of(request: Mapping[str, Any]) -> tuple[str, Channel] | None:
    """Find the symbol that a request subscribes to, and what is shown of it; None where there is no such channel."""
    match request:
        case {"channel": "ticker", "symbol": str(symbol)}:
            return symbol, _ticker
        case {"channel": "ticker", "pair": str(pair)}:
            return f"t{pair.removeprefix('t')}", _ticker
        case {"channel": "status", "key": str(key)} if key.startswith(_DERIV_PREFIX):
            return key.removeprefix(_DERIV_PREFIX), _status
        case _:
            return None


def _ticker(shown: Shown | None) -> list[Any]:
    made: list[Any] = [None] * _TICKER_LENGTH
    made[_LAST_PRICE_AT] = None if shown is None else money(shown.price_e18)
    return made


def _status(shown: Shown | None) -> list[Any]:
    made: list[Any] = [None] * _STATUS_LENGTH
    if shown is None:
        return made
    price, mark = money(shown.price_e18), shown.mark
    made[2] = made[14] = price
    if mark is not None:
        made[0], made[3] = instant(mark.event_ms), money(mark.index_e18)
        made[7], made[11] = instant(mark.next_funding_ms), money(mark.funding_rate_e18)
    return made
