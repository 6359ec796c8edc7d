"""A client for asyncio, over aiohttp."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self, assert_never

import aiohttp

from tidemark_client.actions import Changed, Connect, Disconnect, Gap, Heard, Refused, Send, Status
from tidemark_client.core import INTERVAL_MS, OPENING_S, SUBPROTOCOL, Core

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from types import TracebackType

    from tidemark_client.actions import Action, Event, Held

# The core knows how long the server may be silent; one that does not answer a close is not waited for.
_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=1.0)
# Loops wait for a while at a time, not for ever.
_LONGEST_S = 3_600.0


class _Line(NamedTuple):
    """An open socket, and what waits for its next frame."""

    socket: aiohttp.ClientWebSocketResponse
    receiving: asyncio.Task[aiohttp.WSMessage]


class Client:
    """Follows keys over restarts and lost connections, until it is closed.

        async with Client("ws://127.0.0.1:8080/v1/ws") as client:
            client.subscribe("account", ["demo:0x…"])
            async for event in client.events():
                ...

    Args:
        url: The websocket's address, ws:// or wss://.
        token: A reader's token, or a function that gives the newest one; None where the server needs none.
        session: Opens the connections; None for one of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str | None] | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._url = url
        self._session = session
        self._owned: aiohttp.ClientSession | None = None
        self._core = Core(token=token if callable(token) else lambda: token)
        self._line: _Line | None = None
        self._wishes = asyncio.Event()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect, and end ``events``."""
        self._is_closed = True
        self._wishes.set()
        await self._disconnect()
        if self._owned is not None:
            await self._owned.close()
            self._owned = None

    def subscribe(self, channel: str, keys: Iterable[str], interval_ms: int = INTERVAL_MS) -> None:
        """Follow keys of a channel; what stands of them comes first. The same key once more changes its interval.

        Args:
            channel: The channel's name.
            keys: Keys of it.
            interval_ms: The shortest time between two messages of a key, 0 to 60,000 ms; 0: each change as it comes.
        """
        self._core.subscribe(_now_s(), channel, keys, interval_ms)
        self._wishes.set()

    def unsubscribe(self, channel: str, keys: Iterable[str]) -> None:
        """Follow keys of a channel no longer."""
        self._core.unsubscribe(_now_s(), channel, keys)
        self._wishes.set()

    def held(self, channel: str, key: str) -> Held | None:
        """Return what stands of a key that is followed; None before it came."""
        return self._core.held(channel, key)

    async def events(self) -> AsyncGenerator[Event]:
        """Connect, and yield what happens, until the connection ends for good.

        While nobody takes the next event nothing is read, and the server, which sends the newest state and not each one
        in between, waits; after 10 s of that it closes the connection, and the client comes back.
        """
        actions = deque(self._core.start(_now_s()))
        while not self._is_closed:
            while actions:
                match actions.popleft():
                    case Connect():
                        actions.extend(await self._connect())
                    case Send(text):
                        await self._send(text)
                    case Disconnect():
                        await self._disconnect()
                    case Heard() | Changed() | Gap() | Refused() as event:
                        yield event
                    case Status() as status:
                        yield status
                        if status.name == "ended":
                            return
                    case unknown:
                        assert_never(unknown)
            actions.extend(await self._next())

    async def _connect(self) -> list[Action]:
        if self._session is None:
            self._session = self._owned = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(OPENING_S):
                socket = await self._session.ws_connect(
                    self._url, protocols=(SUBPROTOCOL,), max_msg_size=0, timeout=_TIMEOUT
                )
        except aiohttp.WSServerHandshakeError as error:
            after = "" if error.headers is None else error.headers.get("Retry-After", "")
            retry_after_s = float(after) if after.isascii() and after.isdecimal() else None
            reason = f"the server answered {error.status}"
            return self._core.lost(_now_s(), reason, retry_after_s=retry_after_s)
        except aiohttp.ClientError as error:
            return self._core.lost(_now_s(), str(error))
        except TimeoutError:
            return self._core.lost(_now_s(), f"the connection did not open within {OPENING_S:.0f} s")
        self._line = _Line(socket, asyncio.create_task(socket.receive()))
        return []

    async def _next(self) -> list[Action]:
        """Wait for a frame, for the time when something is due, or for a wish, and return what is to be done."""
        line = self._line
        wishing = asyncio.create_task(self._wishes.wait())
        waiting: set[asyncio.Task[Any]] = {wishing} if line is None else {wishing, line.receiving}
        timeout_s = min(_LONGEST_S, max(0.0, self._core.wake_s - _now_s()))
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wishing.cancel()
        self._wishes.clear()
        if self._is_closed or line is None or not line.receiving.done():
            return self._core.tick(_now_s())
        frame = line.receiving.result()
        if frame.type is aiohttp.WSMsgType.TEXT:
            self._line = _Line(line.socket, asyncio.create_task(line.socket.receive()))
            return [*self._core.receive(_now_s(), frame.data), *self._core.tick(_now_s())]
        code = line.socket.close_code
        await self._disconnect()
        return self._core.lost(_now_s(), f"closed with {code}", code=code)

    async def _send(self, text: str) -> None:
        # Where the socket is closed, the next thing that is received says so, and why.
        with suppress(aiohttp.ClientError, ConnectionError):
            if self._line is not None:
                await self._line.socket.send_str(text)

    async def _disconnect(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.receiving.cancel()
            await asyncio.wait({line.receiving})
            await line.socket.close()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
