"""HEAD on the older protocols' paths: what GET would answer, without the body."""

from __future__ import annotations

import pytest

from api.access.gate import OwnKey
from tests.support.api import serving
from tests.support.walk import MINE, NOW_S, asks, records, token, walked_settings, walked_tables

# When it was, and how many requests the client has left: each answer has others.
OF_THE_MOMENT = {"Date", "RateLimit"}
# These wait for a handshake, or change something.
ONLY_GET = ("-ws", "-ws3", "/v1/ws", "/add-sub-address-in-whitelist/{address}/{multi_account}")


async def test_every_path_that_is_read_with_get_answers_head_with_the_same_headers_and_no_body() -> None:
    bearer = {"Authorization": f"Bearer {token('main:*')}"}
    ticket = token("main:*", iat=NOW_S, use="path")
    seen = 0
    async with serving(walked_tables(), walked_settings(), records=records(), clock_ms=lambda: NOW_S * 1_000) as client:
        for ask in asks(client.app, MINE, MINE, 1, ticket):
            if ask.method != "GET" or isinstance(ask.reads, OwnKey):
                continue
            headers = {**ask.headers, **({} if "{ticket}" in ask.canonical else bearer)}
            async with client.get(ask.path, headers=headers, allow_redirects=False) as got:
                await got.read()
            async with client.head(ask.path, headers=headers, allow_redirects=False) as head:
                assert b"" == await head.read()
            if ask.canonical.removesuffix("{slash}").rstrip("/").endswith(ONLY_GET):
                # Where no route takes it, nobody looks at the ticket in the path.
                assert (401 if "{ticket}" in ask.canonical else 405) == head.status, ask
                continue
            seen += 1
            assert got.status == head.status, ask
            # An error names the method.
            others = OF_THE_MOMENT if got.ok else {*OF_THE_MOMENT, "Content-Length"}
            wanted = {name: value for name, value in got.headers.items() if name not in others}
            assert wanted == {name: value for name, value in head.headers.items() if name not in others}, ask

    assert 100 < seen


@pytest.mark.parametrize("path", ["/get_funding_info", "/main/contract-symbols", "/api/error_codes/"])
async def test_head_is_counted_as_get_is(path: str) -> None:
    settings = walked_settings()
    async with serving(walked_tables(), settings, clock_ms=lambda: NOW_S * 1_000) as client:
        async with client.head(path) as refused:
            assert 401 == refused.status
        async with client.head(path, headers={"Authorization": f"Bearer {token('main:*')}"}) as answered:
            assert 200 == answered.status
