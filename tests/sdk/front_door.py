"""A door before a replica that stays when the replica goes: who comes meanwhile is turned away once, then waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HOST = "127.0.0.1"
_BYTES_AT_ONCE = 2**16


class FrontDoor:
    """Passes connections on to a replica; ``port`` is where it listens.

    A page tries twice to come back, and then never again. Whether a replica starts between the two is a matter of how
    busy the machine is; here each address is turned away the first time, and the second time waits for the replica.

    Args:
        replica: The port of the replica.
    """

    def __init__(self, replica: int) -> None:
        self.port = 0
        self._replica = replica
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._turned_away: set[bytes] = set()

    def shut(self) -> None:
        """Pass on no new connection; those there are stay."""
        self._is_open.clear()

    def open(self) -> None:
        """Pass connections on again, those too that wait."""
        self._is_open.set()

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Self]:
        """Listen until the block is left."""
        serving: set[asyncio.Task[None]] = set()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        server = await asyncio.start_server(take, _HOST)
        try:
            self.port = server.sockets[0].getsockname()[1]
            yield self
        finally:
            server.close()
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                asked = await reader.readuntil(b"\r\n")
                if not self._is_open.is_set() and asked not in self._turned_away:
                    self._turned_away.add(asked)
                    return
                await self._is_open.wait()
                await self._pass_on(asked, reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async def _pass_on(self, asked: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_replica, to_replica = await asyncio.open_connection(_HOST, self._replica)
        try:
            to_replica.write(asked)
            ways = [asyncio.create_task(_copy(*way)) for way in ((reader, to_replica), (from_replica, writer))]
            try:
                # What either side has ended the other one has no use for.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            to_replica.close()
            with suppress(OSError):
                await to_replica.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BYTES_AT_ONCE):
        writer.write(data)
        await writer.drain()
