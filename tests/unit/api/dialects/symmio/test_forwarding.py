from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer, make_mocked_request

from api.access.addresses import ClientAddresses
from api.dialects.symmio.forwarding import ANSWER_MAX_BYTES, Engines
from tests.support.api import ADDRESS, serving
from tests.support.feed import FakeTables
from tests.support.paused_asker import WAIT_S, expect_cancelled
from tests.support.solver import ELSEWHERE, HERE, solver_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.test_utils import TestClient

LISTS = (
    f"/instant_open/{ADDRESS}",
    f"/instant_close/{ADDRESS}",
    "/instant_open",
    f"/conditional-order/{ADDRESS}",
    "/conditional-orders",
)
TRADING = (
    ("GET", f"/nonce/{ADDRESS}"),
    ("POST", "/login"),
    ("POST", "/instant_open"),
    ("POST", "/instant_close"),
    ("DELETE", f"/instant_close/{ADDRESS}/7"),
    ("POST", "/conditional-order"),
    ("DELETE", "/conditional-order/9"),
)


class Engine:
    """Notes what it is asked, and answers what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 200
        self.body = b'{"access_token":"t"}'
        self.headers = {"Content-Type": "application/json"}
        self.pieces = 0
        self.ends = asyncio.Event()
        self.ends.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        if not self.pieces:
            return web.Response(status=self.status, body=self.body, headers=self.headers)
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        for _ in range(self.pieces):
            await response.write(self.body)
        await self.ends.wait()
        return response


@asynccontextmanager
async def engine_at_work() -> AsyncIterator[tuple[Engine, str]]:
    engine, app = Engine(), web.Application(handler_args={"auto_decompress": False})
    app.router.add_route("*", "/{path:.*}", engine.answer)
    async with TestServer(app) as server:
        yield engine, str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("mount", ["", "/api", "/main"])
async def test_without_an_engine_lists_are_empty(path: str, mount: str) -> None:
    async with serving(FakeTables("main"), solver_settings(main={})) as client, client.get(mount + path) as response:
        assert (200, "[]", "application/json") == (response.status, await response.text(), response.content_type)


@pytest.mark.parametrize(("method", "path"), TRADING)
async def test_without_an_engine_the_rest_is_not_implemented(method: str, path: str) -> None:
    async with (
        serving(FakeTables("main"), solver_settings(main={})) as client,
        client.request(method, path) as response,
    ):
        body = await response.json()

    assert (501, 501, None) == (response.status, body["error_code"], body["error_detail"])


@pytest.mark.parametrize(("method", "path"), [*TRADING, *(("GET", path) for path in LISTS)])
async def test_with_an_engine_requests_and_answers_go_through(method: str, path: str) -> None:
    async with engine_at_work() as (engine, upstream):
        settings = solver_settings(main={"solver": {"upstream": upstream}})
        engine.status = 418
        async with serving(FakeTables("main"), settings) as client:
            headers = {"App-Name": "x", "Authorization": "Bearer t", "Content-Type": "application/json"}
            data = None if method == "GET" else b'{"a": 1}'
            async with client.request(method, f"{path}?q=a%26b", headers=headers, data=data) as response:
                answer = response.status, await response.read(), response.content_type
                assert "*" == response.headers["Access-Control-Allow-Origin"]

    ((asked_method, asked_path, asked_headers, asked_body),) = engine.asked
    assert (418, b'{"access_token":"t"}', "application/json") == answer
    assert (method, f"{path}?q=a%26b", data or b"") == (asked_method, asked_path, asked_body)
    assert headers == {name: asked_headers[name] for name in headers}
    assert upstream.removeprefix("http://") == asked_headers["Host"]


async def test_an_engine_never_sees_what_says_which_deployment_is_meant() -> None:
    async with engine_at_work() as (engine, upstream):
        settings = solver_settings(main={"solver": {"upstream": f"{upstream}/engine/"}, **HERE}, second={})
        async with serving(FakeTables("main", "second"), settings) as client:
            for mount in ("/main", "/main/api", "/api", ""):
                async with client.post(f"{mount}/login") as response:
                    assert 200 == response.status
            async with client.post("/second/login", headers=ELSEWHERE) as response:
                assert 501 == response.status

    assert ["/engine/login"] * 4 == [path for _, path, _, _ in engine.asked]


async def test_compressed_requests_and_answers_are_passed_on_as_they_are() -> None:
    packed = gzip.compress(b'{"a": 1}')
    async with forwarding() as (engine, client):
        engine.headers, engine.body = {"Content-Type": "application/json", "Content-Encoding": "gzip"}, packed
        headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
        async with client.post("/login", data=packed, headers=headers) as response:
            found = response.headers["Content-Encoding"], await response.json()

    ((_, _, asked_headers, asked_body),) = engine.asked
    assert ("gzip", {"a": 1}) == found
    assert ("gzip", packed) == (asked_headers["Content-Encoding"], asked_body)


@asynccontextmanager
async def forwarding(**api: object) -> AsyncIterator[tuple[Engine, TestClient[web.Request, web.Application]]]:
    async with engine_at_work() as (engine, upstream):
        settings = solver_settings(main={"solver": {"upstream": upstream}})
        settings = settings.model_copy(update={"api": settings.api.model_copy(update=api)})
        async with serving(FakeTables("main"), settings) as client:
            yield engine, client


async def raw_status(client: TestClient[web.Request, web.Application], method: str, path: str) -> int:
    """Ask for a path just as it is written, which no client's library normalises."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {client.host}\r\nConnection: close\r\n\r\n".encode())
    head = await reader.read()
    writer.close()
    return int(head.split()[1])


