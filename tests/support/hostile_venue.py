"""A futures venue that misbehaves by a seeded script, in this process and on a virtual clock.

It stands where ingest has its HTTP client: sockets and answers are objects, and time passes only while all wait for it.
What it says of a symbol at a second is known to whoever checks: ``price_of``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import aiohttp
import orjson
from aiohttp import WSMessage, WSMsgType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

START_MS = 1_745_970_800_000
NAMES = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")
OWN_HOURS = {"BUSDT": 4, "CUSDT": 1}
"""The funding intervals, in h, of the symbols that do not have the default."""
TROUBLE_S, CALM_S = 40, 75
"""Reconnecting takes up to 30 s, a REST poll that failed is repeated within 60 s and may hang for 10 s."""

_LATENCY_S = 0.05
_HANGS_S = 10.0
_SOCKET_TROUBLES = (
    "lost", "late", "repeated", "reordered", "garbage", "half", "spoiled", "silent", "hang-up", "refused", "too large",
)  # fmt: skip
_REST_TROUBLES = ("418", "429", "500", "html", "hang", "cut", "reset", "empty", "spoiled")
_ENDPOINTS = ("premiumIndex", "exchangeInfo", "ticker/24hr", "fundingInfo", "time")
_GARBAGE = (
    b"", b"pong", b"<html><body>502 Bad Gateway</body></html>", b"\xff\xfe\x00", b"[NaN]", b"3", b"[" * 5_000, b"null",
    b'{"stream":"a","data":[', b'[[],{},null,7,"x"]', b'{"e":"error","m":"too many"}', b'{"result":null,"id":1}',
)  # fmt: skip
_Frame = list[Any]


class Trouble(NamedTuple):
    """What goes wrong from one second to another: of the sockets, or of one REST endpoint."""

    where: str
    kind: str
    since_s: float
    until_s: float


class Life(NamedTuple):
    """When a symbol is listed first, settles at a price of 0, and is listed no longer; in s, infinite for never."""

    since_s: float = 0.0
    settles_s: float = float("inf")
    until_s: float = float("inf")

    def lists(self, at_s: float) -> bool:
        return self.since_s <= at_s < self.until_s


class Script(NamedTuple):
    """All that a run is made of; ``clock_ahead_ms`` is the venue's clock less ours."""

    seed: int
    troubles: tuple[Trouble, ...]
    clock_ahead_ms: int
    says_time: bool
    lives: Mapping[str, Life]
    books: bool

    @property
    def is_known_late(self) -> bool:
        """Whether a clock that is behind must be taken for prices that are late, as it is never told."""
        return not self.says_time and self.clock_ahead_ms < -5_000


def draw(seed: int) -> Script:
    """Make the script of a seed."""
    rng = Random(seed)
    lives = {NAMES[0]: Life()} | {name: _life(rng) for name in NAMES[1:]}
    troubles = [*_spells(rng, "socket", _SOCKET_TROUBLES, rng.randint(1, 4))]
    for endpoint in rng.sample(_ENDPOINTS, rng.randint(0, 3)):
        troubles += _spells(rng, endpoint, _REST_TROUBLES, rng.randint(1, 2))
    ahead_ms = rng.choice((0, 0, 0, rng.randint(-1_500, 1_500), 20_000, -20_000, 90_000, -90_000))
    return Script(seed, tuple(troubles), ahead_ms, rng.random() < 0.85, lives, rng.random() < 0.2)


def undisturbed(script: Script) -> Script:
    """The same venue, well behaved."""
    return script._replace(troubles=())


def price_of(name: str, second: int) -> str:
    """What the venue says of a symbol at a second; no two are the same."""
    return f"{100 + NAMES.index(name)}.{second:05d}00"


def _life(rng: Random) -> Life:
    match rng.choice(("stays", "stays", "appears", "goes", "settles")):
        case "appears":
            return Life(since_s=rng.uniform(5, TROUBLE_S))
        case "goes":
            return Life(until_s=rng.uniform(5, TROUBLE_S))
        case "settles":
            settles_s = rng.uniform(5, TROUBLE_S)
            return Life(settles_s=settles_s, until_s=rng.choice((float("inf"), settles_s + 20)))
        case _:
            return Life()


def _spells(rng: Random, where: str, kinds: Sequence[str], count: int) -> Iterator[Trouble]:
    for _ in range(count):
        since_s = rng.uniform(0, TROUBLE_S - 5) if rng.random() < 0.8 else 0.0
        yield Trouble(where, rng.choice(kinds), since_s, min(TROUBLE_S, since_s + rng.uniform(2, 25)))


