from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from models.views import unsupported_account
from tests.support.api import api_settings, serving
from tests.support.feed import (
    HEAD_TIME_S,
    FakeTables,
    deployment_body,
    e18,
    no_account_body,
    unpriced_body,
    unsupported_body,
    valuation_body,
)
from tests.support.rest import account_key, filled_tables, get
from tests.support.views import account_view, figures_view, positions_view

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

KEY = account_key(1)


def tables_of(*bodies: dict[str, Any]) -> FakeTables:
    """Accounts 0, 1, … of deployment ``main``."""
    tables = FakeTables("main")
    for number, body in enumerate(bodies):
        tables.valuations.put(account_key(number), 1, body)
    return tables


def upnl_body(upnl: str | None) -> dict[str, Any]:
    return valuation_body(upnl=e18(upnl)) if upnl is not None else unpriced_body(last_complete=None)


async def pages(client: Client, **query: str | int) -> list[list[str]]:
    """The keys on each page of a list of accounts."""
    found = []
    cursor: dict[str, str] = {}
    while True:
        answer = await get(client, f"/v1/accounts?{urlencode({**query, **cursor})}")
        assert 200 == answer.status
        found.append([item["account"] for item in answer.body["items"]])
        if "next_cursor" not in answer.body:
            return found
        cursor = {"cursor": answer.body["next_cursor"]}


async def listed(client: Client, **query: str | int) -> list[int]:
    """The numbers of the accounts in a list."""
    return [int(key.partition(":0x")[2], 16) for page in await pages(client, **query) for key in page]


async def test_an_account_is_its_view_under_an_etag_of_epoch_term_and_version() -> None:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 41, valuation_body())
    async with serving(tables) as client:
        answer = await get(client, f"/v1/accounts/{KEY}")

    assert (200, '"1-1.41"') == (answer.status, answer.headers["ETag"])
    assert account_view(KEY, valuation_body()) == answer.body


async def test_positions_of_an_account_are_their_view() -> None:
    async with serving(tables_of(valuation_body(), valuation_body())) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/positions")

    assert (positions_view(KEY, valuation_body()), '"1-1.1"') == (answer.body, answer.headers["ETag"])


@pytest.mark.parametrize("suffix", ["", "/positions"])
@pytest.mark.parametrize(
    ("known", "status"),
    [('"1-1.1"', 304), ('W/"1-1.1"', 304), ('"x", "1-1.1"', 304), ("*", 304), ('"1-1.2"', 200), ('"2-1.1"', 200)],
)
async def test_what_the_client_holds_is_not_sent_again(suffix: str, known: str, status: int) -> None:
    async with serving(tables_of(valuation_body(), valuation_body())) as client:
        answer = await get(client, f"/v1/accounts/{KEY}{suffix}", {"If-None-Match": known})

    assert (status, '"1-1.1"') == (answer.status, answer.headers["ETag"])


@pytest.mark.parametrize("deployment", ["main", "MAIN"])
async def test_case_of_an_account_does_not_matter(deployment: str) -> None:
    key = "main:0x" + "ab" * 20
    tables = FakeTables("main")
    tables.valuations.put(key, 1, valuation_body())
    async with serving(tables) as client:
        answer = await get(client, f"/v1/accounts/{deployment}:0X{'aB' * 20}")

    assert key == answer.body["account"]


@pytest.mark.parametrize("text", ["x", "main:0x12", "other:0x" + "0" * 40, "main", "main:0x" + "g" * 40, "%ff%00"])
async def test_what_names_no_account_is_refused_and_the_problem_says_what_was_expected(text: str) -> None:
    async with serving(FakeTables("main")) as client:
        answer = await get(client, f"/v1/accounts/{text}")

    assert (400, "account", "/docs/problems#bad-parameter") == (
        answer.status,
        answer.body["parameter"],
        answer.body["type"],
    )
    assert "expected <deployment>:<account> with a deployment of main, found" in answer.body["detail"]


