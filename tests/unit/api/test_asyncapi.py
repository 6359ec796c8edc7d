"""What goes over ``/v1/ws`` is what asyncapi.yaml says."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jsonschema
import jwt
import pytest
from pydantic import SecretStr

from api.dialects.native.protocol import (
    INTERVAL_DEFAULT_MS,
    INTERVAL_MAX_MS,
    SUBPROTOCOL,
    Channel,
    Close,
    Code,
    decode_request,
)
from api.tables.price_sources import SourceState
from models.alerts import QUIET, STALE
from streams.settings import AuthSettings, TokenKeySettings
from tests.support.account_rows import alerts_body, engine_body, told_tables
from tests.support.api import api_settings, serving
from tests.support.contract import API, asyncapi, openapi, validate_client_message, validate_server_message
from tests.support.feed import e18, unsupported_body, valuation_body
from tests.support.rest import MARK, NOW_MS, account_key, filled_tables, mark_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

SECRET = "a secret of more than 32 bytes, as it should be"
SCHEMAS = asyncapi()["components"]["schemas"]
CLIENT_MESSAGES: list[dict[str, Any]] = [
    {"op": "auth", "id": 0, "token": "x"},
    {"op": "subscribe", "id": 1, "channel": "marks", "keys": [MARK]},
    {
        "op": "subscribe",
        "id": 2**53 - 1,
        "channel": "account",
        "keys": [account_key(0)],
        "interval_ms": 60_000,
        "resume": {account_key(0): {"epoch": 1, "seq": [9, 41]}},
    },
    {"op": "unsubscribe", "id": 3, "subs": [1, 2]},
    {"op": "resync", "id": 4, "sub": 1},
    {"op": "ping", "id": 5},
]
KEYS = {
    Channel.ACCOUNT: [*(account_key(number) for number in range(6)), account_key(9, "other")],
    Channel.VALUATIONS: [account_key(0), account_key(5)],
    Channel.POSITIONS: [account_key(1), account_key(5), account_key(9, "other")],
    Channel.MARKS: [MARK, "binance-futures:NONE", "broken:X"],
    Channel.TOTALS: ["main", "other"],
    Channel.ALERTS: [*(account_key(number) for number in range(4)), account_key(5), account_key(9, "other")],
    Channel.POSITION_STATES: [*(account_key(number) for number in range(3)), account_key(5), account_key(9, "other")],
    Channel.FUNDING: ["main:BTCUSDT", "main:ETHUSDT", "other:NONE"],
}


class Heard:
    """Reads messages, each of which is of the contract."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self._waiting: list[dict[str, Any]] = []

    async def say(self, **message: object) -> None:
        validate_client_message(message)
        await self.socket.send_json(message)

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """Messages up to the first one of each kind, in that order."""
        heard = []
        for kind in kinds:
            while True:
                message = await self._next()
                heard.append(message)
                if message["type"] == kind:
                    break
        return heard

    async def _next(self) -> dict[str, Any]:
        if not self._waiting:
            frame = json.loads(await self.socket.receive_str(timeout=20))
            assert isinstance(frame, list)
            self._waiting = frame
        message = self._waiting.pop(0)
        validate_server_message(message)
        return message


@asynccontextmanager
async def talking(client: TestClient[web.Request, web.Application]) -> AsyncIterator[Heard]:
    async with client.ws_connect("/v1/ws", protocols=(SUBPROTOCOL,)) as socket:
        heard = Heard(socket)
        await heard.until("hello")
        yield heard


@pytest.mark.parametrize("channel", Channel)
async def test_snapshots_and_deltas_of_every_channel_are_of_the_contract(channel: Channel) -> None:
    tables = told_tables()
    tables.follow("other")
    tables.deployments.put("other", 2, unsupported_body())
    tables.valuations.put(account_key(9, "other"), 1, valuation_body())
    for table in (tables.valuations, tables.alerts, tables.position_states):
        table.put(account_key(5), 1, {})
    tables.marks.put("broken:X", 1, {"received_ms": 0})
    keys, now_ms = KEYS[channel], NOW_MS
    async with (
        serving(tables, api_settings("main", "other"), clock_ms=lambda: now_ms) as client,
        talking(client) as heard,
    ):
        await heard.say(op="subscribe", id=1, channel=channel, keys=keys, interval_ms=0)
        heard_first = await heard.until("ack", *["snapshot"] * len(keys))
        tables.valuations.put(account_key(0), 2, valuation_body(positions=[], owner=None))
        tables.valuations.put(account_key(1), 2, valuation_body(positions=[], owner=None))
        tables.alerts.put(account_key(3), 2, alerts_body(account_key(3), (STALE, NOW_MS), (QUIET, NOW_MS)))
        tables.position_states.put(account_key(0), 2, engine_body({"version": 9, "action_status": "success"}))
        # Rates are worked out anew in the next second.
        now_ms += 1_000
        tables.marks.put(MARK, 2, mark_body(index=None, funding_rate=e18("0.0002")))
        tables.subtotals.put("hedger:main:0x" + "b" * 40 + ":0", 2, _empty_sum())
        heard_then = await heard.until("delta")

    assert len(keys) == sum(message["type"] == "snapshot" for message in heard_first)
    assert "delta" == heard_then[-1]["type"]


