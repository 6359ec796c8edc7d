"""A futures venue stand-in on loopback: Binance's websocket paths, its premiumIndex, and what it says of symbols."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from aiohttp import web

MARKS_PATH = "/market/ws/!markPrice@arr@1s"
_PIECE_BYTES = 65_536


class FakeVenue:
    """Sends the frames it is told to; ``premium_index`` is what REST answers, None for an error.

    ``facts`` are its other answers by the last part of their paths; what is not among them is an error.
    """

    def __init__(self) -> None:
        self.marks: list[web.WebSocketResponse] = []
        self.books: list[web.WebSocketResponse] = []
        self.book_streams: list[str] = []
        self.connections = 0
        self.polls = 0
        self.premium_index: bytes | None = b"[]"
        self.facts: dict[str, bytes] = {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/market/ws/{streams:.*}", self._marks)
        app.router.add_get("/public/stream", self._books)
        app.router.add_get("/fapi/v1/premiumIndex", self._premium_index)
        app.router.add_get("/fapi/v1/{path:.+}", self._facts)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    async def push(self, frame: bytes) -> None:
        """Send a text frame to every reader of marks; one that hangs up meanwhile is none of ours."""
        for socket in list(self.marks):
            with suppress(ConnectionError):
                await socket.send_str(frame.decode())

    async def push_book(self, frame: bytes) -> None:
        """Send a text frame to every reader of book tickers."""
        for socket in self.books:
            await socket.send_str(frame.decode())

    async def hang_up(self) -> None:
        """Close every connection."""
        for socket in [*self.marks, *self.books]:
            await socket.close()

    async def _marks(self, request: web.Request) -> web.WebSocketResponse:
        if request.path != MARKS_PATH:
            raise web.HTTPNotFound
        return await self._serve(request, self.marks)

    async def _books(self, request: web.Request) -> web.WebSocketResponse:
        self.book_streams = request.query["streams"].split("/")
        return await self._serve(request, self.books)

    async def _serve(self, request: web.Request, sockets: list[web.WebSocketResponse]) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        sockets.append(socket)
        try:
            async for _ in socket:
                pass
        finally:
            sockets.remove(socket)
        return socket

    async def _facts(self, request: web.Request) -> web.Response:
        body = self.facts.get(request.path.rpartition("/")[2])
        return web.Response(status=503) if body is None else web.Response(body=body)

    async def _premium_index(self, request: web.Request) -> web.StreamResponse:
        self.polls += 1
        if self.premium_index is None:
            return web.Response(status=503)
        response = web.StreamResponse()
        await response.prepare(request)
        # In pieces, as an answer comes over a network.
        for start in range(0, len(self.premium_index), _PIECE_BYTES):
            with suppress(ConnectionError):
                await response.write(self.premium_index[start : start + _PIECE_BYTES])
            await asyncio.sleep(0.002)
        return response
