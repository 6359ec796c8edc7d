"""A walk over every route and channel of every dialect: without a token, with a foreign, a narrow and an ended one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.access.gate import (
    AdminPort,
    AllAccounts,
    Door,
    Filtered,
    Gate,
    InProtocol,
    OneAccount,
    OwnKey,
    Public,
    UndeclaredRoute,
)
from api.app import create_admin_app
from api.dialects.symmio.funding_reader import FundingRecords
from api.http.keys import GATE
from tests.support.api import serving
from tests.support.explaining import explaining
from tests.support.walk import (
    GHOST,
    GHOST_OWNER,
    GHOST_QUOTE,
    MINE,
    NOW_S,
    OF_SUMS,
    OF_THEIRS,
    THEIR_OWNER,
    THEIR_QUOTE,
    THEIRS,
    asks,
    records,
    say_funding,
    token,
    walked_history,
    walked_settings,
    walked_tables,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.walk import Ask

    Client = TestClient[web.Request, web.Application]

# The ghost's, in place of what is theirs, so that answers can be compared to the letter.
TWINS = ((THEIRS[2:], GHOST[2:]), (THEIR_OWNER[2:], GHOST_OWNER[2:]), (str(THEIR_QUOTE), str(GHOST_QUOTE)))
# These say a word of an account and show nothing of it.
SAY_YES_OR_NO = ("/check_in-whitelist", "/add-sub-address-in-whitelist", "/explanation")
FOREIGN, NARROW, WIDE = ("other:*",), (f"main:{MINE}", "other:*"), ("main:*",)


# When it was, and how many requests the client has left: each answer has others.
_OF_THE_MOMENT = {"Date", "RateLimit"}
_PARQUET = b"PAR1"


class Answer(NamedTuple):
    status: int
    headers: frozenset[tuple[str, str]]
    text: str


@asynccontextmanager
async def walked() -> AsyncIterator[Client]:
    charged, clock_ms, history = FundingRecords(), lambda: NOW_S * 1_000, walked_history()
    async with serving(
        walked_tables(),
        walked_settings(),
        records=records(),
        charged=charged,
        clock_ms=clock_ms,
        history=history,
        explanations=explaining(),
    ) as client:
        say_funding(charged)
        yield client


async def answer(client: Client, ask: Ask, bearer: str | None) -> Answer:
    headers = dict(ask.headers) if bearer is None else {**ask.headers, "Authorization": f"Bearer {bearer}"}
    async with client.request(ask.method, ask.path, json=ask.body, headers=headers, allow_redirects=False) as response:
        kept = frozenset((name, value) for name, value in response.headers.items() if name not in _OF_THE_MOMENT)
        # Of a socket that was asked for without a handshake, and of a file, only the status is of interest.
        said = await response.read()
        if said.startswith(_PARQUET):
            said = str(pq.read_table(BytesIO(said)).to_pylist()).encode()
        return Answer(response.status, kept, said.decode().lower())


async def nothing(_request: web.Request) -> web.Response:
    return web.Response()


def of_theirs(client: Client, ticket: str = "none") -> list[Ask]:
    return asks(client.app, THEIRS, THEIR_OWNER, THEIR_QUOTE, ticket)


def of_nobody(client: Client, ticket: str = "none") -> list[Ask]:
    return asks(client.app, GHOST, GHOST_OWNER, GHOST_QUOTE, ticket)


def is_plain(ask: Ask) -> bool:
    """Whether the path is no alias of another one; aliases have the same handler and the same declaration."""
    return "/api" not in ask.canonical and (not ask.canonical.endswith("/") or ask.canonical == "/")


def as_nobodys(text: str) -> str:
    for theirs, nobodys in TWINS:
        text = text.replace(theirs, nobodys)
    return text


@pytest.mark.parametrize("bearer", [None, "no token", token("main:*", expires_s=NOW_S - 60)])
async def test_without_a_good_token_no_route_shows_anything(bearer: str | None) -> None:
    ended_ticket = token("main:*", iat=NOW_S - 600, expires_s=NOW_S - 60, use="path")
    async with walked() as client:
        for ask in of_theirs(client, ticket=ended_ticket):
            found = await answer(client, ask, None if "{ticket}" in ask.canonical else bearer)
            match ask.reads:
                case OwnKey():
                    pass
                case Public() | InProtocol() if bearer is None:
                    assert 401 != found.status, ask
                case _:
                    assert found.status in {401, 429}, ask
            said = as_nobodys_in_path(ask, found)
            assert not [secret for secret in (*OF_THEIRS, *OF_SUMS) if secret in said], ask


def as_nobodys_in_path(ask: Ask, found: Answer) -> str:
    """The text without the path, which errors repeat."""
    return found.text.replace(ask.path.partition("?")[0].lower(), "")


@pytest.mark.parametrize("accounts", [FOREIGN, NARROW])
async def test_who_may_not_read_an_account_is_answered_as_if_it_did_not_exist_on_every_route(
    accounts: tuple[str, ...],
) -> None:
    bearer, ticket = token(*accounts), token(*accounts, iat=NOW_S, use="path")
    async with walked() as client:
        for theirs, nobodys in zip(of_theirs(client, ticket), of_nobody(client, ticket), strict=True):
            if is_plain(theirs):
                by = None if "{ticket}" in theirs.canonical else bearer
                shown, absent = await answer(client, theirs, by), await answer(client, nobodys, by)
                assert absent == shown._replace(text=as_nobodys(shown.text)), theirs
                said = as_nobodys(as_nobodys_in_path(theirs, shown))
                assert not [secret for secret in (*OF_THEIRS, *OF_SUMS) if secret in said], theirs


async def test_the_walk_finds_what_it_looks_for_behind_every_door_that_reads_accounts() -> None:
    bearer, ticket = token(*WIDE), token(*WIDE, iat=NOW_S, use="path")
    telling: dict[str, bool] = {}
    async with walked() as client:
        for ask in of_theirs(client, ticket):
            is_socket = ask.canonical.removesuffix("{slash}").endswith(("-ws", "-ws3"))
            is_word = any(word in ask.canonical for word in SAY_YES_OR_NO)
            reads_accounts = isinstance(ask.reads, OneAccount | AllAccounts | Filtered)
            if not reads_accounts or is_socket or is_word or not is_plain(ask) or "/other" in ask.canonical:
                continue
            found = await answer(client, ask, None if "{ticket}" in ask.canonical else bearer)
            tells = any(secret in found.text for secret in (*OF_THEIRS[2:], *OF_SUMS))
            telling[ask.canonical] = telling.get(ask.canonical, False) or tells or ask.method == "HEAD"

    assert [] == [canonical for canonical, tells in telling.items() if not tells]
    assert 20 < len(telling)


async def test_an_application_with_a_route_that_says_not_what_it_reads_does_not_start() -> None:
    async with walked() as client:
        gate = client.app[GATE]
    app = web.Application(middlewares=[gate.middleware])
    app.add_routes([web.get("/forgotten", nothing)])
    app.on_startup.append(gate.expect_declared)

    with pytest.raises(UndeclaredRoute, match=r"say what it reads, found none of .* /forgotten"):
        await TestServer(app).start_server()


async def test_what_is_for_the_admin_port_cannot_be_mounted_on_the_public_one() -> None:
    async with walked() as client:
        gate: Gate = client.app[GATE]
        with pytest.raises(UndeclaredRoute, match="expected routes of the admin port to be mounted there alone"):
            gate.mount(web.Application(), [Door(web.get("/metrics", nothing), AdminPort())])


async def test_the_admin_port_takes_no_token() -> None:
    async with walked() as client, TestClient(TestServer(create_admin_app(client.app))) as admin:
        for path in ("/healthz", "/metrics"):
            async with admin.get(path) as response:
                assert 200 == response.status
