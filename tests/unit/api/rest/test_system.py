"""Sums and status, and what holds for every path of /v1."""

from __future__ import annotations

import gzip

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.http.problems import KINDS, errors_as_problems
from api.tables.deployment_totals import Totals
from tests.support.api import api_settings, serving
from tests.support.contract import asyncapi, openapi, validate_problem
from tests.support.feed import FakeTables, unsupported_body, valuation_body
from tests.support.rest import MARK, NOW_MS, TABLE_PATHS, account_key, filled_tables, get, mark_body

PATHS = (*TABLE_PATHS, "/v1/status")


async def test_totals_are_those_of_each_deployment() -> None:
    tables = filled_tables()
    async with serving(tables, api_settings("main", "other")) as client:
        every = await get(client, "/v1/totals")
        one = await get(client, "/v1/totals?deployment=other")

    assert [Totals(tables.feeds).of("main"), {"deployment": "other"}] == every.body["items"]
    assert [{"deployment": "other"}] == one.body["items"]


async def test_a_row_of_the_sums_that_cannot_be_read_makes_them_unknown() -> None:
    tables = filled_tables()
    tables.subtotals.put("hedger:main:0x0:1", 1, {})
    async with serving(tables) as client:
        items = (await get(client, "/v1/totals")).body["items"]

    assert [{"deployment": "main", "status": "unreadable"}] == items


async def test_status_tells_how_far_everything_is() -> None:
    tables = FakeTables("main", "behind")
    tables.valuations.put(account_key(0), 1, valuation_body())
    tables.marks.put(MARK, 1, mark_body())
    tables.marks.put("late:X", 1, mark_body(received_ms=NOW_MS - 30_000))
    tables.marks.put("gone:X", 1, mark_body(received_ms=NOW_MS - 90_000))
    tables.marks.lag_records, tables.marks.newest_ms = 4, NOW_MS - 250
    tables.deployments.put("main", 2, unsupported_body())
    tables.fold("behind", 1, head=118)
    async with serving(tables, api_settings("main", "behind", "new")) as client:
        body = (await get(client, "/v1/status")).body

    head = {"head": 120, "head_time": "2025-04-29T23:51:40.000Z", "head_time_ns": "1745970700000000000", "final": 56}
    gap = {"unsupported_since": 110, "unsupported_reason": "DiamondCut in block 110"}
    assert {
        "main": {"status": "unsupported", **head, "folded_head": 120, **gap},
        "behind": {"status": "followed", **head, "folded_head": 118},
        "new": {"status": "unknown"},
    } == body["deployments"]
    assert {"is_ready": True, "rows": 3, "lag_records": 4, "behind_ms": 250} == body["feeds"]["marks"]
    assert {
        "binance-futures": {"state": "live", "age_ms": 1_000},
        "gone": {"state": "silent", "age_ms": 90_000},
        "late": {"state": "stale", "age_ms": 30_000},
    } == body["sources"]
    assert ("2025-04-29T23:53:20.000Z", f"{NOW_MS}000000", 1, True, []) == tuple(
        body[name] for name in ("server_time", "server_time_ns", "epoch", "is_ready", "reasons")
    )


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"clock_ahead_ms": 0, "event_ms": NOW_MS - 16_000}, "stale"),
        ({"clock_ahead_ms": -15_000, "event_ms": NOW_MS - 16_000}, "live"),
        ({"clock_ahead_ms": 20_000, "event_ms": NOW_MS + 19_000}, "live"),
        ({"clock_ahead_ms": 20_000, "event_ms": NOW_MS + 13_999}, "stale"),
    ],
)
async def test_status_tells_how_late_a_source_is_and_how_far_its_clock_is_off(
    changes: dict[str, int], state: str
) -> None:
    tables = FakeTables("main")
    tables.marks.put(MARK, 1, mark_body(**changes, max_late_ms=5_000))
    async with serving(tables) as client:
        body = (await get(client, "/v1/status")).body

    late_ms = NOW_MS - 1_000 - changes["event_ms"] + changes["clock_ahead_ms"]
    assert {
        "state": state,
        "age_ms": 1_000,
        "late_ms": late_ms,
        "clock_ahead_ms": changes["clock_ahead_ms"],
    } == body["sources"]["binance-futures"]


async def test_a_head_is_folded_once_every_partition_said_so() -> None:
    tables = FakeTables("main")
    tables.watermarks.remove("main:3")
    async with serving(tables) as client:
        assert "folded_head" not in (await get(client, "/v1/status")).body["deployments"]["main"]


async def test_status_is_answered_of_cold_tables_too() -> None:
    async with serving(FakeTables(ready=False)) as client:
        answer = await get(client, "/v1/status")

    assert (200, False, {"main": {"status": "unknown"}}) == (
        answer.status,
        answer.body["is_ready"],
        answer.body["deployments"],
    )
    assert "feed of valuations has not been read to its end yet" in answer.body["reasons"]


async def test_a_replica_keeps_its_name_and_another_has_another() -> None:
    names = []
    for _ in range(2):
        async with serving(FakeTables("main")) as client:
            names += [(await get(client, "/v1/status")).body["replica"] for _ in range(2)]

    assert names[0] == names[1] != names[2] == names[3]


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_what_get_does_without_the_body(path: str) -> None:
    async with serving(filled_tables()) as client:
        async with client.get(path) as response:
            got = response.status, response.headers.get("ETag"), response.headers["Content-Length"]
        async with client.head(path) as response:
            assert got == (response.status, response.headers.get("ETag"), response.headers["Content-Length"])
            assert b"" == await response.read()


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/none", "/v1/accounts/", "/v1/accounts/x/none", "/v1/%ff"])
async def test_a_path_that_is_not_there_is_a_problem(path: str) -> None:
    async with serving(filled_tables()) as client, client.get(path) as response:
        body = await response.json(content_type="application/problem+json")

    validate_problem(body)
    assert (404, 404, "about:blank") == (response.status, body["status"], body["type"])


