from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.api import ADDRESS, serving
from tests.support.feed import FakeTables
from tests.support.solver import ELSEWHERE, HERE, solver_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
        self.headers = {"Content-Type": "application/json", "X-Engine": "1", "Set-Cookie": "a=b"}

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@asynccontextmanager
async def engine_at_work() -> AsyncIterator[tuple[Engine, str]]:
    engine, app = Engine(), web.Application()
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
async def test_with_an_engine_requests_and_answers_go_through_unchanged(method: str, path: str) -> None:
    async with engine_at_work() as (engine, upstream):
        settings = solver_settings(main={"solver": {"upstream": upstream}})
        engine.status = 418
        async with serving(FakeTables("main"), settings) as client:
            headers = {"App-Name": "x", "Authorization": "Bearer t", "Content-Type": "application/json"}
            data = None if method == "GET" else b'{"a": 1}'
            async with client.request(method, f"{path}?q=a%26b", headers=headers, data=data) as response:
                answer = response.status, await response.read(), response.headers.get("X-Engine")
                assert "*" == response.headers["Access-Control-Allow-Origin"]
                assert "a=b" == response.headers["Set-Cookie"]

    ((asked_method, asked_path, asked_headers, asked_body),) = engine.asked
    assert (418, b'{"access_token":"t"}', "1") == answer
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


async def test_compressed_answers_and_redirects_are_passed_on_as_they_are() -> None:
    async with engine_at_work() as (engine, upstream):
        engine.status, engine.headers = 302, {"Location": "/elsewhere", "Content-Encoding": "gzip"}
        engine.body = b"\x1f\x8b not really"
        settings = solver_settings(main={"solver": {"upstream": upstream}})
        async with (
            serving(FakeTables("main"), settings) as client,
            client.get("/nonce/x", allow_redirects=False) as response,
        ):
            found = response.status, response.headers["Location"], response.headers["Content-Encoding"]

    assert (302, "/elsewhere", "gzip") == found


async def test_an_engine_that_is_away_is_a_bad_gateway() -> None:
    async with engine_at_work() as (_, upstream):
        pass
    settings = solver_settings(main={"solver": {"upstream": upstream}})
    async with serving(FakeTables("main"), settings) as client, client.post("/login", data=b"{}") as response:
        assert (502, 502) == (response.status, (await response.json())["error_code"])
