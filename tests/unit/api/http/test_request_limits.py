from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import aiohttp
import pytest

from streams.settings import ApiLimitSettings, ApiSettings
from tests.support.api import api_settings, metric, serving, serving_admin
from tests.support.contract import validate_problem
from tests.support.feed import FakeTables

if TYPE_CHECKING:
    from streams.settings import Settings

PATHS = ("/", "/none", "/v1/totals", "/upnl-a", "/contract-symbols", "/main/error_codes", "/v1/ws", "/docs")


def bounded(per_s: int, burst: int, **api: object) -> Settings:
    limits = ApiLimitSettings(requests_per_s=per_s, requests_burst=burst)
    return api_settings("main", api=ApiSettings.model_validate({"drain_s": 0.05, "limits": limits, **api}))


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_is_limited_and_says_what_is_left(path: str) -> None:
    async with serving(FakeTables("main"), bounded(1, 3)) as client:
        left = []
        for _ in range(3):
            async with client.get(path) as response:
                assert 429 != response.status
                assert '"client";q=3;w=3' == response.headers["RateLimit-Policy"]
                (found,) = re.findall(r'^"client";r=([0-9]+);t=[0-9]+$', response.headers["RateLimit"])
                left.append(int(found))
        async with client.get(path) as response:
            body = await response.json(content_type=None)

    assert [2, 1, 0] == left
    assert (429, "1") == (response.status, response.headers["Retry-After"])
    assert response.headers["RateLimit"].startswith('"client";r=0;')
    if path.startswith("/v1"):
        validate_problem(body)
    else:
        assert 429 == body["error_code"]


async def test_what_is_left_grows_again() -> None:
    async with serving(FakeTables("main"), bounded(20, 1)) as client:
        statuses = []
        for wait_s in (0, 0, 0.1):
            await asyncio.sleep(wait_s)
            async with client.get("/none") as response:
                statuses.append(response.status)

    assert [404, 429, 404] == statuses


async def test_health_is_always_answered_and_refusals_are_counted() -> None:
    async with serving(FakeTables("main"), bounded(1, 1)) as client:
        for path in ["/none", "/none", *["/healthz", "/readyz", "/main/readyz"] * 3]:
            async with client.get(path) as response:
                assert path == "/none" or 429 != response.status
        async with serving_admin(client.app) as admin:
            assert 1 == await metric(admin, "tidemark_api_limited_requests_total")


async def test_clients_behind_a_trusted_proxy_have_a_limit_each() -> None:
    async with serving(FakeTables("main"), bounded(1, 1, trusted_proxies=["127.0.0.0/8"])) as client:
        statuses = []
        for last in (1, 2, 1):
            async with client.get("/none", headers={"X-Forwarded-For": f"203.0.113.{last}"}) as response:
                statuses.append(response.status)

    assert [404, 404, 429] == statuses


async def test_handshakes_of_sockets_are_limited_too() -> None:
    async with serving(FakeTables("main"), bounded(1, 1)) as client, client.ws_connect("/upnl-ws"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/upnl-ws")

    assert 429 == refused.value.status


async def test_requests_sent_without_waiting_for_answers_end_with_the_first_refusal() -> None:
    async with serving(FakeTables("main"), bounded(1, 3)) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        answers = await reader.read()
        writer.close()

    assert (3, 1) == (answers.count(b"HTTP/1.1 404"), answers.count(b"HTTP/1.1 429"))
