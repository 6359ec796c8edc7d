from __future__ import annotations

import re
from pathlib import Path

import pytest

import api.dashboard
from tests.support.api import serving
from tests.support.feed import FakeTables

STATIC = Path(api.dashboard.__file__).parent / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*"))


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{name}" for name in FILES)])
async def test_the_page_comes_from_the_package_and_names_no_other_host(path: str) -> None:
    async with serving(FakeTables("main")) as client, client.get(path) as response:
        text = await response.text()

    assert 200 == response.status
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


async def test_the_page_runs_under_a_policy_without_inline_code_or_style() -> None:
    async with serving(FakeTables("main")) as client, client.get("/") as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert not any(found in text for found in ("<style", "style=", "onclick=", "<script>"))


async def test_the_page_is_shown_while_tables_are_still_read() -> None:
    async with serving(FakeTables(ready=False)) as client, client.get("/") as response:
        assert (200, "text/html") == (response.status, response.content_type)


@pytest.mark.parametrize(
    "path", ["/dashboard/../app.py", "/dashboard/%2e%2e/dashboard_routes.py", "/dashboard//", "/dashboard/x.js"]
)
async def test_nothing_else_of_the_package_is_served(path: str) -> None:
    async with serving(FakeTables("main")) as client, client.get(path) as response:
        assert response.status in {403, 404}


async def test_the_page_is_found_where_its_files_are_with_a_slash_and_without() -> None:
    async with serving(FakeTables("main")) as client:
        async with client.get("/dashboard", allow_redirects=False) as response:
            assert (308, "dashboard/") == (response.status, response.headers["Location"])
        async with client.get("/dashboard") as followed, client.get("/") as page:
            assert "/dashboard/" == followed.url.path
            assert await page.text() == await followed.text()
