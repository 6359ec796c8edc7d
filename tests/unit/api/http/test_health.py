from __future__ import annotations

import re
from pathlib import Path

from api.app import create_app
from api.http.keys import CONNECTIONS, METRICS
from streams.process.clock import SystemClock
from tests.support.api import FakeInterest, api_settings, metric, serving, serving_admin, symmio_that_hears
from tests.support.feed import FakeTables, unsupported_body

METRICS_PAGE = Path(__file__).parents[4] / "docs" / "metrics.md"
NOW_MS = 1_745_970_800_000


async def test_both_ports_say_alive_while_tables_are_cold() -> None:
    async with serving(FakeTables("main", ready=False)) as client, serving_admin(client.app) as admin:
        for port in (client, admin):
            async with port.get("/healthz") as response:
                assert (200, {"status": "alive"}) == (response.status, await response.json())


async def test_not_ready_until_every_feed_is_read_to_its_end() -> None:
    tables = FakeTables("main", ready=False)
    async with serving(tables) as client, serving_admin(client.app) as admin:
        for feed in tables.all_feeds:
            if feed is not tables.watermarks:
                feed.become_ready()
        async with admin.get("/readyz") as response:
            cold = await response.json()
        tables.watermarks.become_ready()
        async with client.get("/readyz") as warm_response:
            warm = await warm_response.json()

    assert (503, False) == (response.status, cold["isReady"])
    assert ["feed of watermarks has not been read to its end yet"] == cold["reasons"]
    assert (200, True, []) == (warm_response.status, warm["isReady"], warm["reasons"])


async def test_not_ready_while_a_feed_is_further_behind_than_the_bound() -> None:
    tables = FakeTables("main")
    tables.valuations.lag_records = 7
    answers = []
    async with serving(tables, clock_ms=lambda: NOW_MS) as client:
        for newest_ms in (NOW_MS - 10_000, NOW_MS - 10_001):
            tables.valuations.newest_ms = newest_ms
            async with client.get("/readyz") as response:
                answers.append((response.status, (await response.json())["reasons"]))

    late = "feed of valuations is 10001 ms behind, expected at most 10000 ms"
    assert [(200, []), (503, [late])] == answers


async def test_a_quiet_feed_that_is_caught_up_is_ready_however_old_its_newest_row() -> None:
    tables = FakeTables("main")
    tables.valuations.newest_ms = 1
    async with serving(tables, clock_ms=lambda: NOW_MS) as client, client.get("/readyz") as response:
        assert 200 == response.status


async def test_an_unsupported_deployment_is_named_and_does_not_stop_the_others() -> None:
    tables = FakeTables("main", "other")
    tables.deployments.put("other", 2, unsupported_body())
    async with (
        serving(tables, api_settings("main", "other")) as client,
        serving_admin(client.app) as admin,
        client.get("/readyz") as response,
    ):
        body = await response.json()
        gauges = [
            await metric(admin, f'tidemark_deployment_unsupported{{deployment="{n}"}}') for n in ("main", "other")
        ]

    assert 200 == response.status
    assert {"other": {"since_block": 110, "reason": "DiamondCut in block 110"}} == body["unsupported_deployments"]
    assert [0, 1] == gauges


async def test_not_ready_once_the_server_goes_away() -> None:
    async with serving(FakeTables("main")) as client, serving_admin(client.app) as admin:
        await client.app[CONNECTIONS].drain()
        async with admin.get("/readyz") as response:
            assert (503, ["the server is going away"]) == (response.status, (await response.json())["reasons"])


async def test_metrics_are_on_the_admin_port_only_and_tell_the_feeds() -> None:
    tables = FakeTables("main")
    tables.marks.lag_records, tables.marks.newest_ms = 3, NOW_MS - 1_500
    async with serving(tables, clock_ms=lambda: NOW_MS) as client, serving_admin(client.app) as admin:
        async with client.get("/metrics") as response:
            assert 404 == response.status

        assert 3 == await metric(admin, 'tidemark_feed_lag_records{table="marks"}')
        assert 1.5 == await metric(admin, 'tidemark_feed_behind_seconds{table="marks"}')
        assert 1 == await metric(admin, 'tidemark_feed_ready{table="marks"}')
        assert 1 == await metric(admin, 'tidemark_feed_rows{table="deployments"}')
        assert 1 == await metric(admin, 'tidemark_api_requests_total{route="none",status="404"}')


async def test_every_metric_of_the_api_is_documented() -> None:
    app = create_app(
        api_settings("main"),
        FakeTables("main").feeds,
        FakeInterest(),
        clock=SystemClock(),
        find_dialect=symmio_that_hears(),
    )
    documented = set(re.findall(r"`((?:tidemark|process)_[a-z_]+)`", METRICS_PAGE.read_text()))
    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in app[METRICS].registry.collect()
    }

    assert set() == exported - documented
