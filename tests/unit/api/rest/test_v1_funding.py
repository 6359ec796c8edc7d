from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import serving
from tests.support.feed import FakeFeed, FakeTables
from tests.support.rest import get
from tests.support.solver import NOW_MS, put_instrument, put_mark, put_market, solver_settings

SETTINGS = solver_settings(main={}, other={"funding": {"share": "0.5"}})


def filled() -> FakeTables:
    """A market of both deployments, and one of the first alone."""
    tables = FakeTables("main", "other")
    put_market(tables, 1, "BTCUSDT")
    put_market(tables, 2, "ETHUSDT")
    put_market(tables, 1, "BTCUSDT", of="other")
    for symbol, rate in (("BTCUSDT", "0.0002"), ("ETHUSDT", "-0.0004")):
        put_mark(tables, symbol, "100", rate=rate)
        put_instrument(tables, symbol)
    return tables


async def listed(tables: FakeTables, query: str = "") -> list[dict[str, Any]]:
    async with serving(tables, SETTINGS, clock_ms=lambda: NOW_MS) as client:
        items = (await get(client, f"/v1/funding{query}")).body["items"]
    assert isinstance(items, list)
    return items


async def test_funding_of_a_market_is_what_its_next_epoch_charges() -> None:
    """Half the venue's interval: half its rate; the side that gets it gets three quarters."""
    (item,) = await listed(filled(), "?deployment=main&symbol=BTCUSDT")

    assert {
        "funding": "main:BTCUSDT",
        "deployment": "main",
        "symbol": "BTCUSDT",
        "long_rate": "-0.000100000",
        "short_rate": "0.000075000",
        "epoch_s": 14_400,
        "next": "2025-04-30T00:00:00.000Z",
        "next_ns": "1745971200000000000",
    } == item


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["main:BTCUSDT", "main:ETHUSDT", "other:BTCUSDT"]),
        ("?deployment=other", ["other:BTCUSDT"]),
        ("?symbol=BTCUSDT", ["main:BTCUSDT", "other:BTCUSDT"]),
        ("?symbol=btcusdt", []),
        ("?symbol=ETHUSDT&deployment=other", []),
    ],
)
async def test_funding_comes_by_deployment_and_symbol(query: str, expected: list[str]) -> None:
    assert expected == [item["funding"] for item in await listed(filled(), query)]


async def test_each_deployment_has_terms_of_its_own() -> None:
    items = await listed(filled(), "?symbol=BTCUSDT")

    assert ["0.000075000", "0.000050000"] == [item["short_rate"] for item in items]


async def test_a_market_that_charges_nothing_or_has_no_rate_is_left_out() -> None:
    tables = filled()
    put_market(tables, 1, "BTCUSDT", funding_rate_epoch_duration_s=0)
    put_market(tables, 3, "NORATEUSDT")
    put_mark(tables, "NORATEUSDT", "100")
    put_instrument(tables, "NORATEUSDT")

    assert ["main:ETHUSDT"] == [item["funding"] for item in await listed(tables, "?deployment=main")]


async def test_pages_of_funding_join_to_the_whole() -> None:
    found = []
    async with serving(filled(), SETTINGS, clock_ms=lambda: NOW_MS) as client:
        answer = await get(client, "/v1/funding?limit=2")
        found += answer.body["items"]
        answer = await get(client, f"/v1/funding?limit=2&cursor={answer.body['next_cursor']}")
        found += answer.body["items"]

    assert "next_cursor" not in answer.body
    assert await listed(filled()) == found


async def test_rates_are_worked_out_once_a_second() -> None:
    tables, now_ms = filled(), NOW_MS
    rates = []
    async with serving(tables, SETTINGS, clock_ms=lambda: now_ms) as client:
        for rate, at_ms in (("0.0002", NOW_MS), ("0.0006", NOW_MS + 999), ("0.0006", NOW_MS + 1_000)):
            put_mark(tables, "BTCUSDT", "100", rate=rate)
            now_ms = at_ms
            rates.append((await get(client, "/v1/funding?symbol=BTCUSDT")).body["items"][0]["long_rate"])

    assert ["-0.000100000", "-0.000100000", "-0.000300000"] == rates


@pytest.mark.parametrize("table", ["markets", "marks", "instruments"])
async def test_tables_that_are_still_being_read_are_no_answer(table: str) -> None:
    tables = filled()
    setattr(tables, table, FakeFeed(ready=False))
    async with serving(tables, SETTINGS) as client:
        answer = await get(client, "/v1/funding")

    assert (503, f"table {table} is still being read, try again in some seconds") == (
        answer.status,
        answer.body["detail"],
    )


async def test_a_market_whose_row_cannot_be_read_has_no_funding_and_all_others_do() -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        before = (await get(client, "/v1/funding")).body["items"]
    tables.marks.put("binance-futures:BTCUSDT", 1, {"secret": "1"})
    async with serving(tables, SETTINGS) as client:
        after = (await get(client, "/v1/funding")).body["items"]

    assert [one for one in before if one["symbol"] != "BTCUSDT"] == after != before


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("deployment=nowhere", "deployment"), ("symbol=", "symbol"), ("symbols=A", "symbols"), ("cursor=e30", "cursor")],
)
async def test_parameters_are_read_strictly(query: str, parameter: str) -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/funding?{query}")

    assert (400, parameter) == (answer.status, answer.body["parameter"])
