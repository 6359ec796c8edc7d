"""Tokens in requests: where they may stand, who is let in, and what is answered to the others."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.access.addresses import ClientAddresses
from api.access.auth import Guard, TooManyFailures
from api.access.gate import Door, Gate, OneAccount, Public, known_principal_of, principal_of
from api.access.limits import TokenBuckets
from api.access.tokens import ANYONE, Authenticator, NotAuthenticated, TokenKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

SECRET = b"a secret of more than 32 bytes, as it should be"
NOW_S = 1_745_970_800
ACCOUNT, OTHER, MISSING = ("main:0x" + digits * 20 for digits in ("ab", "cd", "ef"))
FAILURES = 3

Client = TestClient[web.Request, web.Application]


def bearer(*accounts: str, key: bytes = SECRET) -> dict[str, str]:
    text = jwt.encode({"sub": "desk-1", "exp": NOW_S + 60, "accounts": list(accounts or [ACCOUNT])}, key)
    return {"Authorization": f"Bearer {text}"}


def guard(*, is_open: bool = False) -> Guard:
    authenticator = None if is_open else Authenticator({"main": TokenKey("HS256", SECRET)}, None, lambda: NOW_S)
    return Guard(authenticator, TokenBuckets(1 / 60, FAILURES), lambda: 0.0)


async def _account(request: web.Request) -> web.Response:
    key = request.match_info["key"]
    if key not in {ACCOUNT, OTHER} or not principal_of(request).may_read(key):
        return web.Response(status=404, text=f"no account {key}")
    return web.Response(text=key)


async def _public(request: web.Request) -> web.Response:
    principal = known_principal_of(request)
    return web.Response(text="nobody" if principal is None else principal.subject)


@asynccontextmanager
async def serving(by: Guard, trusted: Iterable[str] = ()) -> AsyncIterator[Client]:
    gate = Gate(by, ClientAddresses(trusted))
    app = web.Application(middlewares=[gate.middleware])
    named = OneAccount(lambda request: request.match_info["key"])
    gate.mount(
        app, [Door(web.get("/accounts/{key}", _account), named), Door(web.get("/public/{any}", _public), Public())]
    )
    async with TestClient(TestServer(app)) as client:
        yield client


async def answer(client: Client, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    async with client.get(path, headers=headers) as response:
        return response.status, await response.text()


async def test_a_token_opens_the_accounts_of_its_scope() -> None:
    async with serving(guard()) as client:
        assert (200, ACCOUNT) == await answer(client, f"/accounts/{ACCOUNT}", bearer())
        assert (200, OTHER) == await answer(client, f"/accounts/{OTHER}", bearer("main:*"))


async def test_an_account_out_of_scope_is_answered_as_one_that_does_not_exist() -> None:
    async with serving(guard()) as client:
        out_of_scope = await answer(client, f"/accounts/{OTHER}", bearer())
        missing = await answer(client, f"/accounts/{MISSING}", bearer())
        assert missing == (out_of_scope[0], out_of_scope[1].replace(OTHER, MISSING))


async def test_without_a_token_nothing_is_answered_but_what_is_public() -> None:
    async with serving(guard()) as client:
        for path in (f"/accounts/{ACCOUNT}", f"/accounts/{MISSING}", "/nowhere", "/public"):
            async with client.get(path) as response:
                assert 401 == response.status
                assert 'Bearer realm="tidemark"' == response.headers["WWW-Authenticate"]
        assert (200, "nobody") == await answer(client, "/public/x")
        assert (200, "desk-1") == await answer(client, "/public/x", bearer())


@pytest.mark.parametrize("path", [f"/accounts/{ACCOUNT}", "/public/x"])
async def test_a_refused_token_is_401_and_says_why(path: str) -> None:
    async with serving(guard()) as client, client.get(path, headers=bearer(key=b"x" * 32)) as response:
        assert 401 == response.status
        assert 'Bearer realm="tidemark", error="invalid_token"' == response.headers["WWW-Authenticate"]
        assert "the token is not signed with a key that is accepted here" == await response.text()


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dTpw", "Token x", "x"])
async def test_another_form_of_authorization_is_refused(value: str) -> None:
    async with serving(guard()) as client:
        status, text = await answer(client, f"/accounts/{ACCOUNT}", {"Authorization": value})
        assert 401 == status
        assert "expected one header Authorization: Bearer" in text


async def test_the_scheme_is_read_in_any_case() -> None:
    async with serving(guard()) as client:
        value = bearer()["Authorization"].replace("Bearer", "bEARER")
        assert (200, ACCOUNT) == await answer(client, f"/accounts/{ACCOUNT}", {"Authorization": value})


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("name", ["token", "access_token", "jwt", "JWT", "Authorization"])
async def test_a_token_in_a_url_is_refused_whatever_it_is(name: str, *, is_open: bool) -> None:
    async with serving(guard(is_open=is_open)) as client:
        for path in (f"/accounts/{ACCOUNT}?{name}=abc123", f"/public/x?a=1&{name}=", f"/nowhere?{name}"):
            status, text = await answer(client, path, bearer())
            assert 400 == status
            assert "expected no token in the URL" in text
            assert "abc123" not in text


async def test_where_reading_is_open_a_token_changes_nothing() -> None:
    async with serving(guard(is_open=True)) as client:
        for headers in (None, bearer(), {"Authorization": "Basic dTpw"}):
            assert (200, OTHER) == await answer(client, f"/accounts/{OTHER}", headers)
            assert (200, "") == await answer(client, "/public/x", headers)


async def test_too_many_refused_tokens_of_an_address_are_said_to_be_too_many_and_a_good_one_is_let_in() -> None:
    bad, path = bearer(key=b"x" * 32), f"/accounts/{ACCOUNT}"
    async with serving(guard(), trusted=["127.0.0.1"]) as client:
        for _ in range(FAILURES):
            assert 401 == (await answer(client, path, bad))[0]
        async with client.get(path, headers=bad) as response:
            assert 429 == response.status
            assert "60" == response.headers["Retry-After"]
        assert (200, ACCOUNT) == await answer(client, path, bearer())
        assert 401 == (await answer(client, path, bad | {"X-Forwarded-For": "203.0.113.9"}))[0]


def test_a_guard_refuses_tokens_of_a_first_message_alike() -> None:
    by = guard()
    for _ in range(FAILURES):
        with pytest.raises(NotAuthenticated):
            by.authenticate("x", "192.0.2.1")
    with pytest.raises(TooManyFailures) as caught:
        by.authenticate("x", "192.0.2.1")
    assert 60 == caught.value.retry_after_s
    assert ANYONE == guard(is_open=True).authenticate("x", "192.0.2.1")
