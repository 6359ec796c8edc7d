from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType

from api.dialects.native.protocol import SUBPROTOCOL
from api.http.keys import CONNECTIONS
from tests.support.api import FakeInterest, metric, serving, serving_admin
from tests.support.contract import validate_client_message, validate_server_message
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, e18, unsupported_body, valuation_body
from tests.support.views import account_view, figures_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

ADDRESS = "0x" + "ab" * 20
KEY = f"main:{ADDRESS}"
MARK = "binance-futures:BTCUSDT"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def mark_body(price: str = "100", **changes: object) -> dict[str, Any]:
    return {
        "mark": e18(price),
        "index": None,
        "funding_rate": e18("0.0001"),
        "next_funding_ms": 1_745_971_200_000,
        "event_ms": 1_745_970_777_000,
        "received_ms": 1_745_970_777_010,
        "offset": 5,
        **changes,
    }


class Talk:
    """A client that reads messages one by one; what is said, either way, is of the contract."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self._waiting: list[dict[str, Any]] = []
        self._last_id = 0

    async def ask(self, op: str, **said: object) -> int:
        self._last_id += 1
        message = {"op": op, "id": self._last_id, **said}
        validate_client_message(message)
        await self.socket.send_json(message)
        return self._last_id

    async def message(self, timeout_s: float = 20) -> dict[str, Any]:
        while not self._waiting:
            frame = await self.socket.receive(timeout=timeout_s)
            assert WSMsgType.TEXT == frame.type, frame
            self._waiting += json.loads(frame.data)
        message = self._waiting.pop(0)
        validate_server_message(message)
        return message

    async def next_of(self, kind: str) -> dict[str, Any]:
        while (message := await self.message())["type"] != kind:
            pass
        return message

    async def nothing_for(self, timeout_s: float) -> bool:
        try:
            await self.message(timeout_s)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def talking(client: TestClient[web.Request, web.Application]) -> AsyncIterator[Talk]:
    async with client.ws_connect("/v1/ws", protocols=(SUBPROTOCOL,)) as socket:
        talk = Talk(socket)
        assert "hello" == (await talk.message())["type"]
        yield talk


def tables(body: dict[str, Any] | None = None) -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(KEY, 1, body or valuation_body())
    made.marks.put(MARK, 1, mark_body())
    return made


async def test_hello_comes_first_and_says_what_a_client_must_know() -> None:
    async with serving(tables()) as client, client.ws_connect("/v1/ws", protocols=(SUBPROTOCOL,)) as socket:
        hello = await Talk(socket).message()

    assert SUBPROTOCOL == socket.protocol
    assert ("hello", SUBPROTOCOL, 1, "open", 5_000) == tuple(
        hello[name] for name in ("type", "protocol", "epoch", "auth", "heartbeat_ms")
    )
    assert {"subscriptions", "message_bytes", "messages_per_s", "messages_burst"} == hello["limits"].keys()


async def test_a_subscription_is_acknowledged_then_a_snapshot_comes_and_deltas_follow_it() -> None:
    made = tables()
    async with serving(made) as client, talking(client) as talk:
        asked = await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=0)
        ack, snapshot = await talk.message(), await talk.message()
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        delta = await talk.message()

    sub = {"sub": 1, "channel": "account", "key": KEY, "interval_ms": 0, "resumed": False}
    assert {"type": "ack", "id": asked, "op": "subscribe", "subs": [sub]} == ack
    assert ("snapshot", 1, 1, [1, 1]) == tuple(snapshot[name] for name in ("type", "sub", "epoch", "seq"))
    assert account_view(KEY, valuation_body()) == snapshot["data"]
    assert {"type": "delta", "sub": 1, "prev": [1, 1], "seq": [1, 2], "data": {"upnl": "5"}} == delta


@pytest.mark.parametrize("channel", ["account", "valuations", "positions"])
async def test_every_channel_of_an_account_shows_its_part(channel: str) -> None:
    async with serving(tables()) as client, talking(client) as talk:
        await talk.ask("subscribe", channel=channel, keys=[KEY.upper().replace("MAIN", "main").replace("0X", "0x")])
        data = (await talk.next_of("snapshot"))["data"]

    whole = account_view(KEY, valuation_body())
    expected = {
        "account": whole,
        "valuations": figures_view(KEY, valuation_body()),
        "positions": {"account": KEY, "positions": whole["positions"]},
    }
    assert expected[channel] == data


async def test_marks_and_totals_are_channels_too() -> None:
    made = tables()
    sums = {"positions": 1, "unpriced": 0, "as_of_ms": 1_745_970_777_000}
    made.subtotals.put(f"hedger:main:0x{'b' * 40}:0", 1, {**sums, "upnl": e18("12.5"), "notional": e18("1000")})
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="marks", keys=[MARK], interval_ms=0)
        mark = (await talk.next_of("snapshot"))["data"]
        await talk.ask("subscribe", channel="totals", keys=["main"], interval_ms=0)
        totals = (await talk.next_of("snapshot"))["data"]
        made.marks.put(MARK, 2, mark_body("101"))
        delta = await talk.next_of("delta")

    assert (MARK, "100") == (mark["market"], mark["mark"])
    assert ("main", "-12.5", "1000") == (totals["deployment"], totals["upnl"], totals["notional"])
    assert {"mark": "101"} == delta["data"]


async def test_changes_within_the_interval_are_conflated_and_prev_is_what_was_sent_last() -> None:
    made = tables()
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=300)
        await talk.next_of("snapshot")
        for version in range(2, 30):
            made.valuations.put(KEY, version, valuation_body(upnl=e18(str(version))))
        delta = await talk.message()
        assert await talk.nothing_for(0.1)

    assert ([1, 1], [1, 29], {"upnl": "29"}) == (delta["prev"], delta["seq"], delta["data"])


async def test_what_must_not_wait_does_not() -> None:
    made = tables()
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=60_000)
        await talk.next_of("snapshot")
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("1")))
        made.valuations.put(KEY, 3, valuation_body(liquidatable=True))
        delta = await talk.message()

    assert ([1, 3], True) == (delta["seq"], delta["data"]["liquidatable"])


async def test_the_same_key_again_has_the_same_number_and_another_interval() -> None:
    made = tables()
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=60_000)
        await talk.next_of("snapshot")
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=0)
        ack = await talk.next_of("ack")
        await talk.next_of("snapshot")
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("1")))
        delta = await talk.message()

    assert (1, 0) == (ack["subs"][0]["sub"], ack["subs"][0]["interval_ms"])
    assert {"upnl": "1"} == delta["data"]


async def test_resuming_what_still_stands_sends_nothing_and_then_the_delta_from_it() -> None:
    made = tables()
    resume = {KEY: {"epoch": 1, "seq": [1, 1]}}
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=0, resume=resume)
        ack = await talk.message()
        assert await talk.nothing_for(0.1)
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))
        delta = await talk.message()

    assert ack["subs"][0]["resumed"]
    assert ("delta", [1, 1], {"upnl": "5"}) == (delta["type"], delta["prev"], delta["data"])


@pytest.mark.parametrize("held", [{"epoch": 2, "seq": [1, 1]}, {"epoch": 1, "seq": [1, 0]}, {"epoch": 1, "seq": []}])
async def test_resuming_anything_else_is_answered_with_a_snapshot(held: dict[str, Any]) -> None:
    async with serving(tables()) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], resume={KEY: held})
        ack, snapshot = await talk.message(), await talk.message()

    assert not ack["subs"][0]["resumed"]
    assert ("snapshot", [1, 1]) == (snapshot["type"], snapshot["seq"])


async def test_resync_is_answered_with_a_snapshot() -> None:
    async with serving(tables()) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY])
        first = await talk.next_of("snapshot")
        await talk.ask("resync", sub=1)

        assert "resync" == (await talk.message())["op"]
        assert first == await talk.message()


async def test_nothing_comes_of_a_subscription_that_was_given_up() -> None:
    made = tables()
    interest = FakeInterest()
    async with serving(made, interest=interest) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=0)
        await talk.next_of("snapshot")
        assert {KEY.encode()} == interest.watched
        await talk.ask("unsubscribe", subs=[1])
        await talk.next_of("ack")
        made.valuations.put(KEY, 2, valuation_body(upnl=e18("5")))

        assert await talk.nothing_for(0.1)
        assert set() == interest.watched


async def test_an_account_is_of_interest_while_any_channel_of_it_is_watched() -> None:
    interest = FakeInterest()
    async with serving(tables(), interest=interest) as client:
        async with talking(client) as talk:
            for channel in ("account", "valuations"):
                await talk.ask("subscribe", channel=channel, keys=[KEY])
                await talk.next_of("snapshot")
            await talk.ask("unsubscribe", subs=[1])
            await talk.next_of("ack")
            assert {KEY.encode()} == interest.watched
        await eventually(lambda: interest.watched == set())


async def test_an_account_without_a_row_is_absent_until_it_has_one() -> None:
    made = FakeTables("main")
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY], interval_ms=0)
        snapshot = await talk.next_of("snapshot")
        made.valuations.put(KEY, 1, valuation_body())
        delta = await talk.message()

    assert ([], "absent") == (snapshot["seq"], snapshot["data"]["status"])
    assert ([], [1, 1], "valued") == (delta["prev"], delta["seq"], delta["data"]["status"])


async def test_nothing_is_said_of_tables_that_are_still_being_read_and_all_as_soon_as_they_are() -> None:
    cold = FakeTables("main", ready=False)
    async with serving(cold) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="account", keys=[KEY])
        await talk.ask("subscribe", channel="marks", keys=[MARK])
        assert ["ack", "ack"] == [(await talk.message())["type"] for _ in range(2)]
        assert await talk.nothing_for(0.1)
        cold.become_ready()

        assert {"snapshot"} == {(await talk.message())["type"] for _ in range(2)}


async def test_figures_of_a_deployment_that_became_unsupported_are_withdrawn_at_once_and_come_back() -> None:
    made = tables()
    async with serving(made) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="valuations", keys=[KEY], interval_ms=60_000)
        first = await talk.next_of("snapshot")
        made.deployments.put("main", 2, unsupported_body())
        withdrawn = await talk.message()
        made.follow("main")
        back = await talk.message()

    assert ("unsupported", None) == (withdrawn["data"]["status"], withdrawn["data"]["upnl"])
    assert (withdrawn["seq"], first["seq"]) == (back["prev"], back["seq"])
    assert ("valued", "-12.5") == (back["data"]["status"], back["data"]["upnl"])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"op": "subscribe", "id": 7, "channel": "nonsense", "keys": []}, "bad_channel"),
        ({"op": "subscribe", "id": 7, "channel": "account", "keys": ["main:0x12"]}, "bad_key"),
        ({"op": "subscribe", "id": 7, "channel": "account", "keys": [f"other:{ADDRESS}"]}, "bad_key"),
        ({"op": "subscribe", "id": 7, "channel": "totals", "keys": ["other"]}, "bad_key"),
        ({"op": "subscribe", "id": 7, "channel": "marks", "keys": ["BTC"]}, "bad_key"),
        ({"op": "subscribe", "id": 7, "channel": "marks", "keys": [MARK], "interval_ms": -1}, "bad_message"),
        ({"op": "unsubscribe", "id": 7, "subs": [4]}, "bad_subscription"),
        ({"op": "resync", "id": 7, "sub": 4}, "bad_subscription"),
        ({"op": "nothing", "id": 7}, "bad_message"),
        ({"op": "ping", "id": 7.5}, "bad_message"),
    ],
)
async def test_what_is_refused_is_answered_with_its_id_and_changes_nothing(request_: dict[str, Any], code: str) -> None:
    async with serving(tables()) as client, talking(client) as talk:
        await talk.socket.send_json(request_)
        refused = await talk.message()
        pinged = await talk.ask("ping")

        assert ("error", code) == (refused["type"], refused["code"])
        assert refused.get("id") in (7, None)
        assert {"type": "ack", "id": pinged, "op": "ping"} == await talk.message()


async def test_a_client_of_many_mistakes_is_closed() -> None:
    async with serving(tables()) as client, talking(client) as talk:
        for _ in range(11):
            await talk.socket.send_str("x")
        while (frame := await talk.socket.receive(timeout=20)).type is WSMsgType.TEXT:
            pass

    assert (WSMsgType.CLOSE, 4400) == (frame.type, frame.data)


async def test_messages_beyond_the_rate_are_refused_with_how_long_to_wait_and_then_the_connection() -> None:
    async with serving(tables()) as client, talking(client) as talk:
        for _ in range(30):
            await talk.ask("ping")
        refused = await talk.next_of("error")
        for _ in range(60):
            await talk.ask("ping")
        while (frame := await talk.socket.receive(timeout=20)).type is WSMsgType.TEXT:
            pass

    assert ("too_many_messages", True) == (refused["code"], refused["temporary"])
    assert 0 < refused["retry_after_ms"] <= 101
    assert (WSMsgType.CLOSE, 4429) == (frame.type, frame.data)


async def test_no_more_subscriptions_than_the_limit() -> None:
    keys = [f"main:0x{number:040x}" for number in range(1_025)]
    async with serving(tables()) as client, talking(client) as talk:
        await talk.ask("subscribe", channel="valuations", keys=keys)
        refused = await talk.next_of("error")
        await talk.ask("subscribe", channel="valuations", keys=keys[:-1])
        ack = await talk.next_of("ack")

    assert "too_many_subscriptions" == refused["code"]
    assert 1_024 == len(ack["subs"])


async def test_plain_requests_and_drained_replicas_are_told_so() -> None:
    async with serving(tables()) as client:
        async with client.get("/v1/ws") as response:
            assert 426 == response.status
        async with talking(client) as talk:
            await talk.ask("subscribe", channel="account", keys=[KEY])
            await talk.next_of("snapshot")
            draining = asyncio.create_task(client.app[CONNECTIONS].drain())
            goodbye = await talk.next_of("goodbye")
            frame = await talk.socket.receive(timeout=20)
            await draining
            async with client.get("/v1/ws", headers=HANDSHAKE) as response:
                assert (503, "1") == (response.status, response.headers["Retry-After"])

    assert ("restart", True) == (goodbye["reason"], 0 <= goodbye["reconnect_in_ms"] < 5_000)
    assert (WSMsgType.CLOSE, 1012) == (frame.type, frame.data)


async def test_metrics_tell_subscriptions_messages_and_closes() -> None:
    async with serving(tables()) as client, serving_admin(client.app) as admin:
        async with talking(client) as talk:
            await talk.ask("subscribe", channel="account", keys=[KEY])
            await talk.next_of("snapshot")
            assert 1 == await metric(admin, 'tidemark_api_subscriptions{channel="account"}')
            assert 3 == await metric(admin, "tidemark_api_messages_total")

        async def is_closed() -> bool:
            return await metric(admin, 'tidemark_api_closes_total{code="1000",endpoint="v1-ws"}') == 1

        await eventually(is_closed)
