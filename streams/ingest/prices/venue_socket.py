"""A venue's websocket, opened again after silence or a fault, and before a venue's own limit of 24 hours."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import aiohttp
from prometheus_client import Counter

from models.errors import TidemarkError
from streams.process.reconnecting import stay_connected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.process.backoff import Backoff

_log = logging.getLogger(__name__)

_RECONNECTS = Counter("tidemark_price_reconnects_total", "Connections that ended.", ("source", "cause"))

# A frame with all marks has some 100 kB; a frame above this bound is a fault of the sender.
MAX_FRAME_BYTES = 4 * 1024 * 1024
_CONNECT_TIMEOUT_S = 15.0
# The venue closes every connection after 24 hours: we close it before, at a time of our own.
_LONGEST_SESSION_S = 23.5 * 3_600


class FrameTooLarge(TidemarkError):
    """A frame was larger than any that this venue sends; the connection was closed."""


class SessionEnded(TidemarkError):
    """A connection cannot be used any longer; the message is the cause, as metrics name it. Another one is opened."""


class VenueProtocol(Protocol):
    """What is said on a venue's websocket."""

    async def opened(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Begin a connection: all that was known of the one before is over."""

    async def take_frame(self, frame: bytes) -> int:
        """Take a frame, and return how many ticks it held.

        Raises:
            SessionEnded: The venue said that this connection is over, or what it says on it cannot be relied on.
        """

    async def refuse_large(self, error: TidemarkError) -> None:
        """Hear of a frame that was too large to be received."""


class VenueSocket:
    """Hands every frame of one websocket to whoever knows the venue's protocol.

    Args:
        session: HTTP client.
        url: The websocket's URL, which names the streams.
        source: The source's name.
        protocol: Takes the frames.
        silent_after_s: A connection without a tick for so long, in s, is closed and opened again.
        backoff: Tells how long to wait between two connections.
        headers: What is sent with each request for a connection, such as a token.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        source: str,
        protocol: VenueProtocol,
        silent_after_s: float,
        backoff: Backoff,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._headers = headers
        self._source = source
        self._protocol = protocol
        self._silent_after_s = silent_after_s
        self._backoff = backoff
        self.last_tick_s = asyncio.get_running_loop().time()

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame with a tick in it, or since the start."""
        return asyncio.get_running_loop().time() - self.last_tick_s

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await stay_connected(self._session_of_frames, self._backoff, self._ended)

    def _ended(self, cause: str, wait_s: float) -> None:
        _RECONNECTS.labels(self._source, cause).inc()
        _log.warning("price socket ended source=%s cause=%s wait_s=%.1f", self._source, cause, wait_s)

    async def _session_of_frames(self) -> str:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                socket = await self._session.ws_connect(self._url, max_msg_size=MAX_FRAME_BYTES, headers=self._headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return type(error).__name__
        try:
            await self._protocol.opened(socket)
            return await self._receive(socket)
        except SessionEnded as error:
            return str(error)
        finally:
            await socket.close()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        loop = asyncio.get_running_loop()
        leave_s = loop.time() + _LONGEST_SESSION_S
        silent_from_s = loop.time()
        while True:
            wait_s = min(silent_from_s + self._silent_after_s, leave_s) - loop.time()
            try:
                message = await socket.receive(timeout=max(0.001, wait_s))
            except TimeoutError:
                return "silent" if loop.time() < leave_s else "24 hours"
            match message.type:
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    data = message.data
                    if await self._protocol.take_frame(data.encode() if isinstance(data, str) else data):
                        silent_from_s = self.last_tick_s = loop.time()
                        self._backoff.reset()
                case aiohttp.WSMsgType.ERROR:
                    return await self._failed(message.data)
                case _:
                    return "closed"

    async def _failed(self, error: object) -> str:
        if not (isinstance(error, aiohttp.WebSocketError) and error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG):
            return type(error).__name__
        msg = f"expected frames of at most {MAX_FRAME_BYTES} bytes, found a larger one: {error}"
        await self._protocol.refuse_large(FrameTooLarge(msg))
        return "frame too large"
