"""When a websocket of a node is given up."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.ingest.flash.layer_socket import Hearing, LayerSocket
from streams.ingest.flash.slot_deadline import SlotDeadline
from streams.process.backoff import Backoff
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from streams.ingest.flash.solana_answers import SeenAccount


async def _passed_over(_seen: SeenAccount) -> None:
    """Nothing is subscribed to but slots."""


@pytest.mark.parametrize("slot", [None, 7], ids=["pings", "the same slot"])
async def test_a_node_that_says_no_higher_slot_is_left_however_much_it_says(slot: int | None) -> None:
    connections: list[web.WebSocketResponse] = []

    async def node(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connections.append(socket)
        asked = orjson.loads(await socket.receive_str())
        await socket.send_bytes(orjson.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": 1}))
        said = {"method": "slotNotification", "params": {"subscription": 1, "result": {"slot": slot}}}
        with suppress(ConnectionError):
            while not socket.closed:
                await (socket.ping() if slot is None else socket.send_bytes(orjson.dumps(said)))
                await asyncio.sleep(0.005)
        return socket

    app = web.Application()
    app.router.add_get("/", node)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        opened: list[bool] = []
        socket = LayerSocket(
            session,
            str(server.make_url("/")),
            label=("flash", "base", "#1"),
            subscriptions=(),
            hearing=Hearing(lambda: opened.append(True), _passed_over, lambda _: None),
            silent_after_s=1.0,
            backoff=Backoff(0.01, 0.1),
        )
        running = asyncio.create_task(socket.run())
        await eventually(lambda: len(connections) >= 2 and len(opened) >= 2, 60)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_only_a_higher_slot_puts_the_deadline_off_and_our_own_work_is_no_silence() -> None:
    deadline = SlotDeadline(0)
    with pytest.raises(TimeoutError):
        deadline.waiting()
    later = SlotDeadline(1_000)
    begun = later.waiting().when() or 0.0
    later.hear(7)
    put_off = later.waiting().when() or 0.0
    for slot in (7, 6, 0):
        later.hear(slot)
    assert later.waiting().when() == put_off
    assert put_off >= begun
    with later.taking():
        await asyncio.sleep(0)
    assert (later.waiting().when() or 0.0) > put_off
