"""A stand-in for Binance futures: mark prices and book tickers over websocket, and the symbols' facts over REST.

Paths are the venue's: ``/ws/<stream>/<stream>…`` sends frames bare, ``/stream?streams=<stream>/<stream>…`` wraps each
as ``{"stream": …, "data": …}``; both also below a first path segment such as ``/market``. ``SUBSCRIBE`` and
``UNSUBSCRIBE`` requests change what a socket gets.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMsgType, web

from tidemark.demo.market import INSTRUMENTS, funding_rate_e8

if TYPE_CHECKING:
    from tidemark.demo.market import Instrument

ALL_MARKS = ("!markPrice@arr@1s", "!markPrice@arr")
_DAY_MS = 86_400_000
_FUNDING_MS = 8 * 3_600_000
# Funding is charged more often on markets that move much.
_ADJUSTED_INTERVAL_HOURS = 4
# The busiest market's volume of a day. Each further market in the list trades a third less than the one before.
_BUSIEST_QUOTE_VOLUME = 12_000_000_000


@dataclass(slots=True)
class _Reader:
    socket: web.WebSocketResponse
    streams: set[str]
    combined: bool


class Venue:
    """Serves marks, given as integers in 1e-8ths in the order of ``INSTRUMENTS``, as of ``now_ms``, in Unix ms.

    Asked for the time, it says that of this machine.
    """

    def __init__(self, now_ms: int, marks_e8: tuple[int, ...]) -> None:
        self._now_ms = now_ms
        self._marks_e8 = marks_e8
        self._readers: list[_Reader] = []
        self._updates = 0

    def application(self) -> web.Application:
        """Make the web application, which has the venue's paths."""
        application = web.Application()
        for prefix in ("", "/{segment}"):
            application.router.add_get(f"{prefix}/ws", self._bare)
            application.router.add_get(f"{prefix}/ws/{{streams:.+}}", self._bare)
            application.router.add_get(f"{prefix}/stream", self._combined)
        application.router.add_get("/fapi/v1/premiumIndex", self._premium_index)
        application.router.add_get("/fapi/v1/exchangeInfo", self._exchange_info)
        application.router.add_get("/fapi/v1/time", self._time)
        application.router.add_get("/fapi/v1/ticker/24hr", self._tickers)
        application.router.add_get("/fapi/v1/fundingInfo", self._funding_info)
        application.on_shutdown.append(self._close)
        return application

    async def publish(self, now_ms: int, marks_e8: tuple[int, ...]) -> None:
        """Take the marks of ``now_ms``, and send every client what its streams say."""
        self._now_ms = now_ms
        self._marks_e8 = marks_e8
        frames: dict[str, Any] = {}
        for reader in list(self._readers):
            for stream in sorted(reader.streams):
                if stream not in frames:
                    frames[stream] = self._frame(stream)
                if frames[stream] is None:
                    continue
                frame = {"stream": stream, "data": frames[stream]} if reader.combined else frames[stream]
                with suppress(ConnectionError):
                    await reader.socket.send_str(orjson.dumps(frame).decode())

    def _frame(self, stream: str) -> object:
        if stream in ALL_MARKS:
            return [self._mark(i) for i in range(len(INSTRUMENTS))]
        symbol, _, kind = stream.partition("@")
        index = _index_of(symbol.upper())
        if index is None:
            return None
        match kind:
            case "bookTicker":
                return self._book(index)
            case "markPrice" | "markPrice@1s":
                return self._mark(index)
            case _:
                return None

    def _mark(self, index: int) -> dict[str, Any]:
        mark = self._marks_e8[index]
        return {
            "e": "markPriceUpdate",
            "E": self._now_ms,
            "s": INSTRUMENTS[index].name,
            "p": _price(mark),
            "ap": _price(mark - mark // 50_000),
            "P": _price(mark + mark // 10_000),
            "i": _price(mark - mark // 20_000),
            "r": self._funding_rate(index),
            "T": self._next_funding_ms,
        }

    def _book(self, index: int) -> dict[str, Any]:
        self._updates += 1
        instrument = INSTRUMENTS[index]
        tick = 10 ** (8 - instrument.price_decimals)
        bid = self._marks_e8[index] // tick * tick
        quantity = f"{self._updates % 97 + 1:.{instrument.quantity_decimals}f}"
        return {
            "e": "bookTicker",
            "u": self._now_ms * 100 + self._updates % 100,
            "s": instrument.name,
            "b": _price(bid, instrument.price_decimals),
            "B": quantity,
            "a": _price(bid + tick, instrument.price_decimals),
            "A": quantity,
            "T": self._now_ms - 1,
            "E": self._now_ms,
        }

    def _funding_rate(self, index: int) -> str:
        return _price(funding_rate_e8(index, self._now_ms // 3_600_000))

    @property
    def _next_funding_ms(self) -> int:
        return (self._now_ms // _FUNDING_MS + 1) * _FUNDING_MS

    async def _premium_index(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol")
        if symbol is None:
            return _json([self._premium(i) for i in range(len(INSTRUMENTS))])
        index = _index_of(symbol)
        if index is None:
            return _json({"code": -1121, "msg": "Invalid symbol."}, status=400)
        return _json(self._premium(index))

    def _premium(self, index: int) -> dict[str, Any]:
        mark = self._mark(index)
        return {
            "symbol": mark["s"],
            "markPrice": mark["p"],
            "indexPrice": mark["i"],
            "estimatedSettlePrice": mark["P"],
            "lastFundingRate": mark["r"],
            "interestRate": "0.00010000",
            "nextFundingTime": mark["T"],
            "time": self._now_ms,
        }

    async def _exchange_info(self, _: web.Request) -> web.Response:
        symbols = [exchange_symbol(instrument) for instrument in INSTRUMENTS]
        return _json({"timezone": "UTC", "serverTime": self._now_ms, "symbols": symbols})

    async def _time(self, _: web.Request) -> web.Response:
        return _json({"serverTime": time.time_ns() // 1_000_000})

    async def _tickers(self, _: web.Request) -> web.Response:
        return _json([self._ticker(i) for i in range(len(INSTRUMENTS))])

    def _ticker(self, index: int) -> dict[str, Any]:
        instrument, last = INSTRUMENTS[index], self._marks_e8[index]
        first = round(instrument.start * 10**8)
        volume = traded_quote(index, self._now_ms // 60_000)
        return {
            "symbol": instrument.name,
            "priceChange": _price(last - first, instrument.price_decimals),
            "priceChangePercent": f"{Decimal((last - first) * 100) / first:.3f}",
            "lastPrice": _price(last, instrument.price_decimals),
            "openPrice": _price(first, instrument.price_decimals),
            "volume": f"{Decimal(volume) / Decimal(instrument.start):.{instrument.quantity_decimals}f}",
            "quoteVolume": f"{volume}.00",
            "openTime": self._now_ms - _DAY_MS,
            "closeTime": self._now_ms,
        }

    async def _funding_info(self, _: web.Request) -> web.Response:
        # The venue lists only symbols whose terms differ from its default.
        return _json(
            [
                {
                    "symbol": instrument.name,
                    "adjustedFundingRateCap": "0.02000000",
                    "adjustedFundingRateFloor": "-0.02000000",
                    "fundingIntervalHours": _ADJUSTED_INTERVAL_HOURS,
                    "disclaimer": False,
                }
                for instrument in INSTRUMENTS
                if instrument.volatility > 1
            ]
        )

    async def _bare(self, request: web.Request) -> web.StreamResponse:
        streams = request.match_info.get("streams", "")
        return await self._serve(request, streams, combined=False)

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, request.query.get("streams", ""), combined=True)

    async def _serve(self, request: web.Request, streams: str, *, combined: bool) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=30)
        if not socket.can_prepare(request):
            return web.Response(status=426, text="expected a websocket\n")
        await socket.prepare(request)
        reader = _Reader(socket, {stream for stream in streams.split("/") if stream}, combined)
        self._readers.append(reader)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(orjson.dumps(_change(reader, message.data)).decode())
        finally:
            self._readers.remove(reader)
        return socket

    async def _close(self, _: web.Application) -> None:
        for reader in list(self._readers):
            await reader.socket.close()


def exchange_symbol(instrument: Instrument) -> dict[str, Any]:
    """Show an instrument as one of the symbols of ``exchangeInfo``."""
    name = instrument.name
    tick, step = (f"{Decimal(1).scaleb(-n):f}" for n in (instrument.price_decimals, instrument.quantity_decimals))
    return {
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": name.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": instrument.price_decimals + 1,
        "quantityPrecision": instrument.quantity_decimals,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick, "maxPrice": "4529764"},
            {"filterType": "LOT_SIZE", "stepSize": step, "minQty": step, "maxQty": "1000000"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }


def traded_quote(index: int, minute: int) -> int:
    """Return what was traded of an instrument in the 24 hours before ``minute``, in whole units of the quote asset."""
    volume = round(_BUSIEST_QUOTE_VOLUME * (2 / 3) ** index)
    return volume + volume * (minute * 37 % 1_440) // 14_400


def _change(reader: _Reader, text: str) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
    match request:
        case {"method": "SUBSCRIBE", "params": list(streams), "id": number}:
            reader.streams.update(map(str, streams))
        case {"method": "UNSUBSCRIBE", "params": list(streams), "id": number}:
            reader.streams.difference_update(map(str, streams))
        case _:
            return {"error": {"code": 2, "msg": "Invalid request: expected a method, params and an id"}}
    return {"result": None, "id": number}


def _index_of(symbol: str) -> int | None:
    return next((i for i, instrument in enumerate(INSTRUMENTS) if instrument.name == symbol), None)


def _price(value_e8: int, decimals: int = 8) -> str:
    return f"{Decimal(value_e8).scaleb(-8):.{decimals}f}"


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json", status=status)