@pytest.mark.parametrize("channel", [Channel.ALERTS, Channel.POSITION_STATES])
async def test_an_account_out_of_scope_looks_like_one_without_a_row_whatever_becomes_of_it(channel: Channel) -> None:
    tables, (mine, others, nobodys) = told_tables(), (account_key(number) for number in (0, 1, 77))
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    settings = api_settings("main").model_copy(update={"auth": auth})
    token = jwt.encode({"sub": "desk-1", "exp": NOW_MS // 1000 + 60, "accounts": [mine, nobodys]}, SECRET)
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client, talking(client) as heard:
        await heard.say(op="auth", id=1, token=token)
        await heard.say(op="subscribe", id=2, channel=channel, keys=[mine, others, nobodys], interval_ms=0)
        *_, of_mine, of_others, of_nobodys = await heard.until("ack", "ack", "snapshot", "snapshot", "snapshot")
        tables.alerts.put(others, 2, alerts_body(others, (STALE, NOW_MS)))
        tables.position_states.put(others, 2, engine_body({"id": "new"}))
        await heard.say(op="resync", id=3, sub=of_others["sub"])
        again = await heard.until("ack", "snapshot")

    assert len(of_mine["data"]) > 1
    assert {**of_nobodys, "sub": 0, "data": {"account": others}} == {**of_others, "sub": 0}
    assert ["ack", "snapshot"] == [message["type"] for message in again]
    assert of_others == again[-1]


def _empty_sum() -> dict[str, Any]:
    return {"positions": 0, "unpriced": 0, "upnl": "0", "notional": "0", "as_of_ms": None}


async def test_answers_to_requests_and_to_what_is_none_are_of_the_contract() -> None:
    async with serving(filled_tables()) as client, talking(client) as heard:
        await heard.say(op="subscribe", id=1, channel="totals", keys=["main"])
        await heard.until("ack", "snapshot")
        await heard.say(op="resync", id=2, sub=1)
        await heard.until("ack", "snapshot")
        await heard.say(op="unsubscribe", id=3, subs=[1])
        await heard.say(op="ping", id=4)
        await heard.say(op="auth", id=5, token="x")
        await heard.until("ack", "ack", "ack")
        await heard.say(op="resync", id=6, sub=77)
        await heard.say(op="subscribe", id=7, channel="marks", keys=["nothing"])
        await heard.socket.send_str('{"op":"subscribe","id":8,"channel":"weather","keys":[]}')
        await heard.socket.send_str("no json")
        await heard.until("error", "error", "error", "error")
        for number in range(20):
            await heard.say(op="ping", id=number)
        while "retry_after_ms" not in (await heard.until("error"))[-1]:
            pass


@pytest.mark.parametrize("message", CLIENT_MESSAGES)
def test_what_the_contract_lets_a_client_say_the_server_reads(message: dict[str, Any]) -> None:
    validate_client_message(message)

    assert message["id"] == decode_request(json.dumps(message)).id


@pytest.mark.parametrize(
    "message",
    [
        {"op": "ping"},
        {"op": "ping", "id": -1},
        {"op": "dance", "id": 1},
        {"op": "subscribe", "id": 1, "channel": "marks"},
        {"op": "subscribe", "id": 1, "channel": "marks", "keys": [], "interval_ms": 60_001},
        {"op": "ping", "id": 1, "more": 1},
    ],
)
def test_the_contract_knows_what_no_client_may_say(message: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_client_message(message)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ack", "id": 1, "op": "subscribe"},
        {"type": "snapshot", "sub": 1, "epoch": 1, "seq": [1], "data": {"account": "x"}},
        {"type": "snapshot", "sub": 1, "epoch": 1, "seq": [1], "data": {"deployment": "main", "more": 1}},
        {"type": "delta", "sub": 1, "seq": [1], "data": {}},
        {"type": "news"},
        [],
    ],
)
def test_the_contract_knows_what_no_server_says(message: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_server_message(message)


def test_the_contract_lists_what_the_protocol_knows() -> None:
    interval = SCHEMAS["Subscribe"]["properties"]["interval_ms"]

    assert list(Channel) == SCHEMAS["Channel"]["enum"]
    assert list(Code) == SCHEMAS["Error"]["properties"]["code"]["enum"]
    assert list(SourceState) == openapi()["components"]["schemas"]["SourceState"]["enum"]
    assert (INTERVAL_DEFAULT_MS, INTERVAL_MAX_MS) == (interval["default"], interval["maximum"])
    assert SUBPROTOCOL == SCHEMAS["Hello"]["properties"]["protocol"]["const"]


def test_the_page_and_the_contract_name_every_channel_and_close_code() -> None:
    page = (API.parent / "docs" / "websocket.md").read_text().partition("## Channels")[2]
    contract = asyncapi()["channels"]["socket"]["description"]
    codes = [str(code) for name, code in vars(Close).items() if name.isupper()]
    # It is no code of ours, and clients have to know what to do at it all the same.
    of_proxies = "4403"
    of_the_protocol = ["1001", "1002", "1007", "1008", "1009", "1011", "1012"]

    for text in (page, contract):
        assert sorted(Channel) == sorted(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
        assert sorted([*codes, of_proxies]) == sorted(re.findall(r"\b4[45]\d\d\b", text))
        assert set(of_the_protocol) == set(re.findall(r"\b10(?!00\b|06\b|24\b)\d\d\b", text))