@pytest.mark.parametrize("suffix", ["", "/positions"])
@pytest.mark.parametrize("body", [None, no_account_body()])
async def test_an_account_that_does_not_exist_is_not_found_once_the_head_is_folded(
    suffix: str, body: dict[str, Any] | None
) -> None:
    tables = FakeTables("main")
    if body is not None:
        tables.valuations.put(KEY, 1, body)
    answers = []
    async with serving(tables) as client:
        for head in (119, 120):
            tables.fold("main", 5, head=head)
            answers.append(await get(client, f"/v1/accounts/{KEY}{suffix}"))

    assert [503, 404] == [answer.status for answer in answers]
    assert "2" == answers[0].headers["Retry-After"]
    assert ["/docs/problems#not-known", "/docs/problems#no-such-account"] == [answer.body["type"] for answer in answers]


async def test_an_account_that_is_missing_while_the_newest_block_is_an_old_one_is_not_known() -> None:
    async with serving(FakeTables("main"), clock_ms=lambda: (HEAD_TIME_S + 121) * 1000) as client:
        assert 503 == (await get(client, f"/v1/accounts/{KEY}")).status


@pytest.mark.parametrize(
    "path", ["/v1/accounts", f"/v1/accounts/{KEY}", "/v1/positions", "/v1/marks", "/v1/markets", "/v1/totals"]
)
async def test_tables_that_are_still_being_read_are_no_answer(path: str) -> None:
    async with serving(FakeTables("main", ready=False)) as client:
        answer = await get(client, path)

    assert (503, "2") == (answer.status, answer.headers["Retry-After"])


async def test_an_account_of_an_unsupported_deployment_says_only_that_under_an_etag_of_its_own() -> None:
    tables = tables_of(valuation_body(), valuation_body())
    answers = []
    async with serving(tables) as client:
        for body in (unsupported_body(), deployment_body()):
            tables.deployments.put("main", 2, body)
            answers += [await get(client, f"/v1/accounts/{KEY}"), await get(client, "/v1/accounts?limit=1")]

    one, page, one_again, page_again = answers
    assert (unsupported_account(KEY), '"1-1.1.unsupported"') == (one.body, one.headers["ETag"])
    assert [unsupported_account(account_key(0))] == page.body["items"]
    assert ("valued", '"1-1.1"') == (one_again.body["status"], one_again.headers["ETag"])
    assert "valued" == page_again.body["items"][0]["status"]


async def test_a_missing_account_of_an_unsupported_deployment_is_not_known() -> None:
    tables = FakeTables("main")
    tables.deployments.put("main", 2, unsupported_body())
    async with serving(tables) as client:
        assert 503 == (await get(client, f"/v1/accounts/{KEY}")).status


async def test_a_row_that_cannot_be_read_is_not_known_and_tells_nothing_of_itself() -> None:
    tables = tables_of({"status": "valued"}, {"secret": 1})
    tables.valuations.rows[account_key(2).encode()] = b"secret"
    async with serving(tables) as client:
        answers = [await get(client, f"/v1/accounts/{account_key(number)}") for number in range(3)]
        page = await get(client, "/v1/accounts")

    assert [503] * 3 == [answer.status for answer in answers]
    assert not any("secret" in answer.body["detail"] for answer in answers)
    assert {"unreadable"} == {item["status"] for item in page.body["items"]}


async def test_items_of_the_list_are_figures_without_positions() -> None:
    async with serving(tables_of(valuation_body())) as client:
        answer = await get(client, "/v1/accounts")

    assert {"items": [figures_view(account_key(0), valuation_body())], "unreadable": 0} == answer.body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "upnl"}, [3, 0, 4, 1, 2]),
        ({"sort": "upnl", "direction": "asc"}, [1, 4, 0, 3, 2]),
        ({"sort": "upnl", "direction": "desc"}, [3, 0, 4, 1, 2]),
        ({"sort": "address"}, [0, 1, 2, 3, 4]),
        ({"sort": "address", "direction": "desc"}, [4, 3, 2, 1, 0]),
    ],
)
async def test_accounts_come_in_the_order_asked_for_and_unknown_figures_last(
    query: dict[str, str], expected: list[int]
) -> None:
    upnls = ("5", "-7.000000000000000001", None, "5.000000000000000001", "-7")
    async with serving(tables_of(*map(upnl_body, upnls))) as client:
        assert expected == await listed(client, **query)