@pytest.mark.parametrize("mount", ["", "/api", "/main"])
@pytest.mark.parametrize(
    "path",
    [
        "/instant_open/../admin/keys",
        "/instant_open/%2e%2e/admin",
        "/instant_open/%2E%2E",
        "/instant_open/..",
        "/instant_open/.",
        "/instant_open/x/../..",
        "/instant_open/..%2fadmin",
        "/instant_open/..%5cadmin",
        "/instant_open/%252e%252e",
        "/instant_open/..;/admin",
        "/instant_open//admin",
        "/instant_open/a%00b",
        "/instant_open/a%0d%0ab",
        "/instant_open/a%3fb",
        "/instant_open/a/b/c",
        "/login/../admin",
        "/login/x",
        "/nonce",
        "/nonce/a/b",
    ],
)
async def test_no_path_leads_to_anything_else_of_the_engine(path: str, mount: str) -> None:
    async with forwarding() as (engine, client):
        for method in ("GET", "POST", "DELETE"):
            assert 404 == await raw_status(client, method, mount + path)

    assert [] == engine.asked


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/instant_open"),
        ("PATCH", "/conditional-order/9"),
        ("TRACE", "/login"),
        ("GET", "/login"),
        ("POST", "/nonce/x"),
        ("DELETE", "/instant_open"),
        ("HEAD", "/nonce/x"),
        ("PROPFIND", "/login"),
    ],
)
async def test_no_other_method_reaches_the_engine(method: str, path: str) -> None:
    async with forwarding() as (engine, client):
        assert 405 == await raw_status(client, method, path)

    assert [] == engine.asked


FROM_A_CLIENT = {
    "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "Cookie": "session=ours",
    "Connection": "keep-alive, X-Secret",
    "X-Secret": "1",
    "Proxy-Connection": "x",
    "TE": "trailers",
}


async def test_an_engine_hears_the_peer_and_nothing_that_a_client_says_of_itself() -> None:
    async with forwarding() as (engine, client), client.post("/login", headers=FROM_A_CLIENT) as response:
        assert 200 == response.status

    ((_, _, headers, _),) = engine.asked
    assert "127.0.0.1" == headers["X-Forwarded-For"]
    assert {*FROM_A_CLIENT} & {*headers} <= {"X-Forwarded-For", "Connection"}
    assert "X-Secret" not in headers.get("Connection", "")


