from __future__ import annotations

from typing import Any

import pytest

from models.views import mark_view, market_view
from streams.settings import ApiSettings, PriceRef, Settings, SymmioSettings
from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables, e18
from tests.support.rest import MARK, NOW_MS, Answer, get, mark_body, market_body

BOOK = "binance-futures-book:BTCUSDT"


async def market(tables: FakeTables, settings: Settings | None = None) -> dict[str, Any]:
    """The only market."""
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        (item,) = (await get(client, "/v1/markets")).body["items"]
    assert isinstance(item, dict)
    return item


async def test_a_mark_is_its_view_and_is_not_sent_again() -> None:
    tables = FakeTables("main")
    tables.marks.put(MARK, 3, mark_body())
    async with serving(tables) as client:
        answer = await get(client, f"/v1/marks/{MARK}")
        again = await get(client, f"/v1/marks/{MARK}", {"If-None-Match": '"1-1.3"'})

    assert (mark_view(MARK, mark_body()), '"1-1.3"') == (answer.body, answer.headers["ETag"])
    assert (304, None) == (again.status, again.body)


@pytest.mark.parametrize("key", ["binance-futures:btcusdt", "x", "%ff", "a:%2F"])
async def test_a_mark_that_never_came_is_not_found(key: str) -> None:
    tables = FakeTables("main")
    tables.marks.put(MARK, 1, mark_body())
    async with serving(tables) as client:
        answer = await get(client, f"/v1/marks/{key}")

    assert (404, "/docs/problems#no-such-mark") == (answer.status, answer.body["type"])


async def test_a_mark_whose_row_cannot_be_read_is_not_known() -> None:
    tables = FakeTables("main")
    tables.marks.put(MARK, 1, {})
    async with serving(tables) as client:
        assert 503 == (await get(client, f"/v1/marks/{MARK}")).status


async def test_marks_come_by_source_and_symbol_in_pages() -> None:
    tables = FakeTables("main")
    for key in (MARK, "other:BTCUSDT", BOOK, "binance-futures:ETHUSDT"):
        tables.marks.put(key, 1, mark_body())
    async with serving(tables) as client:
        first = await get(client, "/v1/marks?limit=3")
        second = await get(client, f"/v1/marks?limit=3&cursor={first.body['next_cursor']}")
        ours = await get(client, "/v1/marks?source=other")

    def keys(answer: Answer) -> list[str]:
        return [item["market"] for item in answer.body["items"]]

    assert [[BOOK, MARK, "binance-futures:ETHUSDT"], ["other:BTCUSDT"], ["other:BTCUSDT"]] == [
        keys(first),
        keys(second),
        keys(ours),
    ]
    assert "next_cursor" not in second.body


async def test_a_market_has_the_mark_that_values_it() -> None:
    tables = FakeTables("main")
    tables.markets.put("main:1", 1, market_body())
    tables.marks.put(BOOK, 1, mark_body(mark=e18("99")))
    tables.marks.put(MARK, 1, mark_body())

    mark = {**mark_view(MARK, mark_body()), "stale": False, "age_ms": 1_000}
    assert {**market_view("main:1", market_body()), "mark": mark} == await market(tables)


@pytest.mark.parametrize(
    ("first_age_ms", "second_age_ms", "used", "stale"),
    [(5_000, 0, MARK, False), (5_001, 0, BOOK, False), (5_001, 5_001, MARK, True), (9_000, 5_001, BOOK, True)],
)
async def test_the_mark_of_a_market_is_the_first_that_is_young_enough_else_the_newest_as_stale(
    first_age_ms: int, second_age_ms: int, used: str, *, stale: bool
) -> None:
    tables = FakeTables("main")
    tables.markets.put("main:1", 1, market_body())
    for key, age_ms in ((MARK, first_age_ms), (BOOK, second_age_ms)):
        tables.marks.put(key, 1, mark_body(received_ms=NOW_MS - age_ms, event_ms=NOW_MS - age_ms))
    mark = (await market(tables))["mark"]

    assert (used, stale) == (mark["market"], mark["stale"])


async def test_the_settings_name_the_prices_of_a_market() -> None:
    refs = (PriceRef(source="other", symbol="XBT", max_age_ms=500),)
    settings = Settings(
        deployments={"main": SymmioSettings(chain_id=1, diamond="0x" + "d" * 40, markets={"BTCUSDT": refs})},
        api=ApiSettings(drain_s=0.05),
    )
    tables = FakeTables("main")
    tables.markets.put("main:1", 1, market_body())
    for key in (MARK, "other:XBT"):
        tables.marks.put(key, 1, mark_body())
    mark = (await market(tables, settings))["mark"]

    assert ("other:XBT", True, 1_000) == (mark["market"], mark["stale"], mark["age_ms"])


@pytest.mark.parametrize("name", ["", "ETHUSDT"])
async def test_a_market_without_a_mark_has_none(name: str) -> None:
    tables = FakeTables("main")
    tables.markets.put("main:1", 1, market_body(name=name))
    tables.marks.put(MARK, 1, mark_body())

    assert "mark" not in await market(tables)


async def test_markets_come_by_deployment_and_number_in_pages() -> None:
    tables = FakeTables("main", "other")
    for key in ("other:1", "main:10", "main:9", "gone:1"):
        tables.markets.put(key, 1, market_body())
    async with serving(tables, api_settings("main", "other")) as client:
        first = await get(client, "/v1/markets?limit=2")
        second = await get(client, f"/v1/markets?limit=2&cursor={first.body['next_cursor']}")
        other = await get(client, "/v1/markets?deployment=other")

    assert [("main", 9), ("main", 10), ("other", 1), ("other", 1)] == [
        (item["deployment"], item["symbol_id"]) for answer in (first, second, other) for item in answer.body["items"]
    ]


@pytest.mark.parametrize("cursor", ["WyJtYXJrZXRzIiwieCJd", "WyJtYXJrcyIsIm1haW46MSJd"])
async def test_a_cursor_of_no_market_is_refused(cursor: str) -> None:
    """The key in the first one is ``x``; the second one is of the list of marks."""
    async with serving(FakeTables("main")) as client:
        assert 400 == (await get(client, f"/v1/markets?cursor={cursor}")).status


async def test_a_market_whose_mark_cannot_be_read_has_none_and_one_whose_own_row_cannot_be_read_is_left_out() -> None:
    tables = FakeTables("main")
    tables.markets.put("main:1", 1, market_body())
    tables.markets.put("main:2", 1, {"secret": "1"})
    tables.marks.put(MARK, 1, {"mark": "1"})

    assert market_view("main:1", market_body()) == await market(tables)
