"""What is said on Bitfinex's websocket, over a real connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY

from models.prices import MarkTick, decode_tick
from streams.ingest.prices.bitfinex.bitfinex_follower import BitfinexFollower
from streams.ingest.prices.price_site import PriceSite
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.topics import PRICE_TICKS
from streams.process.clock import SystemClock
from streams.settings import BitfinexSource, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.ingest.outlet import Outlet

INFO = {"event": "info", "version": 2, "serverId": "x", "platform": {"status": 1}}
TICKER = [58123, 1.5, 58124, 2, -10, -0.0002, 58123.5, 1000, 59000, 57000]
AT_MS = 1_745_970_800_000


class Side:
    """The venue's side of one connection."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self.said: asyncio.Queue[Any] = asyncio.Queue()

    async def send_json(self, said: object) -> None:
        await self._socket.send_json(said)

    async def listen(self) -> None:
        """Keep what the client says, and answer its close."""
        async for message in self._socket:
            self.said.put_nowait(orjson.loads(message.data))


class World:
    """The venue's side of each connection, in the order in which they are opened, and what ingest writes."""

    def __init__(self, **source: Any) -> None:  # noqa: ANN401 - as the settings take
        self.source = source
        self.sockets: asyncio.Queue[Side] = asyncio.Queue()
        self.ticks: asyncio.Queue[MarkTick] = asyncio.Queue()
        self.letters: asyncio.Queue[str] = asyncio.Queue()

    async def put(self, topic: str, _key: bytes, value: bytes) -> None:
        if topic == PRICE_TICKS:
            tick = decode_tick(value)
            assert isinstance(tick, MarkTick)
            self.ticks.put_nowait(tick)
        else:
            self.letters.put_nowait(decode_dead_letter(value).reason)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        side = Side(socket)
        self.sockets.put_nowait(side)
        await side.listen()
        return socket

    @asynccontextmanager
    async def follows(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/ws/2", self.serve)
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            url = str(server.make_url("/ws/2")).replace("http", "ws")
            source = BitfinexSource(websocket=url, **self.source)
            settings = Settings(kafka="nowhere:1", data_dir=Path("unused"), sources={"v": source})
            site = PriceSite(settings, "v", source, session, cast("Outlet", self), SystemClock())
            following = asyncio.create_task(BitfinexFollower(site).run())
            async with asyncio.timeout(20):
                yield
            assert not following.done()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def greeted(self) -> Side:
        """A connection whose client has been greeted, and has agreed on numbers and times."""
        socket = await self.sockets.get()
        await socket.send_json(INFO)
        assert {"event": "conf", "flags": 98_304} == await heard(socket)
        await socket.send_json({"event": "conf", "status": "OK", "flags": 98_304})
        return socket


async def heard(socket: Side) -> Any:  # noqa: ANN401 - JSON
    """What the client says next, beside its questions for the time."""
    while (said := await socket.said.get())["event"] == "ping":
        await socket.send_json({"event": "pong", "ts": SystemClock().now_ms() + 400, "cid": said["cid"]})
    return said


async def subscribed(socket: Side, number: int) -> Any:  # noqa: ANN401 - JSON
    said = await heard(socket)
    assert "subscribe" == said["event"]
    await socket.send_json({**said, "event": "subscribed", "chanId": number})
    return said


def reconnects(cause: str) -> float:
    return REGISTRY.get_sample_value("tidemark_price_reconnects_total", {"source": "v", "cause": cause}) or 0.0


async def test_tickers_and_derivatives_are_subscribed_to_after_flags_are_agreed_on_and_become_marks() -> None:
    world = World(tickers=("tBTCUSD",), derivatives=("tBTCF0:USTF0",))
    async with world.follows():
        socket = await world.greeted()
        ticker, status = await subscribed(socket, 17), await subscribed(socket, 400_001)
        assert {"event": "subscribe", "channel": "ticker", "symbol": "tBTCUSD"} == ticker
        assert {"event": "subscribe", "channel": "status", "key": "deriv:tBTCF0:USTF0"} == status
        await socket.send_json([17, TICKER, 1, AT_MS])
        deriv = [AT_MS, None, 2, 58119.25, None, 6, None, AT_MS + 9, 1e-8, 3, None, -1.25e-05, None, None, 58121.125]
        await socket.send_json([400_001, deriv, 2, AT_MS + 5])
        await socket.send_json([17, "hb", 3, AT_MS + 15_000])
        ticks = [await world.ticks.get() for _ in range(3)]

    assert [
        ("tBTCUSD", "58123.5", AT_MS),
        ("tBTCF0:USTF0", "58121.125", AT_MS),
        ("tBTCUSD", "58123.5", AT_MS + 15_000),
    ] == [(tick.symbol, tick.mark, tick.event_ms) for tick in ticks]
    assert ("58119.25", "-0.0000125", AT_MS + 9) == (ticks[1].index, ticks[1].funding_rate, ticks[1].next_funding_ms)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"event": "info", "code": 20051, "msg": "Stopping"}, "restart"),
        ({"event": "info", "code": 20061, "msg": "Maintenance ended"}, "maintenance ended"),
        ({"event": "unsubscribed", "status": "OK", "chanId": 17}, "unsubscribed"),
        ([17, TICKER, 9, AT_MS], "lost frame"),
    ],
)
async def test_what_ends_a_connection_is_followed_by_a_new_one_with_new_channels(said: object, cause: str) -> None:
    world, before = World(tickers=("tBTCUSD",)), reconnects(cause)
    async with world.follows():
        socket = await world.greeted()
        await subscribed(socket, 17)
        await socket.send_json([17, TICKER, 1, AT_MS])
        await world.ticks.get()
        await socket.send_json(said)
        second = await world.greeted()
        await subscribed(second, 23)
        await second.send_json([17, TICKER, 1, AT_MS + 1])
        await second.send_json([23, TICKER, 2, AT_MS + 2])
        assert AT_MS + 2 == (await world.ticks.get()).event_ms
    assert 1 == reconnects(cause) - before


