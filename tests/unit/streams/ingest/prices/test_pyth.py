"""Prices of Pyth's two services: to the digit, each once, and a token that is sent and never shown."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from models.money import parse_e18
from models.prices import OracleSaid, decode_tick, mark_of
from streams.ingest.prices.price_frames import BadFrame
from streams.ingest.prices.price_site import PriceSite
from streams.ingest.prices.pyth.pyth_followers import HermesFollower, LazerFollower
from streams.ingest.prices.pyth.pyth_frames import HermesReader, LazerReader, decimal_text
from streams.process.clock import SystemClock
from streams.settings import Settings
from streams.settings.prices.pyth_source import PythHermesSource, PythLazerSource
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_MS = 1_700_000_000_000
SOL_ID = "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d"


def lazer(*feeds: dict[str, Any], at_ms: int = AT_MS) -> bytes:
    parsed = {"timestampUs": str(at_ms * 1_000), "priceFeeds": list(feeds)}
    return json.dumps({"type": "streamUpdated", "subscriptionId": 1, "parsed": parsed}).encode()


def sol(price: str | None = "14852000000", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    feed = {"priceFeedId": 6, "exponent": -8, "confidence": 12, "emaPrice": "14850000000", "marketSession": "regular"}
    return {**feed, **({} if price is None else {"price": price}), **more}


def hermes(price: str = "14852000000", *, publish_s: int = AT_MS // 1_000, feed: str = SOL_ID) -> bytes:
    one = {"price": price, "conf": "12", "expo": -8, "publish_time": publish_s}
    said = {"id": feed, "price": one, "ema_price": {**one, "price": "14850000000"}}
    return json.dumps({"type": "price_update", "price_feed": said}).encode()


def test_both_say_price_average_and_confidence_to_the_digit() -> None:
    (paid,) = LazerReader({"SOL": 6}).read(lazer(sol()), "pyth", AT_MS).ticks
    (free,) = HermesReader({"SOL": f"0x{SOL_ID.upper()}"}).read(hermes(), "pyth", AT_MS).ticks
    for tick, session in ((paid, "regular"), (free, None)):
        mark = mark_of(tick, 0)
        assert (tick.symbol, tick.event_ms, mark.mark_e18) == ("SOL", AT_MS, parse_e18("148.52"))
        assert mark.oracle is not None
        assert (mark.oracle.exponent, mark.oracle.session) == (-8, session)
        assert (mark.oracle.average_e18, mark.oracle.confidence_e18) == (parse_e18("148.5"), parse_e18("0.00000012"))


def test_a_price_is_said_once_whichever_connection_says_it_first() -> None:
    reader = LazerReader({"SOL": 6})
    told = [len(reader.read(lazer(sol(), at_ms=at_ms), "pyth", AT_MS).ticks) for at_ms in (AT_MS, AT_MS, AT_MS - 1)]
    assert told == [1, 0, 0]
    assert len(reader.read(lazer(sol(feedUpdateTimestamp=(AT_MS + 5) * 1_000)), "pyth", AT_MS).ticks) == 1
    free = HermesReader({"SOL": SOL_ID})
    assert [len(free.read(hermes(), "pyth", AT_MS).ticks) for _ in range(2)] == [1, 0]


def test_a_feed_without_a_price_or_that_nobody_asked_for_is_passed_over() -> None:
    frame = LazerReader({"SOL": 6}).read(lazer(sol(None), sol(priceFeedId=7)), "pyth", AT_MS)
    assert (frame.ticks, frame.refused) == ([], [])
    assert HermesReader({"SOL": SOL_ID}).read(hermes(feed="00" * 32), "pyth", AT_MS).ignored == 1


@pytest.mark.parametrize(
    "feed",
    [
        sol("0"),
        sol("-5"),
        sol("1.5"),
        sol("x" * 99),
        sol("\u0661"),
        sol(exponent=1),
        sol(exponent=-19),
        sol(exponent=None),
    ],
)
def test_a_price_that_is_none_is_refused_and_others_of_the_frame_are_used(feed: dict[str, Any]) -> None:
    other = sol(priceFeedId=7)
    frame = LazerReader({"SOL": 6, "USDC": 7}).read(lazer(feed, other), "pyth", AT_MS)
    assert [one.symbol for one in frame.refused] == ["SOL"]
    assert [one.symbol for one in frame.ticks] == ["USDC"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"type":"error","error":"no"}', b'{"type":"subscriptionError","error":"x"}', b'{"parsed":1}'],
)
def test_a_frame_of_another_shape_or_an_error_is_refused(body: bytes) -> None:
    with pytest.raises(BadFrame):
        LazerReader({"SOL": 6}).read(body, "pyth", AT_MS)
    with pytest.raises(BadFrame):
        HermesReader({"SOL": SOL_ID}).read(b'{"type":"response","status":"error","error":"x"}', "pyth", AT_MS)


@given(st.integers(0, 2**64 - 1), st.integers(-18, 0))
def test_a_decimal_text_is_the_number_with_its_exponent(number: int, exponent: int) -> None:
    assert parse_e18(decimal_text(number, exponent)) == number * 10 ** (18 + exponent)


class Service:
    """A websocket that keeps what is sent to it, and says a frame when it is subscribed to."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.headers: list[str | None] = []
        self.subscribed: list[dict[str, Any]] = []

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.headers.append(request.headers.get("Authorization"))
        async for message in socket:
            self.subscribed.append(json.loads(message.data))
            await socket.send_str(self.frame.decode())
        return socket


class Outlet:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def put(self, _topic: str, _key: bytes, value: bytes) -> None:
        await asyncio.sleep(0)
        self.values.append(value)


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", service.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", ["lazer", "hermes"])
async def test_a_source_subscribes_to_its_feeds_and_hands_prices_on(kind: str) -> None:
    service, outlet = Service(lazer(sol()) if kind == "lazer" else hermes()), Outlet()
    async with served(service) as url, aiohttp.ClientSession() as session:
        source: Any
        if kind == "lazer":
            source = PythLazerSource(websockets=(url, url), token=SecretStr("abc"), feeds={"SOL": 6})
        else:
            source = PythHermesSource(websocket=url, feeds={"SOL": SOL_ID})
        site = PriceSite(Settings(), "pyth", source, session, outlet, SystemClock())  # type: ignore[arg-type]
        follower = LazerFollower(site) if kind == "lazer" else HermesFollower(site)
        running = asyncio.create_task(follower.run())
        connections = 2 if kind == "lazer" else 1
        await eventually(lambda: len(service.subscribed) == connections and bool(outlet.values), 60)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    (tick,) = [decode_tick(value) for value in outlet.values]
    assert (tick.source, tick.symbol) == ("pyth", "SOL")
    assert follower.heard_ms > 0
    if kind == "lazer":
        assert service.headers == ["Bearer abc"] * 2
        assert service.subscribed[0]["priceFeedIds"] == [6]
        assert "abc" not in repr(source)
    else:
        assert service.subscribed == [{"type": "subscribe", "ids": [SOL_ID], "verbose": False}]


def test_a_source_needs_feeds_and_their_ids() -> None:
    with pytest.raises(ValidationError):
        PythLazerSource(feeds={})
    with pytest.raises(ValidationError):
        PythHermesSource(feeds={"SOL": "6"})
    assert OracleSaid(-8).session is None