@pytest.mark.parametrize("path", PATHS)
async def test_another_method_is_a_problem_that_says_which_are_allowed(path: str) -> None:
    async with serving(filled_tables()) as client, client.post(path) as response:
        body = await response.json(content_type="application/problem+json")

    validate_problem(body)
    assert (405, "GET,HEAD") == (response.status, response.headers["Allow"])


async def test_paths_beside_v1_keep_their_own_errors() -> None:
    async with serving(filled_tables()) as client, client.get("/v10") as response:
        assert "application/json" == response.content_type


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_it() -> None:
    async def fail(_request: web.Request) -> web.Response:
        msg = "secret"
        raise ZeroDivisionError(msg)

    app = web.Application(middlewares=[errors_as_problems])
    app.add_routes([web.get("/v1/fail", fail)])
    async with TestClient(TestServer(app)) as client, client.get("/v1/fail") as response:
        body = await response.json(content_type="application/problem+json")

    validate_problem(body)
    assert (500, False) == (response.status, "secret" in str(body))


async def test_what_has_begun_to_be_answered_is_not_answered_twice() -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        msg = "secret"
        raise ZeroDivisionError(msg)

    app = web.Application(middlewares=[errors_as_problems])
    app.add_routes([web.get("/v1/fail", fail)])
    async with TestClient(TestServer(app)) as client, client.get("/v1/fail") as response:
        assert b"begun" == await response.content.readany()


@pytest.mark.parametrize(
    ("accepted", "is_gzipped"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("br", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_bodies_of_more_than_a_kilobyte_are_gzipped_where_that_is_taken(
    accepted: str, *, is_gzipped: bool
) -> None:
    tables = filled_tables()
    async with serving(tables) as client:
        async with client.get("/v1/accounts", headers={"Accept-Encoding": "identity"}) as response:
            plain = await response.read()
        async with client.get("/v1/accounts", headers={"Accept-Encoding": accepted}) as response:
            assert plain == await response.read()
            assert is_gzipped == (response.headers.get("Content-Encoding") == "gzip")
            assert "Accept-Encoding" == response.headers["Vary"]


async def test_a_large_body_is_gzipped_too_and_a_small_one_is_not() -> None:
    tables = FakeTables("main")
    for number in range(60):
        tables.valuations.put(account_key(number), 1, valuation_body())
    headers = {"Accept-Encoding": "gzip"}
    async with serving(tables) as client:
        client.session._auto_decompress = False
        async with client.get("/v1/accounts", headers=headers) as response:
            large = await response.read()
        async with client.get("/v1/totals", headers=headers) as response:
            assert "Content-Encoding" not in response.headers

    plain = gzip.decompress(large)
    assert len(plain) > 32_768
    assert 3 * len(large) < len(plain)


@pytest.mark.parametrize("path", [*PATHS, "/v1/none", "/v1/openapi.yaml"])
async def test_pages_of_other_hosts_may_read_answers_and_their_etags(path: str) -> None:
    async with serving(filled_tables()) as client, client.get(path) as response:
        assert ("*", "ETag, RateLimit, RateLimit-Policy, Retry-After") == (
            response.headers["Access-Control-Allow-Origin"],
            response.headers["Access-Control-Expose-Headers"],
        )


async def test_the_documents_are_served_as_they_are_and_not_again() -> None:
    async with serving(FakeTables("main")) as client:
        for path, document in (("/v1/openapi.yaml", openapi()), ("/v1/asyncapi.yaml", asyncapi())):
            async with client.get(path) as response:
                assert (200, "application/yaml") == (response.status, response.content_type)
                assert document == yaml.safe_load(await response.text())
                etag = response.headers["ETag"]
            async with client.get(path, headers={"If-None-Match": etag}) as response:
                assert 304 == response.status


@pytest.mark.parametrize("path", ["/docs", "/docs/websocket", "/docs/problems"])
async def test_pages_of_the_contract_run_nothing_of_other_hosts(path: str) -> None:
    async with serving(FakeTables("main")) as client, client.get(path) as response:
        text = await response.text()

    assert (200, "text/html") == (response.status, response.content_type)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src")
    assert not any(scheme in text for scheme in ("http://", "https://", "src=//", 'src="//'))


async def test_the_websockets_page_names_every_message_and_field() -> None:
    async with serving(FakeTables("main")) as client, client.get("/docs/websocket") as response:
        text = await response.text()

    for name, schema in asyncapi()["components"]["schemas"].items():
        if name not in {"ServerMessage", "ClientMessage"}:
            assert f'id="{name}"' in text
        assert all(f"<code>{field}</code>" in text for field in schema.get("properties", ()))


async def test_the_type_of_a_problem_leads_to_what_it_means() -> None:
    async with serving(FakeTables("main")) as client, client.get("/docs/problems") as response:
        text = await response.text()

    assert all(f'id="{kind.name}"' in text for kind in KINDS)


def test_every_kind_of_problem_has_its_status_in_the_contract() -> None:
    documented = {status for path in openapi()["paths"].values() for status in path["get"]["responses"]}

    assert {str(kind.status.value) for kind in KINDS} <= documented