class _Socket:
    """A client's end of a websocket."""

    def __init__(self, streams: str, forget: Callable[[_Socket], None]) -> None:
        self.is_of_books = "bookTicker" in streams
        self._forget = forget
        self._messages: asyncio.Queue[WSMessage] = asyncio.Queue()

    def put(self, kind: WSMsgType, data: object) -> None:
        self._messages.put_nowait(WSMessage(kind, data, None))

    async def receive(self, timeout: float) -> WSMessage:  # noqa: ASYNC109 - the signature is aiohttp's
        async with asyncio.timeout(timeout):
            return await self._messages.get()

    async def close(self) -> None:
        self._forget(self)


class _Content:
    def __init__(self, body: bytes, is_reset: bool) -> None:  # noqa: FBT001 - made in one place
        self._body = body
        self._is_reset = is_reset

    async def iter_any(self) -> AsyncIterator[bytes]:
        half = len(self._body) // 2
        yield self._body[:half]
        await asyncio.sleep(_LATENCY_S)
        if self._is_reset:
            raise aiohttp.ClientPayloadError
        yield self._body[half:]


class _Answer:
    def __init__(self, status: int, body: bytes, *, is_reset: bool = False) -> None:
        self._status = status
        self.content = _Content(body, is_reset)

    def raise_for_status(self) -> None:
        if self._status >= 400:
            raise aiohttp.ClientResponseError(cast("aiohttp.RequestInfo", None), (), status=self._status)