async def test_the_largest_come_first_and_those_nearest_to_liquidation() -> None:
    bodies = [
        valuation_body(notional=e18(notional), distance_bps=bps) for notional, bps in (("1", 5), ("3", -2), ("2", 9))
    ]
    async with serving(tables_of(*bodies)) as client:
        orders = [await listed(client), await listed(client, sort="distance_bps")]

    assert [[1, 2, 0], [1, 0, 2]] == orders


@pytest.mark.parametrize("sort", ["upnl", "notional", "distance_bps", "address"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_join_to_the_whole_list_whatever_their_size(sort: str, direction: str) -> None:
    bodies = [upnl_body(None if number % 5 == 0 else str(number % 3)) for number in range(13)]
    async with serving(tables_of(*bodies)) as client:
        (whole,) = await pages(client, sort=sort, direction=direction)
        for limit in (1, 4, 12, 13):
            parts = await pages(client, sort=sort, direction=direction, limit=limit)
            assert whole == [key for part in parts for key in part]
            assert -(-13 // limit) == len(parts)


async def test_a_page_begins_after_the_last_one_whatever_moved_meanwhile() -> None:
    tables = tables_of(*(upnl_body(str(upnl)) for upnl in (50, 40, 30, 20, 10)))
    async with serving(tables) as client:
        first = await get(client, "/v1/accounts?sort=upnl&limit=2")
        tables.valuations.put(account_key(1), 2, upnl_body("60"))
        tables.valuations.put(account_key(9), 1, upnl_body("55"))
        tables.valuations.remove(account_key(0))
        second = await listed(client, sort="upnl", cursor=first.body["next_cursor"])

    assert [2, 3, 4] == second


@pytest.mark.parametrize("query", ["sort=upnl&direction=asc", "sort=notional", "sort=address"])
async def test_a_cursor_of_another_order_is_refused(query: str) -> None:
    async with serving(tables_of(upnl_body("1"), upnl_body("2"))) as client:
        cursor = (await get(client, "/v1/accounts?sort=upnl&limit=1")).body["next_cursor"]
        answer = await get(client, f"/v1/accounts?{query}&cursor={cursor}")

    assert (400, "cursor") == (answer.status, answer.body["parameter"])


@pytest.mark.parametrize("cursor", ["", "x", "W10", "e30", "WyJ1cG5sIl0", "bnVsbA", "%00", "é", "W" * 1001])
async def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    async with serving(tables_of(upnl_body("1"))) as client:
        answers = [await get(client, f"/v1/{name}?cursor={cursor}") for name in ("accounts", "positions", "marks")]

    assert [(400, "cursor")] * 3 == [(answer.status, answer.body["parameter"]) for answer in answers]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"deployment": "main"}, [0, 1, 2, 3]),
        ({"deployment": "other"}, []),
        ({"owner": "0x" + "aB" * 20}, [1]),
        ({"status": "unpriced"}, [2]),
        ({"status": "suspect"}, [3]),
        ({"status": "valued", "liquidatable": "false"}, [0]),
        ({"liquidatable": "true"}, [1]),
        ({"min_notional": "1000"}, [0]),
        ({"min_notional": "999.5"}, [0, 1]),
        ({"min_notional": "1000.000000000000000001"}, []),
    ],
)
async def test_filters_leave_out_what_is_not_so_or_not_known(query: dict[str, str], expected: list[int]) -> None:
    tables = tables_of(
        valuation_body(notional=e18("1000")),
        valuation_body(notional=e18("999.5"), owner="0x" + "ab" * 20, liquidatable=True),
        unpriced_body(last_complete=None),
        valuation_body(status="suspect", upnl=None, notional=None, liquidatable=None, distance_bps=None),
        no_account_body(),
    )
    async with serving(tables, api_settings("main", "other")) as client:
        assert expected == await listed(client, sort="address", **query)


