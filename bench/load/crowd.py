"""Many websockets of one process: plain connections that subscribe and count what comes, for a few µs a frame."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket as os_socket
import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# A handshake takes the api about 1 ms; more at a time only fill its backlog.
_AT_ONCE = 50
_ACCEPTED = re.compile(rb"HTTP/1\.1 101 ")
_TEXT = 1
_PING, _PONG = 9, 10
_MEDIUM, _LONG = 126, 127


def masked(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A client's frame; the mask is zeros, which says the same in fewer steps."""
    size = len(payload)
    if size < _MEDIUM:
        head = bytes((0x80 | opcode, 0x80 | size))
    else:
        head = bytes((0x80 | opcode, 0x80 | _MEDIUM)) + size.to_bytes(2)
    return head + b"\0\0\0\0" + payload


class Socket(asyncio.Protocol):
    """One websocket; ``on_frame`` gets (payload, time in s) of each text frame."""

    def __init__(self, path: str, on_frame: Callable[[bytes, float], None]) -> None:
        self._path = path
        self._on_frame = on_frame
        self._buffer = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the websocket."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Cut frames out of the stream."""
        now_s = time.perf_counter()
        buffer = self._buffer + data
        if not self.opened.done():
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not _ACCEPTED.match(head):
                self.opened.set_exception(ConnectionError(head[:80].decode()))
                return
            self.opened.set_result(None)
        while (end := self._frame_end(buffer)) is not None:
            opcode, start = buffer[0] & 0x0F, end[0]
            payload, buffer = buffer[start : end[1]], buffer[end[1] :]
            if opcode == _TEXT:
                self._on_frame(payload, now_s)
            elif opcode == _PING:
                self.send(payload, _PONG)
        self._buffer = buffer

    @staticmethod
    def _frame_end(buffer: bytes) -> tuple[int, int] | None:
        """Where the payload of the first frame begins and ends; None while it is not whole."""
        if len(buffer) < 2:  # noqa: PLR2004 - the shortest frame
            return None
        size, start = buffer[1] & 0x7F, 2
        if size == _MEDIUM:
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == _LONG:
            size, start = int.from_bytes(buffer[2:10]), 10
        return (start, start + size) if len(buffer) >= start + size else None

    def connection_lost(self, _error: Exception | None) -> None:
        """The server, or the crowd, closed it."""
        self.is_closed = True

    def send(self, payload: bytes, opcode: int = _TEXT) -> None:
        """Send a frame."""
        if self.transport is not None:
            self.transport.write(masked(payload, opcode))

    def stop_reading(self) -> None:
        """Never read again."""
        if self.transport is not None:
            # The kernel would read on for it, megabytes of it.
            self.transport.get_extra_info("socket").setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, 4_096)
            self.transport.pause_reading()


class Crowd:
    """Sockets to one server."""

    def __init__(self, port: int, path: str = "/v1/ws") -> None:
        self._port = port
        self._path = path
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self.sockets: list[Socket] = []

    async def open(self, on_frame: Callable[[bytes, float], None]) -> Socket:
        """Open one."""
        async with self._gate:
            _, socket = await asyncio.get_running_loop().create_connection(
                lambda: Socket(self._path, on_frame), "127.0.0.1", self._port
            )
            await socket.opened
        self.sockets.append(socket)
        return socket

    def close(self) -> None:
        """Close all."""
        for socket in self.sockets:
            if socket.transport is not None:
                socket.transport.abort()


def subscribe(channel: str, key: str, interval_ms: int) -> bytes:
    """The request."""
    return json.dumps(
        {"op": "subscribe", "id": 1, "channel": channel, "keys": [key], "interval_ms": interval_ms}
    ).encode()
