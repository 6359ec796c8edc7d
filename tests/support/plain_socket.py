"""A websocket client of the barest kind, for thousands of them in one loop, and for frames that no library sends."""

from __future__ import annotations

import asyncio
import os
import socket as os_socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80


HANDSHAKE = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def handshake(path: str, **headers: str) -> bytes:
    """A handshake, some of whose headers may be others."""
    lines = (f"{name}: {value}\r\n" for name, value in {**HANDSHAKE, **headers}.items())
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


class Frame(NamedTuple):
    """A frame as it goes over the wire; ``first`` is its first byte: the end, reserved bits and opcode."""

    first: int
    payload: bytes
    is_masked: bool = True

    def encode(self) -> bytes:
        size, flag = len(self.payload), 0x80 if self.is_masked else 0
        if size < 126:
            head = bytes((self.first, flag | size))
        elif size < 65_536:
            head = bytes((self.first, flag | 126)) + size.to_bytes(2)
        else:
            head = bytes((self.first, flag | 127)) + size.to_bytes(8)
        if not self.is_masked:
            return head + self.payload
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.payload))
        return head + mask + masked


class PlainSocket(asyncio.Protocol):
    """One client. ``on_text`` is called with each text frame; after a close frame nothing else may come.

    Attributes:
        close_code: Of the server's close frame.
        closed_s: When that came, in s of the loop's clock.
        is_lost: Whether the connection is gone.
        too_late: Frames that came after the close frame.
        answers_close: Whether it sends a close frame back, as it should.
    """

    def __init__(self, path: str, on_text: Callable[[bytes], None]) -> None:
        self._path = path
        self._on_text = on_text
        self._loop = asyncio.get_running_loop()
        self._read = bytearray()
        self._shaken = self._loop.create_future()
        self.transport: asyncio.Transport
        self.close_code: int | None = None
        self.closed_s: float | None = None
        self.is_lost = False
        self.too_late: list[bytes] = []
        self.answers_close = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(handshake(self._path))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self._shaken.done():
            self._shaken.set_exception(exc or ConnectionError("closed before the handshake"))

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._shaken.done():
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._read = rest
            self._shaken.set_result(None)
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    async def shaken(self) -> None:
        await self._shaken

    def send(self, text: str) -> None:
        self.transport.write(Frame(FIN | TEXT, text.encode()).encode())

    def _next_frame(self) -> tuple[int, bytes] | None:
        read = self._read
        if len(read) < 2:
            return None
        first, size, start = read[0], read[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(read[2:start])
        if len(read) < start + size:
            return None
        payload = bytes(read[start : start + size])
        del read[: start + size]
        return first, payload

    def _take(self, first: int, payload: bytes) -> None:
        if self.close_code is not None:
            self.too_late.append(payload)
        elif first == FIN | TEXT:
            self._on_text(payload)
        elif first == FIN | PING:
            self.transport.write(Frame(FIN | PONG, payload).encode())
        elif first == FIN | CLOSE:
            self.close_code, self.closed_s = int.from_bytes(payload[:2]), self._loop.time()
            if self.answers_close:
                self.transport.write(Frame(first, payload[:2]).encode())


async def plain_socket(
    host: str, port: int, path: str, on_text: Callable[[bytes], None], *, receive_bytes: int | None = None
) -> PlainSocket:
    """Connect and shake hands; ``receive_bytes`` is the kernel's buffer for what is not read."""
    raw = os_socket.socket()
    if receive_bytes is not None:
        raw.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, receive_bytes)
    raw.setblocking(False)  # noqa: FBT003 - the signature is the standard library's
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, port))
    _, client = await loop.create_connection(lambda: PlainSocket(path, on_text), sock=raw)
    await client.shaken()
    return client
