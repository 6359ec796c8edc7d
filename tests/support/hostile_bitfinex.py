"""Bitfinex's public websocket as it may misbehave, by a seed, in this process and on a virtual clock.

It stands where ingest has its HTTP client. What it says of a symbol at an instant is known to whoever checks.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import orjson
import pytest
from aiohttp import WSMessage, WSMsgType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_MS = 1_745_970_800_000
TICKERS = ("tAAAUSD", "tBBBUSD")
DERIVATIVES = ("tCCCF0:USTF0", "tDDDF0:USTF0")
# Literals as the venue's encoder writes floats: plain, whole, with exponents, and with more digits than a float keeps.
LITERALS = ("58123.4", "58124", "1.5E+4", "9.7e-5", "58123.400000000001", "0.30000000000000004", "123456789.123456789")
# Of one that is quiet nothing new is said for 20 s, but that it lives.
QUIET = "tBBBUSD"
_HEARTBEAT_S = 15
_QUIET_S = 20
_LATENCY_S = 0.05
TROUBLES = (
    "lost", "late", "repeated", "unknown", "null", "garbage", "large", "restart", "maintenance", "silent", "hang-up",
    "refused", "dead channel",
)  # fmt: skip


class _Socket:
    """A client's end of a connection, and what the venue keeps of it."""

    def __init__(self, venue: HostileBitfinex) -> None:
        self._venue = venue
        self._messages: asyncio.Queue[WSMessage] = asyncio.Queue()
        self.channels: dict[int, tuple[str, str]] = {}
        self.dead: set[int] = set()
        self.flags = 0
        self.sequence = 0
        self.due_s = 0.0

    def put(self, kind: WSMsgType, data: object) -> None:
        self._messages.put_nowait(WSMessage(kind, data, None))

    async def send_str(self, text: str) -> None:
        self._venue.heard(self, orjson.loads(text))

    async def receive(self, timeout: float) -> WSMessage:  # noqa: ASYNC109 - the signature is aiohttp's
        async with asyncio.timeout(timeout):
            return await self._messages.get()

    async def close(self) -> None:
        self._venue.sockets.discard(self)


