"""A client that answers no ping, on a real socket and a clock that jumps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSMsgType

from tests.support.flash import OWNER, SOL_LONG, basket, position
from tests.support.flash_scene import FlashScene
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse


async def _read_until(socket: ClientWebSocketResponse, end_s: float) -> int:
    frames = 0
    while asyncio.get_running_loop().time() < end_s:
        assert (await socket.receive()).type is WSMsgType.TEXT
        frames += 1
    return frames


def test_a_client_that_does_not_answer_is_cut_40_seconds_after_it_came_and_one_that_does_stays() -> None:
    async def scene() -> None:
        loop, shown = asyncio.get_running_loop(), FlashScene(sockets_per_owner=2)
        shown.list_markets()
        shown.mark("SOL", "150")
        shown.mark("USDC", "1")
        shown.show(basket(position(SOL_LONG)))
        path = f"/v2/owner/{OWNER}/ws?updateIntervalMs=10000"
        async with shown.serving() as client:
            async with client.ws_connect(path) as alive, client.ws_connect(path, autoping=False) as silent:
                came_s = loop.time()
                pinged_s = None
                answering = asyncio.create_task(_read_until(alive, came_s + 100))
                while (message := await silent.receive()).type not in {WSMsgType.CLOSE, WSMsgType.CLOSED}:
                    if message.type is WSMsgType.PING:
                        pinged_s = loop.time() - came_s
                cut_s = loop.time() - came_s
                assert pinged_s is not None
                assert (30, 40) == (round(pinged_s), round(cut_s))
                assert cut_s <= 40
                assert await answering > 8
            # Its place is free again.
            async with client.ws_connect(path) as again:
                assert WSMsgType.TEXT is (await again.receive()).type

    run_in_no_time(scene(), 0.0001)
