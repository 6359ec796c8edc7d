"""Bodies of requests: packed, broken, too large, and sent to where nobody reads them."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import time
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from api.http.bodies import BODY_MAX_BYTES
from tests.support.api import ADDRESS, FakeRecords, serving
from tests.support.feed import FakeTables
from tests.support.positions import engine_record
from tests.support.solver import solver_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings import Settings

KEY = "a secret of the operator's"
HEADERS = {"Authorization": f"Bearer {KEY}"}
RECORD = orjson.dumps(engine_record(counterparty_address=ADDRESS, version=3))
# 200 MB of spaces, which a body of JSON may begin with.
BOMB = gzip.compress(b" " * 200_000_000, 9)
READ = ("/ingest/position-states", "/ingest/whitelist", "/notifications/0/50", "/position-state/0/50")
NOT_READ = ("/healthz", "/none", "/v1/accounts", "/", "/v1/ws")


def settings() -> Settings:
    return solver_settings(main={"ingest_key": KEY})


@asynccontextmanager
async def loop_stays_free(work_max_s: float = 0.3) -> AsyncIterator[None]:
    """Fail where the loop, which client and server share, works for long before it comes to others."""
    longest_s = 0.0

    async def look() -> None:
        nonlocal longest_s
        while True:
            began_s = time.thread_time()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, time.thread_time() - began_s)

    looking = asyncio.create_task(look())
    yield
    looking.cancel()
    assert longest_s < work_max_s


@pytest.mark.parametrize("path", [*READ, *NOT_READ])
async def test_a_bomb_is_unpacked_nowhere(path: str) -> None:
    assert len(BOMB) < 200_000
    async with (
        serving(FakeTables("main"), settings()) as client,
        loop_stays_free(),
        client.post(path, data=BOMB, headers={**HEADERS, "Content-Encoding": "gzip"}) as response,
    ):
        assert (413 if path in READ else 405 if path != "/none" else 404) == response.status


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_packed_body_is_read_where_a_body_is_wanted(coding: str) -> None:
    packed = gzip.compress(RECORD) if coding == "gzip" else zlib.compress(RECORD)
    async with serving(FakeTables("main"), settings(), records=FakeRecords()) as client:
        headers = {**HEADERS, "Content-Encoding": coding}
        async with client.post("/ingest/position-states", data=packed, headers=headers) as response:
            assert (200, {"taken": 1}) == (response.status, await response.json())


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"not gzip", 400),
        ("gzip", gzip.compress(RECORD)[:-12], 400),
        ("gzip", gzip.compress(RECORD) + b"more", 400),
        ("gzip", b"", 400),
        ("deflate", b"\xff" * 9, 400),
        ("br", RECORD, 415),
        ("gzip, gzip", gzip.compress(RECORD), 415),
        ("identity", b" " * (BODY_MAX_BYTES + 1), 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_in_json_without_a_word_of_our_insides(
    path: str, coding: str, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        serving(FakeTables("main"), settings()) as client,
        client.post(path, data=io.BytesIO(body), headers={**HEADERS, "Content-Encoding": coding}) as response,
    ):
        said = await response.json()

    assert (status, status) == (response.status, said["error_code"])
    assert all(record.levelno <= logging.INFO and record.exc_info is None for record in caplog.records)


async def test_a_chunked_body_is_bounded_too() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 65_536

    async with (
        serving(FakeTables("main"), settings()) as client,
        client.post("/notifications/0/50", data=endless()) as response,
    ):
        assert 413 == response.status


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeTables("main"), settings()) as client:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /notifications/0/50 HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        async with client.get("/healthz") as response:
            assert 200 == response.status

    assert all(record.levelno <= logging.INFO and record.exc_info is None for record in caplog.records)
