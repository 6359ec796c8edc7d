"""Tokens on ``/v1/ws``: who must say who it is and until when, and what is shown to whom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from aiohttp import WSServerHandshakeError

from api.dialects.native.protocol import SUBPROTOCOL, Close
from models.views import absent_account
from streams.settings import ApiSettings, AuthSettings, Settings, TokenKeySettings
from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.native import START_MS, NativeServer
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.native import Line

SECRET = "a secret of more than 32 bytes, as it should be"
START_S = START_MS // 1_000
MINE, OTHERS, NOBODYS = ("main:0x" + digits * 20 for digits in ("ab", "cd", "ef"))
AUTHENTICATE_WITHIN_S = 10.0
HEARTBEAT_S = 5.0


def tokens_settings() -> Settings:
    keys = {"main": TokenKeySettings.model_validate({"algorithm": "HS256", "key": SECRET})}
    return api_settings("main").model_copy(update={"auth": AuthSettings(mode="tokens", keys=keys)})


def token(*accounts: str, holds_s: int = 3_600, subject: str = "desk-1", key: str = SECRET) -> str:
    return jwt.encode({"sub": subject, "exp": START_S + holds_s, "accounts": list(accounts or [MINE])}, key)


def tables() -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(MINE, 1, valuation_body())
    made.valuations.put(OTHERS, 1, valuation_body(upnl=e18("77")))
    sums = {"positions": 1, "unpriced": 0, "as_of_ms": START_MS, "upnl": e18("12.5"), "notional": e18("1000")}
    made.subtotals.put(f"hedger:main:0x{'b' * 40}:0", 1, sums)
    return made


def with_server(
    test: Callable[[NativeServer, FakeTables], Coroutine[Any, Any, None]], settings: Settings | None = None
) -> None:
    """Run a test in virtual time."""

    async def run() -> None:
        made = tables()
        await test(NativeServer(settings or tokens_settings(), made), made)

    run_in_no_time(run())


async def authenticated(line: Line, *accounts: str, **claims: Any) -> dict[str, Any]:  # noqa: ANN401 - as token takes
    line.ask("auth", token=token(*accounts, **claims))
    return (await line.heard())[-1]


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def test_a_client_without_a_token_is_told_that_one_is_required_and_is_answered_nothing_else() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            (hello,) = await line.heard()
            line.ask("subscribe", channel="account", keys=[MINE])
            line.ask("unsubscribe", subs=[1])
            line.ask("resync", sub=1)
            asked = line.ask("ping")
            refused = await line.heard()

        assert "required" == hello["auth"]
        assert ["not_authenticated"] * 4 == [message["code"] for message in refused]
        assert asked == refused[-1]["id"]
        assert [] == server.interest.ever_watched

    with_server(test)


def test_a_token_in_the_first_message_opens_what_it_is_for() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            ack = await authenticated(line, holds_s=60)
            line.ask("subscribe", channel="valuations", keys=[MINE])
            _ack, snapshot = await line.heard()

        assert ("ack", "auth", str((START_S + 60) * 1_000_000_000)) == (ack["type"], ack["op"], ack["expires_ns"])
        assert "-12.5" == snapshot["data"]["upnl"]

    with_server(test)


def test_a_token_in_the_header_needs_no_message() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client(token()) as line:
            (hello,) = await line.heard()
            line.ask("subscribe", channel="valuations", keys=[MINE])
            heard = await line.heard()
            await line.heard(2 * AUTHENTICATE_WITHIN_S)

        assert "done" == hello["auth"]
        assert ["ack", "snapshot"] == kinds(heard)
        assert line.close_code is None

    with_server(test)


def test_who_does_not_authenticate_in_time_is_closed() -> None:
    async def test(server: NativeServer, _tables: FakeTables) -> None:
        async with server.client() as silent, server.client() as late, server.client() as pinging:
            for _ in range(9):
                pinging.ask("ping")
                await late.heard(1)
            assert "ack" == (await authenticated(late))["type"]
            await silent.heard(0.9)
            assert (None, None) == (silent.close_code, pinging.close_code)
            await silent.heard(0.2)
            assert (Close.NOT_AUTHENTICATED, Close.NOT_AUTHENTICATED) == (silent.close_code, pinging.close_code)
            await late.heard(60)
            assert late.close_code is None

    with_server(test)


@pytest.mark.parametrize(
    "bad", ["", "x", token(key="another secret of more than 32 bytes, as it is"), token(holds_s=-60), "\x00é" * 40]
)
def test_a_token_that_is_refused_opens_nothing_is_not_repeated_and_another_may_follow(bad: str) -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            await line.heard()
            asked = line.ask("auth", token=bad)
            line.ask("ping")
            refused, pinged = await line.heard()
            ack = await authenticated(line)

        assert ("error", "not_authenticated", asked) == (refused["type"], refused["code"], refused["id"])
        assert "not_authenticated" == pinged["code"]
        assert not bad or bad == "x" or bad not in refused["message"]
        assert "ack" == ack["type"]

    with_server(test)


def test_tokens_that_are_refused_too_often_are_told_how_long_to_wait_and_a_good_one_is_let_in() -> None:
    async def test(server: NativeServer, _tables: FakeTables) -> None:
        async with server.client() as line:
            for _ in range(12):
                line.ask("auth", token="x")
            last = (await line.heard())[-1]
            ack = await authenticated(line)

        assert ("not_authenticated", True) == (last["code"], last["temporary"])
        assert 0 < last["retry_after_ms"] <= 6_001
        assert "ack" == ack["type"]

    with_server(test)


def test_a_token_that_expires_closes_the_connection_within_a_heartbeat() -> None:
    async def test(server: NativeServer, made: FakeTables) -> None:
        async with server.client() as line:
            await authenticated(line, holds_s=12)
            line.ask("subscribe", channel="valuations", keys=[MINE], interval_ms=0)
            await line.heard(11.9)
            assert line.close_code is None
            last = await line.heard(HEARTBEAT_S)
            made.valuations.put(MINE, 2, valuation_body(upnl=e18("1")))
            after = await line.heard()

        assert Close.NOT_AUTHENTICATED == line.close_code
        assert ["heartbeat", "error"] == kinds(last)
        assert "not_authenticated" == last[-1]["code"]
        assert [] == after
        assert set() == server.interest.watched

    with_server(test)


def test_a_new_token_before_the_old_one_expires_lets_everything_go_on() -> None:
    async def test(server: NativeServer, made: FakeTables) -> None:
        async with server.client() as line:
            await authenticated(line, holds_s=12)
            line.ask("subscribe", channel="valuations", keys=[MINE], interval_ms=0)
            await line.heard(8)
            ack = await authenticated(line, holds_s=100)
            await line.heard(60)
            made.valuations.put(MINE, 2, valuation_body(upnl=e18("1")))
            heard = await line.heard()

        assert "ack" == ack["type"]
        assert ["delta"] == kinds(heard)
        assert [1, 1] == heard[0]["prev"]
        assert line.close_code is None

    with_server(test)


def test_a_token_of_somebody_else_is_refused_and_the_old_one_holds() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            await authenticated(line)
            refused = await authenticated(line, OTHERS, subject="desk-2")
            line.ask("subscribe", channel="valuations", keys=[MINE, OTHERS])
            _ack, mine, others = await line.heard()

        assert "forbidden" == refused["code"]
        assert ("valued", "absent") == (mine["data"]["status"], others["data"]["status"])

    with_server(test)


@pytest.mark.parametrize("channel", ["account", "valuations", "positions", "alerts", "position-states"])
def test_an_account_out_of_scope_looks_like_one_that_is_not_there(channel: str) -> None:
    async def conversation(server: NativeServer, made: FakeTables, key: str) -> str:
        """Everything that is said about ``key`` while a row of another's account changes."""
        async with server.client() as line:
            await authenticated(line, MINE, NOBODYS)
            resume = {key: {"epoch": 1, "seq": [1, 1]}}
            line.ask("subscribe", channel=channel, keys=[key], interval_ms=0, resume=resume)
            heard = await line.heard(5.5)
            made.valuations.put(OTHERS, 2, valuation_body(upnl=e18("78")))
            made.valuations.put(OTHERS, 3, valuation_body(liquidatable=True))
            heard += await line.heard(1)
            line.ask("resync", sub=1)
            heard += await line.heard()
            line.ask("subscribe", channel=channel, keys=[key.upper().replace("MAIN", "main").replace("0X", "0x")])
            heard += await line.heard()
            line.ask("unsubscribe", subs=[1])
            heard += await line.heard()
        said = [message for message in heard if message["type"] != "heartbeat"]
        return json.dumps(said).replace(key, "KEY").replace(key.partition(":")[2], "ADDRESS")

    async def test(server: NativeServer, made: FakeTables) -> None:
        hidden = await conversation(server, made, OTHERS)

        assert hidden == await conversation(server, made, NOBODYS)
        assert OTHERS.encode() not in server.interest.ever_watched

    with_server(test)


