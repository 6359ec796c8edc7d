from __future__ import annotations

import asyncio

import aiohttp
import pytest

from streams.settings import BadSettings, IngestSettings
from tidemark.admin_port import with_admin_port
from tidemark.ports import any_free_port

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    return any_free_port(HOST)


async def test_a_process_is_alive_and_shows_its_metrics_until_it_ends(port: int) -> None:
    answers: dict[str, tuple[int, str]] = {}

    async def process() -> None:
        async with aiohttp.ClientSession() as client:
            for path in ("healthz", "metrics", "other"):
                async with client.get(f"http://{HOST}:{port}/{path}") as answer:
                    answers[path] = answer.status, await answer.text()

    await with_admin_port(IngestSettings(admin_port=port), process())

    assert (200, "ok\n") == answers["healthz"]
    assert 200 == answers["metrics"][0]
    assert "python_info" in answers["metrics"][1]
    assert 404 == answers["other"][0]
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection(HOST, port)


async def test_a_fault_of_the_process_is_passed_on(port: int) -> None:
    async def process() -> None:
        msg = "fault"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="fault"):
        await with_admin_port(IngestSettings(admin_port=port), process())


async def test_a_port_that_is_taken_is_refused_before_the_work_begins(port: int) -> None:
    begun = False

    async def process() -> None:
        nonlocal begun
        begun = True

    taken = await asyncio.start_server(lambda _reader, _writer: None, HOST, port)
    async with taken:
        with pytest.raises(BadSettings, match=f"ingest.admin_port: expected to listen on {HOST}:{port}"):
            await with_admin_port(IngestSettings(admin_port=port), process())
    assert not begun
