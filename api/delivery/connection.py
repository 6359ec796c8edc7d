"""An accepted websocket, to which the hub writes whole frames past aiohttp's own sender."""

from __future__ import annotations

import asyncio
import socket as os_socket
import struct
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from api.access.credentials import SUBPROTOCOL
from api.delivery.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.access.limits import TokenBucket
    from api.delivery.dialect import Dialect

_TEXT_FRAME = 0x81
_PING_FRAME = b"\x89\x00"
# A close frame without a reason: 1001, since the client is taken to be gone.
_GONE_FRAME = b"\x88\x02" + WSCloseCode.GOING_AWAY.to_bytes(2)
_SHORT_MAX = 125
_MEDIUM_MAX = 65_535
_MEDIUM, _LONG = 126, 127
_short = struct.Struct(">BB").pack
_medium = struct.Struct(">BBH").pack
_long = struct.Struct(">BBQ").pack

# Everything ends within 5 s of a Ctrl-C; this is the part of it for a client that does not answer the close frame.
CLOSE_TIMEOUT_S = 1.0
# What has come is parsed without a pause, some 2 µs a small message: with this, one client's turn takes 2 ms at most.
_RECEIVED_BYTES = 32_768


def text_frame(payload: bytes) -> bytes:
    """Encode a whole, unmasked websocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size <= _SHORT_MAX:
        return _short(_TEXT_FRAME, size) + payload
    if size <= _MEDIUM_MAX:
        return _medium(_TEXT_FRAME, _MEDIUM, size) + payload
    return _long(_TEXT_FRAME, _LONG, size) + payload


class _Messages:
    """What a client sends, one message a turn of the loop. A generator would take four times the memory."""

    __slots__ = ("_connection", "_pings", "_socket")

    def __init__(self, connection: Connection, socket: web.WebSocketResponse, pings: TokenBucket) -> None:
        self._connection = connection
        self._socket = socket
        self._pings = pings

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> WSMessage:
        while True:
            message = await anext(self._socket)
            # Many messages may have come at once, and without this they would all be taken before anybody else's turn.
            await asyncio.sleep(0)
            match message.type:
                case WSMsgType.PING:
                    if self._pings.take(asyncio.get_running_loop().time()):
                        self._connection.close(WSCloseCode.POLICY_VIOLATION, b"too many pings")
                        raise StopAsyncIteration
                    await self._pong(message.data)
                case WSMsgType.PONG:
                    self._connection.heard_pong()
                case _:
                    return message

    async def _pong(self, payload: bytes) -> None:
        try:
            await self._socket.pong(payload)
        except ConnectionError:
            raise StopAsyncIteration from None


class Connection:
    """One websocket. ``write`` never waits, so the writer must ask ``is_blocked`` first.

    aiohttp's own sender is a coroutine for each frame. It is used for pings and closes; its frames and ours are each
    written whole, so they cannot mix.

    Args:
        request: The handshake.
        dialect: What the client understands.
        messages: The client's limit on messages, kept where a dialect has no limit of its own.
        pings: Its limit on pings; a client that sends more is closed with 1008.
    """

    __slots__ = (
        "_closing",
        "_liveness",
        "_pings",
        "_request",
        "_socket",
        "_transport",
        "dialect",
        "is_closing",
        "messages_limit",
    )

    def __init__(self, request: web.Request, dialect: Dialect, messages: TokenBucket, pings: TokenBucket) -> None:
        self.dialect = dialect
        self.messages_limit = messages
        self._pings = pings
        self.is_closing = False
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.Task[bool] | None = None
        self._liveness: Liveness | None = None
        self._socket = web.WebSocketResponse(
            heartbeat=dialect.ping_s if dialect.pong_s is None else None,
            timeout=CLOSE_TIMEOUT_S,
            max_msg_size=dialect.max_message_bytes,
            compress=False,
            protocols=(*dialect.subprotocols, SUBPROTOCOL),
            # aiohttp would answer all pings that have come before anybody else's turn.
            autoping=False,
        )

    async def accept(self) -> None:
        """Answer the handshake.

        Raises:
            aiohttp.web.HTTPBadRequest: The request is no handshake.
        """
        if not self._request.headers.get("Sec-WebSocket-Key", "").isascii():
            # aiohttp would decode it as base64 and fail with 500.
            raise web.HTTPBadRequest(text="expected a Sec-WebSocket-Key in base64")
        await self._socket.prepare(self._request)
        self._transport = self._request.transport
        raw = self._socket.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_SNDBUF, self.dialect.kernel_bytes)
            raw.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, _RECEIVED_BYTES)
        if self.dialect.pong_s is not None:
            self._liveness = Liveness(self._ping, self._cut, ping_s=self.dialect.ping_s, pong_s=self.dialect.pong_s)

    @property
    def response(self) -> web.WebSocketResponse:
        """The response that aiohttp expects from the handler."""
        return self._socket

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the handshake agreed on."""
        return self._socket.ws_protocol

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait here because the kernel has not taken them."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def is_blocked(self) -> bool:
        """Whether the client does not read, so that nothing should be written now."""
        return self.unsent_bytes > self.dialect.unsent_bytes

    def write(self, payload: bytes) -> None:
        """Write one text frame; nothing is written to a connection that closes."""
        transport = self._transport
        if transport is None or self.is_closing or transport.is_closing():
            return
        transport.write(text_frame(payload))

    def messages(self) -> AsyncIterator[WSMessage]:
        """Yield what the client sends, until one side goes away; pings are answered and left out."""
        return _Messages(self, self._socket, self._pings)

    def heard_pong(self) -> None:
        """Note that the client answered a ping."""
        if self._liveness is not None:
            self._liveness.heard()

    def _ping(self) -> None:
        if self._transport is not None and not self.is_closing and not self._transport.is_closing():
            self._transport.write(_PING_FRAME)

    def _cut(self) -> None:
        """End the connection to a client that does not answer; its answer to a close is not waited for either."""
        transport = self._transport
        if transport is None or self.is_closing:
            return
        self.is_closing = True
        transport.write(_GONE_FRAME)
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    def close(self, code: int, reason: bytes = b"") -> None:
        """Close in the background; nothing is written after the close frame. A second call does nothing."""
        if self.is_closing:
            return
        self.is_closing = True
        if self._transport is not None and self.is_blocked:
            # A close frame would wait behind the frames that the client does not read.
            self._transport.abort()
            return
        self._closing = asyncio.create_task(self._socket.close(code=code, message=reason, drain=False))

    async def closed(self) -> None:
        """Wait until a close that was begun is done, for ``CLOSE_TIMEOUT_S`` at most; then cut the connection."""
        if self._liveness is not None:
            self._liveness.stop()
        if self._closing is None:
            return
        _, late = await asyncio.wait([self._closing], timeout=CLOSE_TIMEOUT_S)
        for task in late:
            task.cancel()
        if late and self._transport is not None:
            self._transport.abort()