def test_totals_of_a_deployment_out_of_scope_look_like_those_of_one_that_is_not_there() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        refusals = []
        async with server.client() as line:
            await authenticated(line, MINE)
            for key in ("main", "nowhere"):
                line.ask("subscribe", channel="totals", keys=[key])
                (refused,) = await line.heard()
                refusals.append(json.dumps({**refused, "id": 0}).replace(key, "KEY"))
            await authenticated(line, "main:*")
            line.ask("subscribe", channel="totals", keys=["main"])
            opened = (await line.heard())[-1]

        assert refusals[0] == refusals[1]
        assert "bad_key" in refusals[0]
        assert "-12.5" == opened["data"]["upnl"]

    with_server(test)


def test_a_wider_token_opens_what_was_hidden() -> None:
    async def test(server: NativeServer, made: FakeTables) -> None:
        async with server.client() as line:
            await authenticated(line, MINE)
            line.ask("subscribe", channel="valuations", keys=[MINE, OTHERS], interval_ms=0)
            await line.heard()
            line.ask("auth", token=token("main:*"))
            heard = await line.heard()
            made.valuations.put(OTHERS, 2, valuation_body(upnl=e18("78")))
            delta = await line.heard()

        assert ["ack", "snapshot"] == kinds(heard)
        assert (2, "77") == (heard[1]["sub"], heard[1]["data"]["upnl"])
        assert ["delta"] == kinds(delta)
        assert {"upnl": "78"} == delta[0]["data"]

    with_server(test)


