"""A Service: one address before several pods, of which only those that are ready are given new connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.rehearsals.pods import Pod

_PIECE = 65_536


class Service:
    """Hands each connection on to the next pod that is ready; none is ready: it is closed, as a gateway would say 503.

    Args:
        pods: Those that there are now.
        port: Which port of theirs is served, by its name.
    """

    def __init__(self, pods: Callable[[], Iterable[Pod]], port: str) -> None:
        self._pods = pods
        self._port = port
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.is_cut = False

    async def start(self, host: str) -> str:
        """Listen, and return the address, such as ``127.1.2.3:8080``."""
        self._server = await asyncio.start_server(self._take, host, 0)
        at, port = self._server.sockets[0].getsockname()
        return f"{at}:{port}"

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def cut(self) -> None:
        """End every connection that there is."""
        for line in self._lines:
            line.cancel()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            await self._handed_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(task)
            writer.transport.abort()

    async def _handed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [pod for pod in self._pods() if pod.is_ready]
        if not ready or self.is_cut:
            return
        self._turn += 1
        where = urlsplit(ready[self._turn % len(ready)].url(self._port))
        upstream, downstream = await asyncio.open_connection(where.hostname, where.port)
        try:
            ways = [asyncio.ensure_future(_pipe(reader, downstream)), asyncio.ensure_future(_pipe(upstream, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            downstream.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
