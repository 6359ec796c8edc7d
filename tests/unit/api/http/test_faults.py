"""Whatever goes wrong is answered in JSON, and a client's fault is one plain line in the log at most."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.dialects.mounted_dialects import MountedDialects
from api.http.keys import DIALECTS
from api.http.problems import errors_as_problems
from api.http.responses import errors_as_json
from tests.support.api import serving
from tests.support.eventually import eventually
from tests.support.feed import FakeTables

FORGED = "%1b%5b31m%0d%0aERROR%20a%20forged%20line%85%e2%80%a8"


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/" + "a" * 300,
        "/dashboard/" + "a/" * 600,
        "/dashboard/%00",
        "/dashboard/%ff",
        "/assets/x/" + "a" * 300,
        "/error_codes/" + "9" * 6_000,
        "/%00%0a%0d%1b",
        "/notional_cap/%ff%fe",
    ],
)
async def test_odd_paths_are_not_found_in_json(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeTables("main")) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()

    assert 404 == int(head.split()[1])
    assert b"Content-Type: application/json" in head
    assert b"error_message" in body
    assert [] == caplog.records


@pytest.mark.parametrize("path", ["/v1/", "/"])
async def test_a_fault_of_ours_is_500_in_json_and_a_path_cannot_forge_a_line_of_the_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        msg = "secret"
        raise ZeroDivisionError(msg)

    app = web.Application(middlewares=[errors_as_json, errors_as_problems])
    app[DIALECTS] = MountedDialects(())
    app.add_routes([web.get(path + "{name}", fail)])
    async with TestClient(TestServer(app)) as client, client.get(path + FORGED) as response:
        text = await response.text()

    assert (500, True) == (response.status, response.content_type.endswith("json"))
    assert not any(told in text for told in ("secret", "Traceback"))
    (record,) = (record for record in caplog.records if record.name.startswith("api"))
    assert record.getMessage().isprintable()


async def test_a_body_that_goes_wrong_where_nobody_reads_it_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeTables("main")) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"zz\x1b\r\n\r\n")
        await reader.read()
        writer.close()
        await eventually(reader.at_eof)

    assert len(caplog.records) <= 1
    assert all(record.exc_info is None and record.getMessage().isprintable() for record in caplog.records)
