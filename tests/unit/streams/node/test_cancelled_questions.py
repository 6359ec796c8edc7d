from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from streams.node.rpc import HttpEndpoint


async def test_who_is_cancelled_as_the_wait_for_an_answer_ends_is_cancelled() -> None:
    """A process that was paused wakes up so: every wait is over, and at once it hears that it was replaced."""
    has_asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        has_asked.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        endpoint = HttpEndpoint(session, f"http://127.0.0.1:{port}", "#1")
        asking = asyncio.create_task(endpoint.ask([("eth_blockNumber", [])], 0.2))
        await has_asked.wait()
        asyncio.get_running_loop().call_soon(asking.cancel)
        # The loop stands still, as that of a process that is paused, until the wait is over.
        time.sleep(0.3)  # noqa: ASYNC251 - it is the pause
        with pytest.raises(asyncio.CancelledError):
            await asking
    server.close()
    await server.wait_closed()
