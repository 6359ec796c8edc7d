"""What docs/websocket.md promises to those who write clients, beside what other tests of the socket pin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import WSMsgType

from api.dialects.native.protocol import MESSAGE_MAX_BYTES
from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.account_rows import alerts_body
from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables, e18, unsupported_body, valuation_body
from tests.support.native import NativeServer
from tests.support.plain_socket import CLOSE, FIN, TEXT, Frame, handshake
from tests.support.rest import MARK, mark_body
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from streams.settings import Settings
    from tests.support.native import Line

    Test = Callable[[FakeTables, Line], Coroutine[Any, Any, None]]

KEYS = [f"main:0x{digit * 40}" for digit in "abc"]
CAPITALS = [f"Main:0x{digit * 40}" for digit in "ABC"]


def tables() -> FakeTables:
    made = FakeTables("main")
    for version, key in enumerate(KEYS, start=1):
        made.valuations.put(key, version, valuation_body())
    return made


def with_server(test: Test, settings: Settings | None = None) -> None:
    async def run() -> None:
        made = tables()
        async with NativeServer(settings or api_settings("main"), made).client() as line:
            await line.heard()
            await test(made, line)

    run_in_no_time(run())


def test_an_ack_has_each_key_once_in_the_order_of_the_request_and_in_the_spelling_that_is_served() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="account", keys=[CAPITALS[2], KEYS[0], KEYS[2], CAPITALS[1], CAPITALS[0]])
        ack = (await line.heard())[0]

        assert [KEYS[2], KEYS[0], KEYS[1]] == [sub["key"] for sub in ack["subs"]]
        assert [1, 2, 3] == [sub["sub"] for sub in ack["subs"]]

    with_server(test)


@pytest.mark.parametrize("asked", [KEYS[0], CAPITALS[0]])
@pytest.mark.parametrize("held", [KEYS[0], CAPITALS[0]])
def test_what_is_held_may_be_spelled_as_the_request_or_as_the_ack_spells_it(asked: str, held: str) -> None:
    async def test(_: FakeTables, line: Line) -> None:
        resume = {held: {"epoch": 1, "seq": [1, 1]}, "x": {"epoch": 1, "seq": []}}
        line.ask("subscribe", channel="account", keys=[asked], resume=resume)
        (ack,) = await line.heard()

        assert ack["subs"][0]["resumed"]

    with_server(test)


def test_a_number_is_not_used_again_and_nothing_comes_of_one_that_was_given_up() -> None:
    async def test(made: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="account", keys=KEYS[:2], interval_ms=0)
        await line.heard()
        line.ask("unsubscribe", subs=[2])
        made.valuations.put(KEYS[1], 9, valuation_body(upnl=e18("5")))
        heard = await line.heard()
        assert ["ack"] == [message["type"] for message in heard if message.get("sub") != 1]
        line.ask("subscribe", channel="account", keys=[KEYS[1], KEYS[0]])
        ack = (await line.heard())[0]

        assert [3, 1] == [sub["sub"] for sub in ack["subs"]]

    with_server(test)


def test_a_second_subscription_to_what_is_watched_is_answered_with_a_snapshot_again() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="account", keys=KEYS[:1])
        await line.heard()
        line.ask("subscribe", channel="account", keys=KEYS[:1], resume={KEYS[0]: {"epoch": 1, "seq": [1, 1]}})
        ack, snapshot = await line.heard()

        assert not ack["subs"][0]["resumed"]
        assert ("snapshot", 1) == (snapshot["type"], snapshot["sub"])

    with_server(test)


def test_after_the_ack_of_a_resync_the_next_word_of_the_subscription_is_a_snapshot_whatever_changes() -> None:
    async def test(made: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="account", keys=KEYS[:1], interval_ms=0)
        await line.heard()
        made.valuations.put(KEYS[0], 2, valuation_body(upnl=e18("2")))
        line.ask("resync", sub=1)
        made.valuations.put(KEYS[0], 3, valuation_body(upnl=e18("3")))
        line.ask("resync", sub=1)
        heard = await line.heard()
        made.valuations.put(KEYS[0], 4, valuation_body(upnl=e18("4")))
        heard += await line.heard()

        after_ack = heard[[message["type"] for message in heard].index("ack") :]
        kinds = [message["type"] for message in after_ack if message.get("sub") == 1]
        assert "snapshot" == kinds[0]
        assert {"snapshot", "delta"} == set(kinds)
        assert [1, 4] == heard[-1]["seq"]

    with_server(test)


def test_every_message_is_answered_once_and_in_order_so_that_one_knows_which_was_one_too_many() -> None:
    limits = ApiLimitSettings(messages_per_s=1, messages_burst=5)
    odd: list[str | bytes] = [
        "no json",
        '{"op":"ping","id":1.5}',
        b"binary",
        '{"op":"dance","id":7}',
        '{"op":"resync","id":8,"sub":9}',
    ]

    async def test(_: FakeTables, line: Line) -> None:
        for said in odd:
            line.say(said)
        pinged = [line.ask("ping") for _ in range(4)]
        answers = [message for message in await line.heard() if message["type"] in {"ack", "error"}]
        codes = [answer.get("code", answer["type"]) for answer in answers]

        # The binary frame is no message, and is not counted as one.
        assert ["bad_message"] * 4 + ["bad_subscription"] + ["ack"] + ["too_many_messages"] * 3 == codes
        assert [None, None, None, 7, 8, pinged[0], None, None, None] == [answer.get("id") for answer in answers]

    with_server(test, api_settings("main", api=ApiSettings(limits=limits)))


def test_deltas_say_no_epoch_and_snapshots_say_that_of_the_connection() -> None:
    async def run() -> None:
        made = tables()
        settings = api_settings("main").model_copy(update={"epoch": 7})
        async with NativeServer(settings, made).client() as line:
            (hello,) = await line.heard()
            held = {KEYS[0]: {"epoch": 6, "seq": [1, 1]}}
            line.ask("subscribe", channel="account", keys=KEYS[:1], interval_ms=0, resume=held)
            ack, snapshot = await line.heard()
            made.valuations.put(KEYS[0], 2, valuation_body(upnl=e18("2")))
            (delta,) = await line.heard()

        assert not ack["subs"][0]["resumed"]
        assert 7 == hello["epoch"] == snapshot["epoch"]
        assert ("delta", False) == (delta["type"], "epoch" in delta)

    run_in_no_time(run())


def test_250_keys_of_the_longest_form_with_what_is_held_of_them_are_one_message() -> None:
    key = "a" * 20 + ":" + "S" * 60
    held = {"epoch": 10**6, "seq": [2**53, 2**53]}
    keys = [f"{number:03}{key}" for number in range(250)]
    message = {"op": "subscribe", "id": 2**53, "channel": "funding", "keys": keys, "resume": dict.fromkeys(keys, held)}

    assert MESSAGE_MAX_BYTES > len(orjson.dumps(message))


def test_one_key_that_is_refused_refuses_the_whole_message() -> None:
    async def test(_: FakeTables, line: Line) -> None:
        line.ask("subscribe", channel="account", keys=[KEYS[0], "main:0x12"])
        (refused,) = await line.heard()
        line.ask("subscribe", channel="account", keys=[KEYS[1]])
        ack = (await line.heard())[0]

        assert ("bad_key", 1) == (refused["code"], ack["subs"][0]["sub"])

    with_server(test)


async def test_the_etag_of_rest_is_made_of_epoch_and_seq() -> None:
    made = tables()
    made.marks.put(MARK, 4, mark_body())
    made.alerts.put(KEYS[0], 5, alerts_body(KEYS[0], (1, 1_745_970_777_000)))
    paths = {
        ("account", KEYS[1]): f"/v1/accounts/{KEYS[1]}",
        ("positions", KEYS[1]): f"/v1/accounts/{KEYS[1]}/positions",
        ("alerts", KEYS[0]): f"/v1/accounts/{KEYS[0]}/alerts",
        ("alerts", KEYS[1]): f"/v1/accounts/{KEYS[1]}/alerts",
        ("position-states", KEYS[1]): f"/v1/accounts/{KEYS[1]}/position-states",
        ("marks", MARK): f"/v1/marks/{MARK}",
    }
    async with serving(made) as client:
        for (channel, key), path in paths.items():
            epoch, seq = await _snapshot(client, channel, key)
            async with client.get(path) as response:
                said = ".".join(map(str, seq)) or "none"
                assert f'"{epoch}-{said}"' == response.headers["ETag"], path
        made.deployments.put("main", 2, unsupported_body())
        epoch, seq = await _snapshot(client, "account", KEYS[1])
        async with client.get(f"/v1/accounts/{KEYS[1]}") as response:
            assert (f'"{epoch}-1.2.unsupported"', [1, 2, -1]) == (response.headers["ETag"], seq)
        for path in ("/v1/totals", "/v1/accounts"):
            async with client.get(path) as response:
                assert "ETag" not in response.headers


async def _snapshot(client: Any, channel: str, key: str) -> tuple[int, list[int]]:  # noqa: ANN401 - aiohttp's client
    async with client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"op": "subscribe", "id": 1, "channel": channel, "keys": [key]})
        while True:
            frame = await socket.receive(timeout=20)
            assert WSMsgType.TEXT == frame.type
            for message in orjson.loads(frame.data):
                if message["type"] == "snapshot":
                    return message["epoch"], message["seq"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (Frame(0x70 | FIN | TEXT, b"{}").encode(), 1002),
        (Frame(FIN | TEXT, b"\xff\xfe").encode(), 1007),
        # What is left of it after the close would have the kernel reset the connection, and the code be lost.
        (Frame(FIN | TEXT, b"x" * (MESSAGE_MAX_BYTES + 1)).encode()[:14], 1009),
    ],
    # Masks are random, and the ids of tests are not to be.
    ids=["reserved", "no-utf8", "too-long"],
)
async def test_what_breaks_the_protocol_of_websockets_is_closed_with_its_codes(sent: bytes, code: int) -> None:
    async with serving(tables()) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(handshake("/v1/ws"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        async with asyncio.timeout(20):
            said = await reader.read()
        writer.close()

    # The close frame is the last one: its head, its code, and a reason in ASCII.
    _, _, close = said.rpartition(bytes((FIN | CLOSE,)))
    assert code == int.from_bytes(close[1:3])