@pytest.mark.parametrize(("channel", "key"), [("account", OTHERS), ("valuations", OTHERS), ("positions", OTHERS)])
def test_a_narrower_token_hides_what_was_open(channel: str, key: str) -> None:
    async def test(server: NativeServer, made: FakeTables) -> None:
        async with server.client() as line:
            await authenticated(line, "main:*")
            line.ask("subscribe", channel=channel, keys=[key], interval_ms=0)
            await line.heard()
            # It is due already when the token comes.
            made.valuations.put(key, 2, valuation_body(upnl=e18("78"), positions=[]))
            line.ask("auth", token=token(MINE))
            heard = await line.heard()
            made.valuations.put(key, 3, valuation_body(upnl=e18("79"), liquidatable=True))
            after = await line.heard(1)

        # What was due before the token came may have been sent before its ack.
        told = heard[kinds(heard).index("ack") :]
        assert ["ack", "snapshot"] == kinds(told)
        assert absent_account(key) == told[1]["data"]
        assert [] == told[1]["seq"]
        assert [] == after
        assert set() == server.interest.watched

    with_server(test)


def test_a_narrower_token_hides_totals_that_were_open() -> None:
    async def test(server: NativeServer, made: FakeTables) -> None:
        sums = {"positions": 1, "unpriced": 0, "as_of_ms": START_MS, "upnl": e18("1"), "notional": e18("1000")}
        async with server.client() as line:
            await authenticated(line, "main:*")
            line.ask("subscribe", channel="totals", keys=["main"], interval_ms=0)
            await line.heard()
            line.ask("auth", token=token(MINE))
            heard = await line.heard()
            made.subtotals.put(f"hedger:main:0x{'b' * 40}:0", 2, sums)
            after = await line.heard(1)

        assert ["ack", "snapshot"] == kinds(heard)
        assert {"deployment": "main"} == heard[1]["data"]
        assert [] == after

    with_server(test)


def test_where_reading_is_open_a_token_changes_nothing() -> None:
    async def test(server: NativeServer, _: FakeTables) -> None:
        async with server.client() as line:
            (hello,) = await line.heard()
            line.ask("auth", token="whatever")
            line.ask("subscribe", channel="valuations", keys=[OTHERS])
            ack, _ack, snapshot = await line.heard()
            await line.heard(60)

        assert "open" == hello["auth"]
        assert ("ack", False) == (ack["type"], "expires_ns" in ack)
        assert "77" == snapshot["data"]["upnl"]
        assert line.close_code is None

    with_server(test, api_settings("main"))


async def test_a_handshake_may_bear_a_token_in_its_header_and_none_in_its_url() -> None:
    async with serving(tables(), tokens_settings()) as client:
        for headers, auth in (({"Authorization": f"Bearer {token()}"}, "done"), ({}, "required")):
            async with client.ws_connect("/v1/ws", protocols=(SUBPROTOCOL,), headers=headers) as socket:
                (hello,) = await socket.receive_json(timeout=20)
            assert auth == hello["auth"]
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect("/v1/ws", headers={"Authorization": "Bearer x"})
        assert 401 == refused.value.status
        with pytest.raises(WSServerHandshakeError) as in_url:
            await client.ws_connect(f"/v1/ws?token={token()}")
        assert 400 == in_url.value.status


async def test_a_page_of_another_origin_is_refused_before_it_is_asked_for_a_token() -> None:
    api = ApiSettings(drain_s=0.05, allowed_origins=("https://app.example",))
    settings = tokens_settings().model_copy(update={"api": api})
    async with serving(tables(), settings) as client:
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect("/v1/ws", headers={"Origin": "https://evil.example"})
        async with client.ws_connect("/v1/ws", headers={"Origin": "https://app.example"}) as socket:
            (hello,) = await socket.receive_json(timeout=20)
        own = str(client.make_url("/")).rstrip("/")
        async with client.ws_connect("/v1/ws", headers={"Origin": own}) as socket:
            (hello_to_own_page,) = await socket.receive_json(timeout=20)

    assert 403 == refused.value.status
    assert "required" == hello["auth"] == hello_to_own_page["auth"]