async def test_a_trusted_proxy_is_believed_and_the_peer_added() -> None:
    async with (
        forwarding(trusted_proxies=("127.0.0.0/8",)) as (engine, client),
        client.post("/login", headers=FROM_A_CLIENT) as response,
    ):
        assert 200 == response.status

    ((_, _, headers, _),) = engine.asked
    assert "203.0.113.9, 198.51.100.7, 127.0.0.1" == headers["X-Forwarded-For"]
    assert "evil.example" == headers["X-Forwarded-Host"]


POLICIES = {
    "Content-Type": "application/json",
    "Set-Cookie": "a=b",
    "Content-Security-Policy": "default-src *",
    "Access-Control-Allow-Origin": "https://evil.example",
    "Access-Control-Allow-Credentials": "true",
    "Strict-Transport-Security": "max-age=1",
    "Clear-Site-Data": '"*"',
    "Link": "</x>; rel=preload",
    "Refresh": "0; url=https://evil.example",
    "Service-Worker-Allowed": "/",
    "Cache-Control": "public, max-age=9",
}


async def test_no_cookie_or_policy_of_the_engine_is_set_on_our_origin() -> None:
    async with forwarding() as (engine, client):
        engine.headers = POLICIES
        async with client.post("/login") as response:
            assert {"access_token": "t"} == await response.json()
            passed = {name for name, value in POLICIES.items() if response.headers.get(name) == value}

    assert {"Content-Type"} == passed
    assert "no-store" == response.headers["Cache-Control"]
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Content-Type": "text/html"}),
        (500, {"Content-Type": "text/plain"}),
        (200, {"Content-Type": "image/svg+xml"}),
        (302, {"Content-Type": "application/json", "Location": "https://evil.example"}),
        (200, {}),
    ],
)
async def test_what_is_not_json_is_a_bad_gateway(status: int, headers: dict[str, str]) -> None:
    async with forwarding() as (engine, client):
        engine.status, engine.headers, engine.body = status, headers, b"<script>alert(1)</script>"
        async with client.post("/login", allow_redirects=False) as response:
            text = await response.text()

    assert (502, "application/json") == (response.status, response.content_type)
    assert "script" not in text
    assert "Location" not in response.headers


async def test_an_empty_answer_keeps_its_status() -> None:
    async with forwarding() as (engine, client):
        engine.status, engine.headers, engine.body = 204, {}, b""
        async with client.delete("/instant_close/x/7") as response:
            assert (204, b"") == (response.status, await response.read())


async def test_an_answer_that_is_too_large_is_refused_or_broken_off() -> None:
    async with forwarding() as (engine, client):
        engine.body = b" " * (ANSWER_MAX_BYTES + 1)
        async with client.post("/login") as response:
            assert 502 == response.status
        engine.body, engine.pieces = b" " * 65_536, ANSWER_MAX_BYTES // 65_536 * 3
        with pytest.raises(ClientError):
            async with client.post("/login") as response:
                await response.read()


async def test_an_answer_in_many_pieces_comes_whole() -> None:
    async with forwarding() as (engine, client):
        engine.body, engine.pieces = b"1" * 65_536, 20
        async with client.post("/login") as response:
            assert b"1" * 65_536 * 20 == await response.read()


async def test_an_engine_that_is_away_is_a_bad_gateway() -> None:
    async with engine_at_work() as (_, upstream):
        pass
    settings = solver_settings(main={"solver": {"upstream": upstream}})
    async with serving(FakeTables("main"), settings) as client, client.post("/login", data=b"{}") as response:
        assert (502, 502) == (response.status, (await response.json())["error_code"])


async def test_an_answer_that_begins_and_does_not_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.dialects.symmio.forwarding._WITHIN_S", WAIT_S)
    async with forwarding() as (engine, client):
        engine.body, engine.pieces = b"1", 1
        engine.ends.clear()
        with pytest.raises(ClientError):
            async with client.post("/login") as response:
                await response.read()
        engine.ends.set()


async def test_who_is_cancelled_as_the_wait_for_an_engine_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.dialects.symmio.forwarding._WITHIN_S", WAIT_S)
    engines = Engines(ClientAddresses(()))
    async with asynccontextmanager(engines.opened)(web.Application()):
        await expect_cancelled(lambda url: engines.forward(make_mocked_request("GET", "/nonce/x"), url, "/nonce/x"))
