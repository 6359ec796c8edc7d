"""What sockets of every dialect show to whom, for how long, and by which ways a client may bring its token."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from api.access.credentials import SUBPROTOCOL
from api.dialects.native.protocol import SUBPROTOCOL as NATIVE
from api.dialects.native.protocol import Channel
from streams.settings import BadSettings
from tests.support.api import FakeInterest, serving
from tests.support.legacy import PositionStates, frame
from tests.support.solver import MULTI_ACCOUNT
from tests.support.walk import (
    GHOST,
    MINE,
    NOW_S,
    OF_SUMS,
    OF_THEIRS,
    THEIRS,
    records,
    token,
    walked_settings,
    walked_tables,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

    from tests.support.feed import FakeTables

    Client = TestClient[web.Request, web.Application]

ACCOUNT_SOCKETS = ("/ws/upnl-ws", "/ws/position-state-ws3", "/position-state-ws")
SOCKETS = (*ACCOUNT_SOCKETS, "/ws/funding-rate-ws")
EXPIRED = 4401
NO_ACCOUNTS = {Channel.MARKS, Channel.FUNDING}


def bearer(*accounts: str, **claims: Any) -> dict[str, str]:  # noqa: ANN401 - as token takes
    return {"Authorization": f"Bearer {token(*accounts, **claims)}"}


def walked(
    tables: FakeTables | None = None,
    *,
    clock_ms: Callable[[], int] = lambda: NOW_S * 1_000,
    **changes: Any,  # noqa: ANN401
) -> AbstractAsyncContextManager[Client]:
    return serving(tables or walked_tables(), walked_settings(**changes), records=records(), clock_ms=clock_ms)


async def refused(client: Client, path: str, **handshake: Any) -> int:  # noqa: ANN401 - as ws_connect takes
    with pytest.raises(WSServerHandshakeError) as caught:
        await client.ws_connect(path, **handshake)
    return caught.value.status


async def closed_with(socket: ClientWebSocketResponse) -> int | None:
    """The code of the close, which nothing but data comes before."""
    while (message := await socket.receive(timeout=10)).type is WSMsgType.TEXT:
        pass
    return socket.close_code if message.type is WSMsgType.CLOSE else None


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("headers", [{}, bearer("main:*", expires_s=NOW_S - 60), {"Authorization": "Bearer x"}])
async def test_without_a_good_token_no_socket_opens(path: str, headers: dict[str, str]) -> None:
    async with walked() as client:
        assert 401 == await refused(client, path, headers=headers)


@pytest.mark.parametrize("accounts", [("other:*",), (f"main:{MINE}",)])
async def test_upnl_ws_shows_an_account_out_of_scope_as_nobodys_and_watches_it_not(accounts: tuple[str, ...]) -> None:
    interest = FakeInterest()
    async with (
        serving(walked_tables(), walked_settings(), interest=interest, records=records()) as client,
        client.ws_connect("/ws/upnl-ws", headers=bearer(*accounts)) as socket,
    ):
        shown = []
        for address in (THEIRS, GHOST, THEIRS):
            await socket.send_str(address)
            shown.append(await frame(socket))
        await socket.send_str(MINE)
        mine = await frame(socket)

    assert [{}] * 3 == shown
    assert (f"main:{MINE}" in accounts) == ("-12.5" == mine.get("upnl"))
    assert f"main:{THEIRS}".encode() not in interest.ever_watched


async def test_upnl_ws_is_silent_of_both_while_blocks_are_not_folded() -> None:
    tables = walked_tables()
    async with (
        walked(tables) as client,
        client.ws_connect("/ws/upnl-ws", headers=bearer(f"main:{MINE}")) as socket,
    ):
        tables.fold("main", 5, head=119)
        for address in (THEIRS, GHOST):
            await socket.send_str(address)
        await socket.send_str(MINE)

        assert "-12.5" == (await frame(socket))["upnl"]


@pytest.mark.parametrize("path", ["/ws/position-state-ws3", "/position-state-ws"])
async def test_states_of_accounts_out_of_scope_are_not_pushed(path: str) -> None:
    tables = walked_tables()
    states = PositionStates(tables)
    for address in (MINE, THEIRS):
        states.say(f"main:{address}", {"id": "old"})
    async with (
        walked(tables) as client,
        client.ws_connect(path, headers=bearer(f"main:{MINE}"), autoping=False) as narrow,
        client.ws_connect(path, headers=bearer("main:*"), autoping=False) as wide,
    ):
        for socket in (narrow, wide):
            await socket.send_json({"address": [THEIRS, MINE]})
            # A ping is answered in its turn, after the list has been read.
            await socket.ping()
            assert WSMsgType.PONG == (await socket.receive(timeout=10)).type
        for address, said in ((THEIRS, "their-new"), (MINE, "my-new")):
            states.say(f"main:{address}", {"id": said, "modify_time": NOW_S})
        seen = [[(await frame(socket))["id"] for _ in range(count)] for socket, count in ((narrow, 1), (wide, 2))]

    assert [["my-new"], ["my-new", "their-new"]] == [sorted(ids) for ids in seen]


@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("accounts", [("other:*",), (f"main:{MINE}",), ("main:*",)])
async def test_no_channel_shows_what_is_out_of_scope(channel: Channel, accounts: tuple[str, ...]) -> None:
    keys = (f"main:{THEIRS}", f"main:{GHOST}", "main", "main:BTCUSDT", "binance-futures:BTCUSDT")
    async with walked() as client, client.ws_connect("/v1/ws", headers=bearer(*accounts), protocols=[NATIVE]) as socket:
        for number, key in enumerate(keys, start=1):
            await socket.send_json({"op": "subscribe", "id": number, "channel": channel.value, "keys": [key]})
        await socket.send_json({"op": "ping", "id": 99})
        said = ""
        while '"id":99' not in said:
            said += (await socket.receive(timeout=10)).data
        # Snapshots come with the answers, in the next turn of the loop at the latest.
        await socket.send_json({"op": "ping", "id": 100})
        while '"id":100' not in said:
            said += (await socket.receive(timeout=10)).data

    shown = said.lower().replace(THEIRS, "…")
    is_told = any(secret in shown for secret in (*OF_THEIRS, *OF_SUMS))
    assert ("main:*" in accounts and channel not in NO_ACCOUNTS) == is_told


@pytest.mark.parametrize("path", SOCKETS)
async def test_a_legacy_socket_ends_when_its_token_does(path: str) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    expires_s = NOW_S + 1

    def clock_ms() -> int:
        return expires_s * 1_000 - 100 + round((loop.time() - began_s) * 1_000)

    async with walked(clock_ms=clock_ms) as client:
        began_s = loop.time()
        async with client.ws_connect(path, headers=bearer("main:*", expires_s=expires_s)) as socket:
            await socket.send_str(MINE if "upnl" in path else "[]")
            assert EXPIRED == await closed_with(socket)


async def test_a_socket_does_not_end_before_its_token_where_the_clock_was_set_back() -> None:
    # The server's clock stands still: however long the timer runs, the token has not ended until the clock is set.
    at = {"ms": NOW_S * 1_000}
    async with (
        walked(clock_ms=lambda: at["ms"]) as client,
        client.ws_connect("/ws/upnl-ws", headers=bearer("main:*", expires_s=NOW_S + 1)) as socket,
    ):
        await socket.send_str(MINE)
        for _ in range(8):
            assert "-12.5" == (await frame(socket))["upnl"]
        at["ms"] = (NOW_S + 1) * 1_000

        assert EXPIRED == await closed_with(socket)


@pytest.mark.parametrize("path", [*SOCKETS, "/v1/ws"])
async def test_a_page_brings_its_token_in_a_subprotocol(path: str) -> None:
    own = [NATIVE] if path == "/v1/ws" else []
    offers = [*own, SUBPROTOCOL, f"{SUBPROTOCOL}.{token(f'main:{MINE}')}"]
    async with walked() as client, client.ws_connect(path, protocols=offers) as socket:
        assert (NATIVE if own else SUBPROTOCOL) == socket.protocol
        if path == "/ws/upnl-ws":
            await socket.send_str(MINE)
            assert "-12.5" == (await frame(socket))["upnl"]
        if own:
            assert "done" == (await frame(socket))[0]["auth"]


async def test_other_forms_of_a_token_in_a_subprotocol_are_refused_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = f"{SUBPROTOCOL}.{token('main:*')}", f"{SUBPROTOCOL}.x"
    async with walked() as client:
        for offers in ([good], [SUBPROTOCOL, bad], [SUBPROTOCOL, good, good], [SUBPROTOCOL]):
            assert 401 == await refused(client, "/ws/upnl-ws", protocols=offers)
        both = {"protocols": [SUBPROTOCOL, good], "headers": bearer("main:*")}
        assert 401 == await refused(client, "/ws/upnl-ws", **both)

    assert token("main:*") not in caplog.text


@pytest.mark.parametrize("prefix", ["", "/main"])
async def test_a_ticket_in_the_path_is_enough_for_a_client_that_knows_a_base_address_alone(prefix: str) -> None:
    base = f"/ticket/{token(f'main:{MINE}', iat=NOW_S, use='path')}{prefix}"
    async with walked() as client:
        for address, status in ((MINE, 200), (THEIRS, 404), (GHOST, 404)):
            for slash in ("", "/"):
                async with client.get(f"{base}/partyA_upnl/{address}{slash}") as response:
                    assert status == response.status
        async with client.post(f"{base}/position-state/0/10", json={}) as response:
            assert ["my-state"] == [one["id"] for one in (await response.json())["position_state"]]
        async with client.ws_connect(f"{base}/ws/upnl-ws") as socket:
            for address, upnl in ((MINE, "-12.5"), (THEIRS, None)):
                await socket.send_str(address)
                assert upnl == (await frame(socket)).get("upnl")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"use": "path"},
        {"iat": NOW_S},
        {"use": "path", "iat": NOW_S, "expires_s": NOW_S + 3_601},
        {"use": "path", "iat": NOW_S + 10},
        {"use": "path", "iat": NOW_S - 600, "expires_s": NOW_S - 10},
    ],
)
async def test_what_is_no_ticket_or_holds_too_long_does_not_open_a_path(claims: dict[str, Any]) -> None:
    async with walked() as client, client.get(f"/ticket/{token('main:*', **claims)}/upnl-a?address={MINE}") as response:
        assert 401 == response.status


async def test_a_ticket_opens_nothing_but_legacy_paths() -> None:
    ticket = token("main:*", iat=NOW_S, use="path")
    async with walked() as client:
        for path in (f"/v1/accounts/main:{MINE}", f"/upnl-a?address={MINE}"):
            async with client.get(path, headers={"Authorization": f"Bearer {ticket}"}) as response:
                assert 401 == response.status
        for path in (f"/ticket/{ticket}/v1/accounts", f"/ticket/{ticket}/ingest/whitelist", f"/ticket/{ticket}/nonce"):
            async with client.get(path) as response:
                assert 401 == response.status


async def test_paths_that_the_operator_opens_show_the_accounts_on_the_whitelist_to_everybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables = walked_tables()
    row = tables.valuations.rows[f"main:{THEIRS}".encode()]
    tables.valuations.rows[f"main:{THEIRS}".encode()] = row.replace(f'"{MULTI_ACCOUNT}"'.encode(), b"null")
    opened = ["upnl-ws", "upnl-a", "get_balance_info", "open-interest"]
    with caplog.at_level(logging.WARNING):
        async with walked(tables, open_paths=opened) as client:
            for address, status in ((MINE, 200), (THEIRS, 404), (GHOST, 404)):
                for path in (f"/upnl-a?address={address}", f"/main/api/upnl-a/?address={address}"):
                    async with client.get(path) as response:
                        assert (path, status) == (path, response.status)
                async with client.get(f"/get_balance_info/{address}/{MULTI_ACCOUNT}") as response:
                    assert (status == 200) == bool(await response.json())
            async with client.get("/open-interest") as response:
                assert 200 == response.status
            async with client.ws_connect("/ws/upnl-ws") as socket:
                await socket.send_str(MINE)
                assert "-12.5" == (await frame(socket))["upnl"]
            for path in (f"/partyA_upnl/{MINE}", "/notional_cap/1", "/v1/accounts", f"/other/upnl-a?address={MINE}"):
                async with client.get(path, headers={"Host": "localhost"} if "other" in path else {}) as response:
                    assert (path, 401) == (path, response.status)
            # Who brings a token is shown what it opens, here as everywhere.
            async with client.get(f"/upnl-a?address={MINE}", headers=bearer("other:*")) as response:
                assert 404 == response.status
            async with client.get(f"/upnl-a?address={MINE}", headers={"Authorization": "Bearer x"}) as response:
                assert 401 == response.status

    (said,) = [one.getMessage() for one in caplog.records if "open to everybody" in one.getMessage()]
    assert "deployment=main open_paths=get_balance_info,open-interest,upnl-a,upnl-ws" in said


async def test_an_open_path_that_is_none_or_has_a_key_of_its_own_is_refused_at_start() -> None:
    for path in ("upnl", "/upnl-ws", "ingest", "nonce", "v1"):
        with pytest.raises(BadSettings, match=rf"deployments.main.open_paths: expected some of .*, found {path}"):
            async with walked(open_paths=[path]):
                pass