class HostileBitfinex:
    """Misbehaves until ``trouble_s``, by its seed, and then no more.

    Args:
        seed: Decides all that happens.
        trouble_s: Until when it misbehaves, in s.
        kinds: What may go wrong.
        ahead_ms: By how much its clock is ahead.
    """

    def __init__(self, seed: int, trouble_s: float = 60.0, kinds: Sequence[str] = TROUBLES, ahead_ms: int = 0) -> None:
        self.sockets: set[_Socket] = set()
        self.connections = 0
        self.asked: list[str] = []
        self._seed = seed
        self._rng = Random(seed)
        self._trouble_s = trouble_s
        self._kinds = kinds
        self._ahead_ms = ahead_ms
        self._loop = asyncio.get_running_loop()
        self._numbers = 100
        self._prices: dict[str, list[tuple[int, str]]] = {name: [] for name in (*TICKERS, *DERIVATIVES)}

    @property
    def session(self) -> aiohttp.ClientSession:
        """As much of an HTTP client as ingest uses."""
        return cast("aiohttp.ClientSession", self)

    @property
    def now_s(self) -> float:
        return self._loop.time()

    @property
    def now_ms(self) -> int:
        """By its own clock."""
        return START_MS + round(self.now_s * 1_000) + self._ahead_ms

    def price_at(self, symbol: str, at_ms: int) -> str:
        """What it said of a symbol at an instant of its clock."""
        told = self._prices[symbol]
        return told[bisect_right(told, at_ms, key=lambda one: one[0]) - 1][1]

    def newest(self, symbol: str) -> str:
        return self._prices[symbol][-1][1]

    async def run(self) -> None:
        """Change prices each second and tell of them, until cancelled."""
        second = 0
        while True:
            changed = [name for name in self._prices if name != QUIET or second % _QUIET_S == 0]
            for name in changed:
                self._prices[name].append((self.now_ms, f"{self._rng.choice(LITERALS)}"))
            for socket in list(self.sockets):
                for number, (_, symbol) in list(socket.channels.items()):
                    if symbol in changed:
                        self._tell(socket, number)
                    elif second % _HEARTBEAT_S == 0:
                        self._send(socket, number, b'"hb"')
            second += 1
            await asyncio.sleep(second - self.now_s)

    async def ws_connect(self, url: str, *, max_msg_size: int, headers: Mapping[str, str]) -> _Socket:
        assert url.endswith("/ws/2")
        assert max_msg_size > 0
        assert not headers
        await asyncio.sleep(_LATENCY_S)
        if "refused" in self._now():
            raise aiohttp.ClientConnectionError
        socket = _Socket(self)
        self.sockets.add(socket)
        self.connections += 1
        status = 0 if "maintenance" in self._now() else 1
        self._say(socket, {"event": "info", "version": 2, "serverId": "x", "platform": {"status": status}})
        return socket

    def heard(self, socket: _Socket, said: dict[str, Any]) -> None:
        """Take what the client says."""
        self.asked.append(said["event"])
        match said["event"]:
            case "conf":
                socket.flags = said["flags"]
                self._say(socket, {"event": "conf", "status": "OK", "flags": said["flags"]})
            case "ping":
                self._say(socket, {"event": "pong", "ts": self.now_ms, "cid": said["cid"]})
            case "subscribe":
                self._numbers += self._rng.randint(1, 9)
                number = self._numbers
                symbol = said.get("symbol") or said["key"].removeprefix("deriv:")
                self._say(socket, {**said, "event": "subscribed", "chanId": number})
                socket.channels[number] = (said["channel"], symbol)
                if "dead channel" in self._now():
                    socket.dead.add(number)
                self._tell(socket, number)
            case other:
                pytest.fail(f"expected an event that the venue knows, found {other!r}")

    def _tell(self, socket: _Socket, number: int) -> None:
        name, symbol = socket.channels[number]
        price = self.newest(symbol).encode()
        is_null = "null" in self._now()
        if name == "ticker":
            content = b"[1,2,3,4,5,6,%b,8,9,10]" % (b"null" if is_null else price)
        else:
            mark = b"null" if is_null else price
            values = self.now_ms, price, START_MS + 3_600_000, mark
            content = b"[%d,null,1,%b,null,1e6,null,%d,-1e-8,3,null,-1.25e-05,null,null,%b,null,null,7]" % values
        self._send(socket, number, content)

    def _send(self, socket: _Socket, number: int, content: bytes) -> None:
        kinds = self._now()
        if number in socket.dead:
            return
        # The venue numbers what it loses, also while it is silent. Of what it never numbered nobody could know.
        socket.sequence += 1
        if "silent" in kinds:
            return
        appended = b"".join(
            b",%d" % value for flag, value in ((65_536, socket.sequence), (32_768, self.now_ms)) if socket.flags & flag
        )
        frame = b"[%d,%b%b]" % (number, content, appended)
        put = partial(self._put, socket, WSMsgType.TEXT, frame.decode())
        if "lost" in kinds and self._rng.random() < 0.4:
            return
        if "unknown" in kinds:
            self._put(socket, WSMsgType.TEXT, orjson.dumps({"event": "novelty", "of": [1]}).decode())
        if "garbage" in kinds:
            junk = self._rng.choice((b"", b"[", b"{}", b"[1]", b'[1,"x"]', b"[[]]", b"\xff", b'{"event":7}', b"null"))
            self._put(socket, WSMsgType.BINARY, junk)
        self._in_order(socket, put, 8.0 if "late" in kinds else 0.0)
        if "repeated" in kinds:
            self._loop.call_later(_LATENCY_S + self._rng.uniform(0, 3), put)
        self._break(socket, kinds)

    def _break(self, socket: _Socket, kinds: set[str]) -> None:
        if self._rng.random() > 0.05:
            return
        if "restart" in kinds:
            self._say(socket, {"event": "info", "code": 20051, "msg": "Stopping"})
        if "maintenance" in kinds:
            code = self._rng.choice((20060, 20061))
            self._say(socket, {"event": "info", "code": code, "msg": "Maintenance"})
        if "hang-up" in kinds:
            self._put(socket, WSMsgType.CLOSED, None)
        if "large" in kinds:
            error = aiohttp.WebSocketError(aiohttp.WSCloseCode.MESSAGE_TOO_BIG, "too large")
            self._put(socket, WSMsgType.ERROR, error)

    def _say(self, socket: _Socket, said: object) -> None:
        self._in_order(socket, partial(self._put, socket, WSMsgType.TEXT, orjson.dumps(said).decode()))

    def _in_order(self, socket: _Socket, put: Callable[[], None], late_s: float = 0.0) -> None:
        """Deliver after all that was sent before."""
        socket.due_s = max(socket.due_s + 1e-6, self.now_s + _LATENCY_S + late_s)
        self._loop.call_at(socket.due_s, put)

    def _put(self, socket: _Socket, kind: WSMsgType, data: object) -> None:
        if socket in self.sockets:
            socket.put(kind, data)

    def _now(self) -> set[str]:
        """What goes wrong now: for 5 s each, one or two kinds of trouble."""
        if self.now_s >= self._trouble_s or not self._kinds:
            return set()
        rng = Random(f"{self._seed} {int(self.now_s / 5)}")
        return set(rng.sample(list(self._kinds), min(len(self._kinds), 2)))
