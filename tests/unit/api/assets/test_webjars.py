from __future__ import annotations

import gzip
import zipfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.assets.webjars import Webjars
from tests.support.api import serving
from tests.support.feed import FakeTables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SCRIPT = b"export const deep = 1;\n"


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """A directory with one webjar, and beside it a file that is nobody's business."""
    directory = tmp_path / "jars"
    directory.mkdir()
    (tmp_path / "secret.js").write_bytes(b"secret")
    with zipfile.ZipFile(directory / "waves-1.2.3.jar", "w") as jar:
        jar.writestr("META-INF/resources/webjars/waves/1.2.3/dist/waves.js", SCRIPT)
        jar.writestr("META-INF/resources/webjars/waves/1.2.3/waves.css", b"p {}")
        jar.writestr("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n")
    return directory


@asynccontextmanager
async def serving_jars(directory: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(Webjars(directory).routes())
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield client


async def test_a_file_is_served_out_of_the_jar(jars: Path) -> None:
    plain = {"Accept-Encoding": "identity"}
    async with (
        serving_jars(jars) as client,
        client.get("/assets/waves/dist/waves.js", headers=plain) as script,
        client.get("/assets/waves/waves.css", headers=plain) as style,
    ):
        assert (200, SCRIPT) == (script.status, await script.read())
        assert script.content_type.endswith("/javascript")
        assert ("text/css", b"p {}") == (style.content_type, await style.read())


async def test_it_is_compressed_for_those_who_take_it(jars: Path) -> None:
    gzipped = {"Accept-Encoding": "gzip, deflate"}
    async with serving_jars(jars) as client, client.get("/assets/waves/dist/waves.js", headers=gzipped) as response:
        assert "gzip" == response.headers["Content-Encoding"]
        assert SCRIPT == gzip.decompress(await response.read())


async def test_a_browser_that_has_it_is_told_so(jars: Path) -> None:
    async with serving_jars(jars) as client:
        async with client.get("/assets/waves/dist/waves.js") as first:
            assert "public, max-age=3600" == first.headers["Cache-Control"]
            etag = first.headers["ETag"]
        async with client.get("/assets/waves/dist/waves.js", headers={"If-None-Match": etag}) as second:
            assert (304, b"", etag) == (second.status, await second.read(), second.headers["ETag"])
        async with client.get("/assets/waves/dist/waves.js", headers={"If-None-Match": '"other"'}) as third:
            assert 200 == third.status


async def test_a_file_is_read_out_of_its_jar_once(jars: Path) -> None:
    async with serving_jars(jars) as client:
        async with client.get("/assets/waves/waves.css") as first:
            assert 200 == first.status
        (jars / "waves-1.2.3.jar").unlink()
        async with client.get("/assets/waves/waves.css") as second:
            assert 200 == second.status


@pytest.mark.parametrize(
    "path",
    [
        "waves/../../secret.js",
        "waves/..%2f..%2fsecret.js",
        "waves/%2e%2e/%2e%2e/secret.js",
        "waves//etc/passwd",
        "waves/dist",
        "waves/dist/",
        "waves/1.2.3/waves.css",
        "waves/META-INF/MANIFEST.MF",
        "..%2fsecret.js/x",
    ],
)
async def test_nothing_but_what_a_jar_lists_is_found(jars: Path, path: str) -> None:
    async with serving_jars(jars) as client, client.get(f"/assets/{path}") as response:
        assert 404 == response.status
        assert b"secret" not in await response.read()


async def test_a_library_that_was_not_fetched_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with serving_jars(tmp_path / "none") as client, client.get("/assets/uplot/dist/uPlot.esm.js") as response:
        assert (404, True) == (response.status, "python -m tidemark.fetch_webjars" in (response.reason or ""))


async def test_a_jar_that_is_cut_off_counts_as_missing(jars: Path) -> None:
    (jars / "cut-1.jar").write_bytes(b"PK\x03\x04")
    async with (
        serving_jars(jars) as client,
        client.get("/assets/waves/waves.css") as whole,
        client.get("/assets/cut/a.js") as cut,
    ):
        assert (200, 404) == (whole.status, cut.status)


@pytest.mark.parametrize("path", ["uplot/dist/uPlot.esm.js", "uplot/dist/uPlot.min.css", "swagger-ui/swagger-ui.css"])
async def test_the_app_serves_the_libraries_that_its_pages_use(path: str) -> None:
    async with serving(FakeTables("main")) as client, client.get(f"/assets/{path}") as response:
        assert (200, "nosniff") == (response.status, response.headers["X-Content-Type-Options"])
