"""Bodies of requests: packed, broken, too large, and sent to where nobody reads them."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

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
PIECE_BYTES = 65_536
READ = ("/ingest/position-states", "/ingest/whitelist", "/notifications/0/50", "/position-state/0/50")
NOT_READ = ("/healthz", "/none", "/v1/accounts", "/", "/v1/ws")


def settings() -> Settings:
    return solver_settings(main={"ingest_key": KEY})


class Unpacked:
    """What anybody unpacks in this process: of each piece its size, and in which turn of the loop it was made."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.turns: list[int] = []
        self._turn = 0

    @asynccontextmanager
    async def counted(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
        make = zlib.decompressobj
        monkeypatch.setattr(zlib, "decompressobj", lambda *given, **named: Counting(make(*given, **named), self))
        turning = asyncio.create_task(self._count_turns())
        yield
        turning.cancel()

    def take(self, piece: bytes) -> bytes:
        self.sizes.append(len(piece))
        self.turns.append(self._turn)
        return piece

    async def _count_turns(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)


class Counting:
    """An unpacker of zlib's, with what it makes counted."""

    def __init__(self, unpacker: Any, unpacked: Unpacked) -> None:  # noqa: ANN401 - zlib does not name the type
        self._unpacker = unpacker
        self._unpacked = unpacked

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        return getattr(self._unpacker, name)

    def decompress(self, *given: Any, **named: Any) -> bytes:  # noqa: ANN401 - as zlib takes it
        return self._unpacked.take(self._unpacker.decompress(*given, **named))


@pytest.mark.parametrize("path", [*READ, *NOT_READ])
async def test_a_bomb_is_unpacked_nowhere(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BOMB) < 200_000
    unpacked = Unpacked()
    async with (
        serving(FakeTables("main"), settings()) as client,
        unpacked.counted(monkeypatch),
        client.post(path, data=BOMB, headers={**HEADERS, "Content-Encoding": "gzip"}) as response,
    ):
        assert (413 if path in READ else 405 if path != "/none" else 404) == response.status
    # Where a body is read it is unpacked until it is too large, a piece in each turn of the loop: others go on.
    assert (BODY_MAX_BYTES // PIECE_BYTES + 1 if path in READ else 0) == len(unpacked.sizes)
    assert all(size <= PIECE_BYTES for size in unpacked.sizes)
    assert len(unpacked.sizes) == len(set(unpacked.turns))


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
