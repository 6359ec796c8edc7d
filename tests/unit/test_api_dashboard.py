from __future__ import annotations

import pytest

from api.dashboard.board import Board
from tests.support.api import serving
from tests.support.feed import FakeTables, e18, last_complete, unpriced_body, unsupported_body, valuation_body

NOW_MS = 1_745_970_800_000


@pytest.mark.parametrize("path", ["/", "/dashboard/page.js", "/dashboard/decimal.js", "/dashboard/page.css"])
async def test_the_page_comes_from_the_package_under_a_policy_that_fetches_nothing_from_elsewhere(path: str) -> None:
    async with serving(FakeTables("main")) as client, client.get(path) as response:
        text = await response.text()

    assert 200 == response.status
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "http" not in text.replace("http-equiv", "")


async def test_accounts_are_listed_by_notional_with_exact_figures() -> None:
    tables = FakeTables("main")
    for name, notional in (("a", "5"), ("b", "7.000000000000000001"), ("c", "7")):
        tables.valuations.put(f"main:0x{name * 40}", 1, valuation_body(notional=e18(notional)))
    async with serving(tables) as client, client.get("/accounts?limit=2") as response:
        body = await response.json()

    assert 3 == body["total"]
    assert ["7.000000000000000001", "7"] == [account["notional"] for account in body["accounts"]]
    assert ("main", "0x" + "b" * 40, "valued", "-12.5", 1) == tuple(
        body["accounts"][0][name] for name in ("deployment", "address", "status", "upnl", "positions")
    )


async def test_unknown_figures_are_null_and_the_last_complete_ones_stand_beside_them() -> None:
    tables = FakeTables("main")
    tables.valuations.put("main:0x" + "a" * 40, 1, unpriced_body(last_complete=last_complete()))
    async with serving(tables) as client, client.get("/accounts") as response:
        (account,) = (await response.json())["accounts"]

    assert ("unpriced", None, None) == (account["status"], account["upnl"], account["notional"])
    assert "3.000000000000000001" == account["last_complete"]["upnl"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "99999999999999999999", "1.5"])
async def test_a_limit_out_of_range_is_refused(limit: str) -> None:
    async with serving(FakeTables("main")) as client, client.get("/accounts", params={"limit": limit}) as response:
        assert (400, 400) == (response.status, (await response.json())["error_code"])


async def test_only_rows_that_changed_are_read_again_and_deleted_ones_go() -> None:
    tables = FakeTables("main")
    for number in range(450):
        tables.valuations.put(f"main:{number}", 1, valuation_body())
    board = Board(tables.feeds)
    await board.largest(1)
    before = dict(board._lines)
    tables.valuations.put("main:7", 2, valuation_body(upnl="0"))
    del tables.valuations.rows[b"main:8"]
    await board.largest(1)

    assert {b"main:7", b"main:8"} == {key for key in before if before[key] is not board._lines.get(key)}


async def test_status_tells_deployments_accounts_mark_age_and_lag() -> None:
    tables = FakeTables("main")
    tables.valuations.put("main:0x" + "a" * 40, 1, valuation_body())
    tables.valuations.put("main:0x" + "b" * 40, 1, valuation_body())
    tables.marks.put("binance-futures:BTCUSDT", 1, {"received_ms": NOW_MS - 1_200})
    tables.marks.put("binance-futures:UNUSED", 1, {"received_ms": NOW_MS - 90_000})
    for partition, head in ((0, 120), (1, 118)):
        tables.fold("main", partition, head=head)
    tables.deployments.put("main", 2, unsupported_body())
    tables.marks.lag_records = 4
    async with serving(tables, clock_ms=lambda: NOW_MS) as client, client.get("/status") as response:
        body = await response.json()

    assert {
        "head": 120,
        "head_time_s": 1_745_970_700,
        "final": 56,
        "folded_head": 118,
        "unsupported_since": 110,
        "unsupported_reason": "DiamondCut in block 110",
    } == body["deployments"]["main"]
    assert (2, 1_200, 4) == (body["accounts"], body["oldest_mark_age_ms"], body["feeds"]["marks"]["lag_records"])


async def test_a_head_is_folded_when_every_partition_said_so() -> None:
    tables = FakeTables("main")
    del tables.watermarks.rows[b"main:3"]
    async with serving(tables, clock_ms=lambda: NOW_MS) as client, client.get("/status") as response:
        assert (await response.json())["deployments"]["main"]["folded_head"] is None


async def test_status_of_cold_tables_says_so() -> None:
    async with serving(FakeTables(ready=False)) as client, client.get("/status") as response:
        body = await response.json()

    assert (False, {"main": None}, None) == (body["is_ready"], body["deployments"], body["oldest_mark_age_ms"])