@pytest.mark.parametrize(
    ("info", "cause"),
    [({**INFO, "version": 3}, "version"), ({**INFO, "platform": {"status": 0}}, "maintenance")],
)
async def test_a_venue_that_speaks_another_version_or_is_in_maintenance_is_tried_again(
    info: dict[str, object], cause: str
) -> None:
    world, before = World(tickers=("tBTCUSD",)), reconnects(cause)
    async with world.follows():
        await (await world.sockets.get()).send_json(info)
        await subscribed(await world.greeted(), 17)
    assert 1 == reconnects(cause) - before


async def test_the_beginning_of_maintenance_ends_nothing() -> None:
    world = World(tickers=("tBTCUSD",))
    async with world.follows():
        socket = await world.greeted()
        await subscribed(socket, 17)
        await socket.send_json({"event": "info", "code": 20060, "msg": "Maintenance"})
        await socket.send_json([17, TICKER, 1, AT_MS])
        assert "58123.5" == (await world.ticks.get()).mark
        assert world.sockets.empty()


async def test_a_symbol_that_the_venue_refuses_is_a_dead_letter_and_the_others_are_followed() -> None:
    world = World(tickers=("tNOSUCH", "tBTCUSD"))
    async with world.follows():
        socket = await world.greeted()
        refused = await heard(socket)
        await socket.send_json({**refused, "event": "error", "code": 10300, "msg": "symbol: invalid"})
        await subscribed(socket, 17)
        await socket.send_json([17, TICKER, 1, AT_MS])
        assert "tBTCUSD" == (await world.ticks.get()).symbol
        letter = await world.letters.get()
    assert "'tNOSUCH'" in letter
    assert "10300" in letter


async def test_frames_are_read_without_numbers_and_times_where_the_venue_does_not_give_them() -> None:
    world = World(tickers=("tBTCUSD",))
    async with world.follows():
        socket = await world.sockets.get()
        await socket.send_json(INFO)
        await heard(socket)
        await socket.send_json({"event": "conf", "status": "FAILED", "code": 10050})
        await subscribed(socket, 17)
        began_ms = SystemClock().now_ms()
        await socket.send_json([17, TICKER])
        # Nothing says that no frame was lost, so nothing is made of this.
        await socket.send_json([17, "hb"])
        await socket.send_json([17, [*TICKER[:6], 7, *TICKER[7:]]])
        ticks = [await world.ticks.get(), await world.ticks.get()]
    assert ["58123.5", "7"] == [tick.mark for tick in ticks]
    assert all(tick.event_ms == tick.received_ms >= began_ms for tick in ticks)


async def test_the_venues_clock_is_measured_by_its_pongs() -> None:
    world = World(tickers=("tBTCUSD",))
    async with world.follows():
        socket = await world.greeted()
        await subscribed(socket, 17)
        answering = asyncio.create_task(heard(socket))
        number = 0
        while True:
            number += 1
            await socket.send_json([17, TICKER, number, AT_MS + number])
            tick = await world.ticks.get()
            if tick.clock_ahead_ms:
                break
        answering.cancel()
    # It is known but for half of what question and answer take.
    assert abs(tick.clock_ahead_ms - 400) <= 1_000


async def test_no_more_than_25_channels_are_asked_for_on_a_connection() -> None:
    world = World(tickers=tuple(f"tA{number:02d}USD" for number in range(30)))
    async with world.follows():
        first, second = await world.greeted(), await world.greeted()
        asked = [
            [(await subscribed(one, n))["symbol"] for n in range(count)] for one, count in ((first, 25), (second, 5))
        ]
    assert list(world.source["tickers"]) == sorted([*asked[0], *asked[1]])