async def test_accounts_of_a_deployment_that_is_no_longer_served_are_not_shown() -> None:
    tables = tables_of(valuation_body())
    tables.valuations.put(account_key(5, "gone"), 1, valuation_body())
    async with serving(tables) as client:
        positions = await get(client, "/v1/positions")
        assert [[account_key(0)]] == await pages(client)
        assert 400 == (await get(client, f"/v1/accounts/{account_key(5, 'gone')}")).status

    assert {account_key(0)} == {item["account"] for item in positions.body["items"]}


async def test_filters_go_by_what_is_shown_of_an_unsupported_deployment() -> None:
    tables = tables_of(valuation_body())
    tables.deployments.put("main", 2, unsupported_body())
    async with serving(tables) as client:
        found = [
            await listed(client, **{name: value})
            for name, value in (
                ("status", "valued"),
                ("status", "unsupported"),
                ("liquidatable", "false"),
                ("min_notional", "0"),
                ("owner", "0x" + "0" * 40),
            )
        ]

    assert [[], [0], [], [], []] == found


@pytest.mark.parametrize(
    ("query", "parameter", "expected"),
    [
        ("limit=0", "limit", "a whole number from 1 to 1000, found '0'"),
        ("limit=1001", "limit", "found '1001'"),
        ("limit=-1", "limit", "found '-1'"),
        ("limit=1.5", "limit", "found '1.5'"),
        ("limit=", "limit", "found ''"),
        ("limit=٣", "limit", "found '٣'"),
        ("limit=99999999999999999999", "limit", "found '9999"),
        ("sort=size", "sort", "one of upnl, notional, distance_bps, address, found 'size'"),
        ("direction=up", "direction", "one of asc, desc, found 'up'"),
        ("deployment=nowhere", "deployment", "one of main, found 'nowhere'"),
        ("owner=0x12", "owner", "0x and 40 hex digits, found '0x12'"),
        ("status=absent", "status", "found 'absent'"),
        ("liquidatable=1", "liquidatable", "true or false, found '1'"),
        ("min_notional=-1", "min_notional", "found '-1'"),
        ("min_notional=1e5", "min_notional", "found '1e5'"),
        ("min_notional=NaN", "min_notional", "found 'NaN'"),
        ("page=2", "page", "expected one of deployment, owner,"),
        ("limit=5&limit=6", "limit", "expected limit once, found it 2 times"),
    ],
)
async def test_parameters_are_read_strictly(query: str, parameter: str, expected: str) -> None:
    async with serving(FakeTables("main")) as client:
        answer = await get(client, f"/v1/accounts?{query}")

    assert (400, parameter) == (answer.status, answer.body["parameter"])
    assert expected in answer.body["detail"]


async def test_a_path_of_one_account_takes_no_parameter() -> None:
    async with serving(filled_tables()) as client:
        answer = await get(client, f"/v1/accounts/{account_key(0)}?fields=upnl")

    assert (400, "expected no parameter, found 'fields'") == (answer.status, answer.body["detail"])


async def test_a_list_of_many_accounts_follows_their_rows() -> None:
    """More rows than are read between two chances for others."""
    tables = FakeTables("main")
    for number in range(300):
        tables.valuations.put(account_key(number), 1, upnl_body(str(number)))
    async with serving(tables) as client:
        before = (await pages(client, sort="upnl", limit=1000))[0]
        for number in range(0, 300, 2):
            tables.valuations.put(account_key(number), 2, upnl_body(str(1_000 + number)))
        tables.valuations.remove(account_key(299))
        after = (await pages(client, sort="upnl", limit=1000))[0]

    assert [account_key(number) for number in range(299, -1, -1)] == before
    evens, odds = range(298, -1, -2), range(297, -1, -2)
    assert [account_key(number) for number in (*evens, *odds)] == after
