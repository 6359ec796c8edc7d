"""What is said on one websocket of Bitfinex: agreed on, subscribed to, numbered, and given up when it cannot be right.

Each frame is numbered, so a lost one is noticed: what it said may be the last price of a quiet pair, so the connection
is opened anew and every channel begins with all that it has to say. A channel that has nothing new says that it lives.
Its last price is then still the price, and is written again with the time of that word.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace
from prometheus_client import Counter

from streams.ingest.prices.bitfinex.bitfinex_frames import HEARTBEAT, read_data, read_event, status_tick, ticker_tick
from streams.ingest.prices.price_frames import BadFrame, BadTick, Frame, Refused
from streams.ingest.prices.venue_clock import EVERY_S
from streams.ingest.prices.venue_socket import SessionEnded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from models.errors import TidemarkError
    from models.prices import MarkTick
    from streams.ingest.prices.bitfinex.bitfinex_frames import Data, Event
    from streams.ingest.prices.frame_sink import PriceSink
    from streams.ingest.prices.venue_clock import VenueClock
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

_REFUSED = Counter(
    "tidemark_price_refused_subscriptions_total", "Channels that a venue did not give us.", ("source", "symbol")
)

_VERSION = 2
# A time and a number are appended to each frame.
_TIMESTAMP, _SEQ_ALL = 32_768, 65_536
_FLAGS = _TIMESTAMP | _SEQ_ALL
_RESTARTS, _MAINTENANCE, _MAINTENANCE_ENDS = 20_051, 20_060, 20_061
# A channel speaks every 15 s at the least. One that has missed two turns has been forgotten.
_CHANNEL_SILENT_S = 35.0
_STATUS_PREFIX = "deriv:"


class Ending(StrEnum):
    """Why a connection is given up, as metrics name it."""

    RESTART = "restart"
    MAINTENANCE = "maintenance"
    MAINTENANCE_ENDED = "maintenance ended"
    VERSION = "version"
    UNSUBSCRIBED = "unsubscribed"
    LOST_FRAME = "lost frame"
    SILENT_CHANNEL = "silent channel"


class Channel(NamedTuple):
    """What is followed of one symbol: its ``ticker``, or its ``status``."""

    name: str
    symbol: str

    @property
    def asked(self) -> dict[str, str]:
        """How it is subscribed to."""
        what = {"symbol": self.symbol} if self.name == "ticker" else {"key": f"{_STATUS_PREFIX}{self.symbol}"}
        return {"event": "subscribe", "channel": self.name, **what}


class BitfinexSession:
    """Speaks the protocol on one connection after another; a ``VenueProtocol``.

    Args:
        sink: Takes ticks, and what cannot be read.
        channels: What is followed.
        venue_clock: Hears the venue's time.
        clock: Our own.
    """

    def __init__(self, sink: PriceSink, channels: Sequence[Channel], venue_clock: VenueClock, clock: Clock) -> None:
        self._sink = sink
        self._wanted = channels
        self._venue_clock = venue_clock
        self._clock = clock
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._questions = 0
        self._begin()

    def _begin(self) -> None:
        self._open: dict[int, Channel] = {}
        self._last: dict[int, MarkTick] = {}
        self._heard_s: dict[Channel, float] = {}
        self._flags = 0
        self._sequence: int | None = None
        self._spoken: set[int] = set()
        self._asked: tuple[int, int] | None = None
        self._is_greeted = False

    async def opened(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Begin a connection; the venue speaks first."""
        self._begin()
        self._socket = socket

    async def refuse_large(self, error: TidemarkError) -> None:
        """Hear of a frame that was too large to be received."""
        await self._sink.refuse_large(error)

    async def ask_time(self) -> None:
        """Ask for the venue's time now and then until cancelled; a connection asks once when it begins."""
        while True:
            await asyncio.sleep(EVERY_S)
            if self._is_greeted:
                await self._ask_time()

    async def _ask_time(self) -> None:
        if self._asked is not None:
            self._venue_clock.asked("unanswered")
        self._questions += 1
        self._asked = self._questions, self._clock.now_ms()
        await self._say({"event": "ping", "cid": self._questions})

    async def take_frame(self, frame: bytes) -> int:
        """Take a frame, and return how many ticks it held.

        Raises:
            SessionEnded: The venue ends the connection, has lost a frame, or has forgotten a channel.
        """
        body = frame.strip()
        if body.startswith(b"["):
            return await self._sink.take(body, self._read)
        try:
            event = read_event(body)
        except BadFrame as error:
            await self._sink.refuse("event", body, error)
        else:
            await self._hear(event, body)
        return 0

    async def _hear(self, event: Event, frame: bytes) -> None:
        match event.event:
            case "info":
                await self._inform(event)
            case "conf" if event.status == "OK" and event.flags is not None:
                self._flags = event.flags & _FLAGS
                await self._subscribe()
            case "conf":
                # Without times and numbers it is followed all the same.
                await self._subscribe()
            case "subscribed":
                self._subscribed(event)
            case "unsubscribed" if event.chan_id in self._open:
                raise SessionEnded(Ending.UNSUBSCRIBED)
            case "error":
                await self._refused(event, frame)
            case "pong" if self._asked is not None and event.cid == self._asked[0] and event.ts is not None:
                self._venue_clock.answered(self._asked[1], self._clock.now_ms(), event.ts)
                self._asked = None
            case _:
                self._sink.ignore()

    async def _inform(self, event: Event) -> None:
        match event.code:
            case None:
                pass
            case code if code == _RESTARTS:
                raise SessionEnded(Ending.RESTART)
            case code if code == _MAINTENANCE_ENDS:
                # Every channel has to be subscribed to anew, which a new connection does.
                raise SessionEnded(Ending.MAINTENANCE_ENDED)
            case code if code == _MAINTENANCE:
                _log.info("venue is in maintenance source=%s", self._sink.source)
            case _:
                self._sink.ignore()
        if event.version is None:
            return
        if event.version != _VERSION:
            _log.error("venue speaks another version source=%s expected=2 found=%d", self._sink.source, event.version)
            raise SessionEnded(Ending.VERSION)
        if event.platform is not None and not event.platform.status:
            raise SessionEnded(Ending.MAINTENANCE)
        if not self._is_greeted:
            self._is_greeted = True
            await self._say({"event": "conf", "flags": _FLAGS})
            await self._ask_time()

    async def _subscribe(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for channel in self._wanted:
            if channel not in self._heard_s:
                self._heard_s[channel] = now_s
                await self._say(channel.asked)

    def _subscribed(self, event: Event) -> None:
        symbol = (event.key or "").removeprefix(_STATUS_PREFIX) if event.channel == "status" else event.symbol
        channel = next((one for one in self._wanted if (one.name, one.symbol) == (event.channel, symbol)), None)
        if channel is None or event.chan_id is None:
            self._sink.ignore()
        else:
            self._open[event.chan_id] = channel
            self._spoken.discard(event.chan_id)
            self._last.pop(event.chan_id, None)

    async def _refused(self, event: Event, frame: bytes) -> None:
        symbol = (event.symbol or event.key or "").removeprefix(_STATUS_PREFIX)
        channel = next((one for one in self._wanted if one.symbol == symbol), None)
        error = BadFrame(f"expected a subscription to {symbol!r} to be taken, found {event.code}: {event.msg!r:.200}")
        await self._sink.refuse(f"subscription {symbol[:64]}", frame, error)
        if channel is not None:
            # It is not waited for: the others go on. The next connection asks for it again.
            self._heard_s[channel] = float("inf")
            _REFUSED.labels(self._sink.source, channel.symbol).inc()

    def _read(self, frame: bytes, source: str, received_ms: int) -> Frame:
        data = read_data(frame, has_sequence=bool(self._flags & _SEQ_ALL), has_time=bool(self._flags & _TIMESTAMP))
        if data.sequence is not None:
            if self._sequence is not None and data.sequence <= self._sequence:
                # It came before.
                return Frame([], [], 1)
            if self._sequence is not None and not _is_next(self._sequence, data.sequence):
                raise SessionEnded(Ending.LOST_FRAME)
            self._sequence = data.sequence
        now_s = asyncio.get_running_loop().time()
        channel = self._open.get(data.channel)
        if channel is not None:
            self._heard_s[channel] = max(now_s, self._heard_s.get(channel, now_s))
        if any(now_s - heard_s > _CHANNEL_SILENT_S for heard_s in self._heard_s.values()):
            raise SessionEnded(Ending.SILENT_CHANNEL)
        if channel is None:
            return Frame([], [], 1)
        if data.content != HEARTBEAT:
            self._spoken.add(data.channel)
        elif data.channel not in self._spoken:
            # A channel begins with all that it has to say, so that was lost.
            raise SessionEnded(Ending.LOST_FRAME)
        try:
            tick = self._tick(channel, data, source, received_ms)
        except BadTick as error:
            # What it said before may be so no longer.
            self._last.pop(data.channel, None)
            return Frame([], [Refused(data.content, error, channel.symbol)], 0)
        if tick is None:
            return Frame([], [], 1)
        self._last[data.channel] = tick
        return Frame([tick], [], 0)

    def _tick(self, channel: Channel, data: Data, source: str, received_ms: int) -> MarkTick | None:
        if data.content == HEARTBEAT:
            last = self._last.get(data.channel)
            if last is None or data.at_ms is None or data.sequence is None:
                return None
            return replace(last, event_ms=max(last.event_ms, data.at_ms), received_ms=received_ms)
        if channel.name == "ticker":
            tick = ticker_tick(data.content, source, channel.symbol, received_ms, data.at_ms)
        else:
            tick = status_tick(data.content, source, channel.symbol, received_ms)
        if tick is None:
            self._last.pop(data.channel, None)
        return tick

    async def _say(self, said: object) -> None:
        if self._socket is not None:
            # A connection that is closing is noticed by whoever reads it.
            with suppress(ConnectionError):
                await self._socket.send_str(msgspec.json.encode(said).decode())


def _is_next(before: int, sequence: int) -> bool:
    """Whether no frame was lost between two."""
    return sequence == before + 1