class HostileVenue:
    """Plays a script to whoever uses ``session``.

    Args:
        script: What happens.
        late_s: How late frames are while they are late, in s; by default that is drawn.
    """

    def __init__(self, script: Script, late_s: float | None = None) -> None:
        self.script = script
        self.spoiled: set[str] = set()
        """The symbols of which something was said that cannot be read."""
        self.said_time_s = float("inf")
        """Since when ingest can know its clock."""
        self._rng = Random(~script.seed)
        self._sockets: list[_Socket] = []
        self._sent: list[bytes] = []
        self._late_s = self._rng.uniform(1, 25) if late_s is None else late_s
        self._wrong_times = 2
        self._loop = asyncio.get_running_loop()

    @property
    def session(self) -> aiohttp.ClientSession:
        """As much of an HTTP client as ingest uses."""
        return cast("aiohttp.ClientSession", self)

    @property
    def now_s(self) -> float:
        return self._loop.time()

    async def run(self) -> None:
        """Send frames, each second, until cancelled."""
        while True:
            second = round(self.now_s)
            for is_of_books in {socket.is_of_books for socket in self._sockets}:
                self._send(self._frame(second, is_of_books), is_of_books)
            await asyncio.sleep(second + 1 - self.now_s)

    def _frame(self, second: int, is_of_books: bool) -> _Frame:  # noqa: FBT001 - one of two kinds of frame
        event_ms = START_MS + second * 1_000 + self.script.clock_ahead_ms
        frame = []
        for name, life in self.script.lives.items():
            if not life.lists(second):
                continue
            price = "0.00000000" if second >= life.settles_s else price_of(name, second)
            numbers = {"b": price, "a": price} if is_of_books else {"p": price, "i": price, "r": "0.0001", "T": 0}
            kind = "bookTicker" if is_of_books else "markPriceUpdate"
            frame.append({"e": kind, "E": event_ms, "s": name, **numbers})
        return frame

    def _send(self, frame: _Frame, is_of_books: bool) -> None:  # noqa: FBT001 - one of two kinds of frame
        put = partial(self._put, is_of_books)
        kinds = self._kinds("socket")
        if kinds & {"silent", "refused"} or ("lost" in kinds and self._rng.random() < 0.6):
            return
        if "hang-up" in kinds and self._rng.random() < 0.3:
            put(WSMsgType.CLOSED, None)
        if "too large" in kinds and self._rng.random() < 0.2:
            put(WSMsgType.ERROR, aiohttp.WebSocketError(aiohttp.WSCloseCode.MESSAGE_TOO_BIG, "too large"))
        if "garbage" in kinds:
            put(WSMsgType.BINARY, self._rng.choice(_GARBAGE))
        body = orjson.dumps(self._spoil(frame, "s", "p") if "spoiled" in kinds else frame)
        if "half" in kinds and self._rng.random() < 0.5:
            body = body[: self._rng.randrange(len(body))]
        self._sent.append(body)
        after_s = _LATENCY_S
        if "late" in kinds:
            after_s += self._late_s
        if "reordered" in kinds:
            after_s += self._rng.uniform(0, 8)
        repeats = self._rng.randint(1, 3) if "repeated" in kinds else 0
        again = [body] * repeats + ([self._rng.choice(self._sent)] if repeats else [])
        for one in (body, *again):
            self._loop.call_later(after_s, put, WSMsgType.TEXT, one.decode(errors="replace"))

    def _put(self, is_of_books: bool, kind: WSMsgType, data: object) -> None:  # noqa: FBT001 - the same
        for socket in self._sockets:
            if socket.is_of_books is is_of_books:
                socket.put(kind, data)

    def _spoil(self, elements: _Frame, name: str, number: str) -> _Frame:
        """Make some elements unreadable, and put strange ones between."""
        spoiled: _Frame = []
        for element in elements:
            if self._rng.random() < 0.5:
                spoiled.append(element)
                continue
            self.spoiled.add(element[name])
            changes: dict[str, Any] = self._rng.choice(
                ({number: None}, {number: "NaN"}, {number: "-1"}, {number: "9" * 100}, {number: {"a": 1}}, {number: []})
            )
            spoiled.append({**element, **changes})
        return spoiled + self._rng.choice(([], [None], [7, "x"], [{}], [{name: None}], [{name: "x" * 100}]))

    async def ws_connect(self, url: str, *, max_msg_size: int, headers: Mapping[str, str]) -> _Socket:
        assert max_msg_size > 0
        assert not headers
        await asyncio.sleep(_LATENCY_S)
        if "refused" in self._kinds("socket"):
            await asyncio.sleep(self._rng.choice((0.0, 0.0, 60.0)))
            raise aiohttp.ClientConnectionError
        socket = _Socket(url, self._sockets.remove)
        self._sockets.append(socket)
        return socket

    @asynccontextmanager
    async def get(self, url: str, *, timeout: object) -> AsyncIterator[_Answer]:  # noqa: ASYNC109 - as aiohttp's
        assert timeout is not None
        await asyncio.sleep(_LATENCY_S)
        endpoint = url.partition("/fapi/v1/")[2]
        yield await self._answer(endpoint, self._kinds(endpoint))

    async def _answer(self, endpoint: str, kinds: set[str]) -> _Answer:
        if endpoint == "time" and not self.script.says_time:
            return _Answer(404, b"")
        if status := next((int(kind) for kind in sorted(kinds) if kind.isdigit()), None):
            return _Answer(status, b"{}")
        if "hang" in kinds:
            await asyncio.sleep(_HANGS_S)
            raise TimeoutError
        if "html" in kinds:
            return _Answer(200, b"<html>Are you a robot?</html>")
        body = orjson.dumps(self._said(endpoint, is_spoiled="spoiled" in kinds))
        if "empty" in kinds:
            body = b"[]"
        if "cut" in kinds:
            body = body[: self._rng.randrange(1, len(body))]
        if endpoint == "time" and not kinds:
            self.said_time_s = min(self.said_time_s, self.now_s)
        return _Answer(200, body, is_reset="reset" in kinds)

    def _said(self, endpoint: str, *, is_spoiled: bool) -> object:
        second = int(self.now_s)
        listed = [name for name, life in self.script.lives.items() if life.lists(second)]
        match endpoint:
            case "time":
                return self._time()
            case "premiumIndex":
                said = [_premium(element) for element in self._frame(second, is_of_books=False)]
                return self._spoil(said, "symbol", "markPrice") if is_spoiled else said
            case "exchangeInfo":
                said = [_rules(name) for name in listed]
                return {"symbols": self._spoil(said, "symbol", "pricePrecision") if is_spoiled else said}
            case "ticker/24hr":
                said = [{"symbol": name, "priceChangePercent": "1.5", "quoteVolume": "7"} for name in listed]
                return self._spoil(said, "symbol", "quoteVolume") if is_spoiled else said
            case _:
                said = [_terms(name) for name in listed if name in OWN_HOURS]
                return self._spoil(said, "symbol", "fundingIntervalHours") if is_spoiled else said

    def _time(self) -> object:
        time_ms = START_MS + round(self.now_s * 1_000) + self.script.clock_ahead_ms
        # Of the last five answers at most two may be wrong: more are as good as another clock.
        if "spoiled" in self._kinds("time") and self._wrong_times and self.now_s > 25:
            self._wrong_times -= 1
            return self._rng.choice(({"serverTime": time_ms + 600_000}, {"serverTime": time_ms - 600_000}, {}, [7]))
        return {"serverTime": time_ms}

    def _kinds(self, where: str) -> set[str]:
        now_s = self.now_s
        return {one.kind for one in self.script.troubles if one.where == where and one.since_s <= now_s < one.until_s}


def _premium(element: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": element["s"],
        "time": element["E"],
        "markPrice": element["p"],
        "indexPrice": element["i"],
        "lastFundingRate": element["r"],
        "nextFundingTime": element["T"],
    }


def _rules(name: str) -> dict[str, Any]:
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": name.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "pricePrecision": 5,
        "quantityPrecision": 3,
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}],
    }


def _terms(name: str) -> dict[str, Any]:
    return {"symbol": name, "fundingIntervalHours": OWN_HOURS[name], "adjustedFundingRateCap": "0.02"}
