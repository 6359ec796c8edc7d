"""How figures went, over REST: pages of bars, and files of them."""

from __future__ import annotations

import csv
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from api.rest.pages import cursor_after
from models.history import BAR_BYTES_MAX, DAY_S, MINUTE_S
from models.instants import rfc3339
from models.money import E18
from models.served import totals_key
from tests.support.api import serving
from tests.support.feed import FakeTables, valuation_body
from tests.support.history import KeptHistory
from tests.support.rest import NOW_MS, account_key, get

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from aiohttp import web
    from aiohttp.test_utils import TestClient

KEY = account_key(1)
PATH = f"/v1/accounts/{KEY}/history"
MINUTE_MS = MINUTE_S * 1_000
NOW = NOW_MS // MINUTE_MS * MINUTE_MS


@asynccontextmanager
async def kept(history: KeptHistory | None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    async with serving(tables, history=history) as client:
        yield client


def shown(*minutes_ago: int) -> KeptHistory:
    """An account whose uPnL was minus so many minutes, so many minutes ago."""
    history = KeptHistory(lambda: NOW_MS)
    for minutes in sorted(minutes_ago, reverse=True):
        history.show(KEY, NOW - minutes * MINUTE_MS, -minutes, 100)
    return history


def at(minutes_ago: int) -> str:
    return rfc3339(NOW - minutes_ago * MINUTE_MS)


async def test_a_window_is_answered_in_bars_and_says_what_came_before_and_from_when_on_there_is_any() -> None:
    async with kept(shown(9, 5, 3, 1)) as client:
        answer = await get(client, f"{PATH}?step=1m&from={at(5)}&to={at(1)}")

    assert (KEY, "1m") == (answer.body["account"], answer.body["step"])
    assert [at(5), at(3)] == [bar["at"] for bar in answer.body["items"]]
    assert {"open": "-3", "high": "-3", "low": "-3", "close": "-3"} == answer.body["items"][1]["upnl"]
    assert "-9" == answer.body["before"]["upnl"]["close"]
    assert "equity" not in answer.body["items"][0]
    assert answer.body["is_cut"] is False


async def test_the_newest_bars_are_answered_by_default_and_the_one_that_is_open_is_among_them() -> None:
    async with kept(shown(200, 5, 0)) as client:
        answer = await get(client, PATH)

    assert ["-5", "0"] == [bar["upnl"]["close"] for bar in answer.body["items"]]
    assert "-200" == answer.body["before"]["upnl"]["close"]


async def test_pages_go_on_after_one_another_and_end() -> None:
    async with kept(shown(*range(1, 8))) as client:
        path, found = f"{PATH}?from={at(8)}&limit=3", []
        cursor = ""
        while True:
            body = (await get(client, path + cursor)).body
            found += [bar["upnl"]["close"] for bar in body["items"]]
            if "next_cursor" not in body:
                break
            cursor = f"&cursor={body['next_cursor']}"

    assert [str(-minutes) for minutes in range(7, 0, -1)] == found


async def test_who_asks_for_what_is_kept_no_longer_is_told_so() -> None:
    async with kept(shown(60 * 24 * 3, 1)) as client:
        answer = await get(client, f"{PATH}?step=1s&from={rfc3339(NOW_MS - 2 * DAY_S * 1_000)}&limit=1000")
        hours = await get(client, f"{PATH}?step=1h&from={rfc3339(NOW_MS - 4 * DAY_S * 1_000)}")

    assert (True, rfc3339(NOW_MS - DAY_S * 1_000)) == (answer.body["is_cut"], answer.body["held_from"])
    assert ["-1"] == [bar["upnl"]["close"] for bar in answer.body["items"]]
    # It has always been kept, and began later.
    assert hours.body["is_cut"] is True
    assert (DAY_S, DAY_S * BAR_BYTES_MAX) == (answer.body["kept_s"], answer.body["bytes_max"])
    assert not {"kept_s", "bytes_max"} & hours.body.keys()
    assert 2 == len(hours.body["items"])


async def test_totals_have_a_history_of_their_own() -> None:
    history = KeptHistory(lambda: NOW_MS)
    history.show(totals_key("main").decode(), NOW, 12, 300)
    async with kept(history) as client:
        answer = await get(client, "/v1/totals/history?deployment=main&step=1d")
        missing = await get(client, "/v1/totals/history")
        unknown = await get(client, "/v1/totals/history?deployment=other")

    assert "main" == answer.body["deployment"]
    assert ["12"] == [bar["upnl"]["close"] for bar in answer.body["items"]]
    assert (400, 400) == (missing.status, unknown.status)


async def test_a_file_has_all_of_a_window_however_many_pages_that_takes() -> None:
    history = shown(*range(1_500))
    async with kept(history) as client, client.get(f"{PATH}.csv?from={at(1_499)}") as response:
        rows = list(csv.DictReader((await response.text()).splitlines()))
        kind, name = response.content_type, response.headers["Content-Disposition"]

    assert ("text/csv", f'attachment; filename="{KEY.replace(":", "-")}-1m.csv"') == (kind, name)
    assert [str(-minutes) for minutes in range(1_499, 0, -1)] == [row["upnl_close"] for row in rows][:-1]
    assert at(1_499) == rows[0]["at"]
    assert "" == rows[0]["equity_open"]


async def test_a_parquet_file_has_every_bar_to_the_last_digit_in_groups_of_rows_that_are_bounded() -> None:
    history = shown(*range(1_500))
    beyond = 10**21 + 1
    history.show(KEY, NOW - 1_600 * MINUTE_MS, None, beyond)
    path = f"{PATH}.parquet?from={at(1_600)}"
    async with kept(history) as client, client.get(path) as response:
        file = pq.ParquetFile(BytesIO(await response.read()))
        kind, name = response.content_type, response.headers["Content-Disposition"]
    rows = file.read().to_pylist()

    assert ("application/vnd.apache.parquet", f'attachment; filename="{KEY.replace(":", "-")}-1m.parquet"') == (
        kind,
        name,
    )
    assert 1_000 == file.metadata.row_group(0).num_rows
    assert [None, *(Decimal(-minutes) for minutes in range(1_499, -1, -1))] == [row["upnl_close"] for row in rows]
    assert (None, f"{beyond * E18}") == (rows[0]["notional_high"], rows[0]["notional_high_text"])
    assert (Decimal(100), None) == (rows[1]["notional_high"], rows[1]["notional_high_text"])
    assert at(1_600) == rfc3339(int(rows[0]["at"].timestamp() * 1_000))


async def test_totals_are_a_parquet_file_too_and_one_without_bars_has_its_columns() -> None:
    async with kept(KeptHistory(lambda: NOW_MS)) as client:
        async with client.get("/v1/totals/history.parquet?deployment=main") as response:
            table = pq.read_table(BytesIO(await response.read()))
        async with client.head(f"{PATH}.parquet") as head:
            status = head.status

    assert (0, 200) == (table.num_rows, status)
    assert {"at", "upnl_open", "notional_close_text"} <= set(table.column_names)


async def test_a_server_without_pyarrow_says_what_is_missing_and_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with kept(shown(1)) as client:
        answer = await get(client, f"{PATH}.parquet")

    assert 501 == answer.status
    assert "tidemark[analysis]" in answer.body["detail"]


async def test_a_window_that_is_none_and_a_file_that_is_too_long_are_refused() -> None:
    async with kept(shown(1)) as client:
        inverted = await get(client, f"{PATH}?from={at(1)}&to={at(2)}")
        long = await get(client, f"{PATH}.csv?step=1s&from=1970-01-01T00:00:00Z")
        local = await get(client, f"{PATH}?from=2025-04-29T23:52:57")
        strange = await get(client, f"{PATH}?cursor=WyJhIiwxXQ")
        never = await get(client, f"{PATH}?cursor={cursor_after(['history', 2**64 - 1])}")

    assert [400] * 5 == [one.status for one in (inverted, long, local, strange, never)]
    assert "since 1970, such as" in local.body["detail"]


async def test_an_account_that_does_not_exist_has_no_history_and_without_an_answer_it_is_not_known() -> None:
    history = shown(1)
    async with kept(history) as client:
        nobody = await get(client, f"/v1/accounts/{account_key(5)}/history")
        history.is_silent = True
        silent = await get(client, PATH)
        file = await get(client, f"{PATH}.csv")
    async with kept(None) as client:
        alone = await get(client, PATH)

    assert (404, 503, 503, 503) == (nobody.status, silent.status, file.status, alone.status)
