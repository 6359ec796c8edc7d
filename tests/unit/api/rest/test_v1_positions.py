from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables, empty_account_body, no_account_body, unsupported_body, valuation_body
from tests.support.rest import account_key, get, position_body
from tests.support.views import positions_view

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]


def filled() -> FakeTables:
    """Quotes 2 and 10 of account 0, 5 of account 2, 1 of the same address elsewhere; nothing of account 1."""
    tables = FakeTables("main", "other")
    quotes = [position_body(quote=10, symbol=3), position_body(quote=2)]
    tables.valuations.put(account_key(0), 1, valuation_body(positions=quotes))
    tables.valuations.put(account_key(1), 1, empty_account_body())
    tables.valuations.put(account_key(2), 1, valuation_body(positions=[position_body(quote=5, symbol=3)]))
    tables.valuations.put(account_key(0, "other"), 1, valuation_body())
    return tables


SETTINGS = api_settings("main", "other")
ALL = [(account_key(0), 2), (account_key(0), 10), (account_key(0, "other"), 1), (account_key(2), 5)]


async def listed(client: Client, **query: str | int) -> list[tuple[str, int]]:
    found = []
    cursor: dict[str, str] = {}
    while True:
        answer = await get(client, f"/v1/positions?{urlencode({**query, **cursor})}")
        assert 200 == answer.status
        found += [(item["account"], item["quote_id"]) for item in answer.body["items"]]
        if "next_cursor" not in answer.body:
            return found
        cursor = {"cursor": answer.body["next_cursor"]}


async def test_positions_are_those_of_the_accounts_and_say_whose_they_are() -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/positions?account={account_key(2)}")

    body = valuation_body(positions=[position_body(quote=5, symbol=3)])
    place = {"account": account_key(2), "deployment": "main"}
    item = {**place, **positions_view(account_key(2), body)["positions"]["5"]}
    assert {"items": [item], "unreadable": 0} == answer.body


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 1000])
async def test_positions_come_by_address_and_quote_whatever_the_size_of_a_page(limit: int) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert ALL == await listed(client, limit=limit)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"deployment": "other"}, [ALL[2]]),
        ({"symbol_id": 3}, [ALL[1], ALL[3]]),
        ({"symbol_id": 3, "deployment": "other"}, []),
        ({"account": account_key(0).upper().replace("0X", "0x")}, ALL[:2]),
        ({"account": account_key(0), "symbol_id": 1}, ALL[:1]),
        ({"account": account_key(0), "deployment": "other"}, []),
        ({"account": account_key(1)}, []),
    ],
)
async def test_filters_leave_positions_out(
    query: dict[str, str | int], expected: list[tuple[str, int]], limit: int
) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert expected == await listed(client, **query, limit=limit)


async def test_a_page_begins_after_the_last_position_whatever_came_and_went() -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        first = await get(client, "/v1/positions?limit=1")
        quotes = [position_body(quote=number) for number in (1, 3, 10)]
        tables.valuations.put(account_key(0), 2, valuation_body(positions=quotes))
        rest = await listed(client, cursor=first.body["next_cursor"])

    assert [(account_key(0), 3), *ALL[1:]] == rest


async def test_what_is_unknown_is_left_out_of_the_list_and_not_answered_by_name() -> None:
    tables = filled()
    tables.deployments.put("main", 2, unsupported_body())
    tables.valuations.put(account_key(3, "other"), 1, no_account_body())
    tables.valuations.rows[account_key(4, "other").encode()] = b"no row"
    async with serving(tables, SETTINGS) as client:
        rest = await listed(client)
        answers = [
            await get(client, f"/v1/positions?account={key}")
            for key in (account_key(0), account_key(3, "other"), account_key(4, "other"), account_key(5))
        ]

    assert [ALL[2]] == rest
    assert [503, 404, 503, 503] == [answer.status for answer in answers]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("account=x", "account"), ("symbol_id=-1", "symbol_id"), ("symbol_id=9223372036854775808", "symbol_id")],
)
async def test_parameters_are_read_strictly(query: str, parameter: str) -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/positions?{query}")

    assert (400, parameter) == (answer.status, answer.body["parameter"])
