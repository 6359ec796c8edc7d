from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from models.position_state_views import position_states_view
from models.symmio.position_states import with_chain_states
from tests.support.account_rows import engine_body, full_states_body
from tests.support.api import api_settings, serving
from tests.support.feed import FakeFeed, FakeTables, unsupported_body, valuation_body
from tests.support.positions import TIME_S, chain_state
from tests.support.rest import NOW_MS, account_key, get

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

KEY = account_key(1)
SETTINGS = api_settings("main", "other")
STATES = {
    account_key(0): [{"id": "a", "modify_time": TIME_S + 1}, {"id": "b", "modify_time": TIME_S + 4, "quote_id": 5}],
    account_key(1): [{"id": "c", "modify_time": TIME_S + 3, "quote_id": None, "temp_quote_id": -9}],
    account_key(0, "other"): [{"id": "d", "modify_time": TIME_S + 2, "quote_id": 5, "temp_quote_id": -4}],
}


def ns(second: int) -> int:
    """So many seconds after the first state, in ns."""
    return (TIME_S + second) * 10**9


def filled() -> FakeTables:
    """States of two accounts, of one of the same address elsewhere, and none of account 2."""
    tables = FakeTables("main", "other")
    for key in (*STATES, account_key(2)):
        tables.valuations.put(key, 1, valuation_body())
    for key, said in STATES.items():
        tables.position_states.put(key, 3, engine_body(*said))
    return tables


async def listed(client: Client, **query: str | int) -> str:
    """The ids of the states, over all pages."""
    found = ""
    cursor: dict[str, str] = {}
    while True:
        answer = await get(client, f"/v1/position-states?{urlencode({**query, **cursor})}")
        assert 200 == answer.status
        found += "".join(item["id"] for item in answer.body["items"])
        if "next_cursor" not in answer.body:
            return found
        cursor = {"cursor": answer.body["next_cursor"]}


async def test_states_of_an_account_are_their_view_under_an_etag_and_are_not_sent_again() -> None:
    tables = FakeTables("main")
    tables.position_states.put(KEY, 3, full_states_body())
    async with serving(tables) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/position-states")
        again = await get(client, f"/v1/accounts/{KEY}/position-states", {"If-None-Match": '"1-1.3"'})

    assert position_states_view(KEY, full_states_body()) == answer.body
    assert (304, None, '"1-1.3"') == (again.status, again.body, answer.headers["ETag"])


async def test_an_account_of_which_nothing_was_said_has_no_states() -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{account_key(2)}/position-states")

    whose = {"account": account_key(2), "deployment": "main", "address": account_key(2).removeprefix("main:")}
    assert ({**whose, "states": {}}, '"1-none"') == (answer.body, answer.headers["ETag"])


@pytest.mark.parametrize("path", ["/v1/accounts/{}/position-states", "/v1/position-states?account={}"])
async def test_an_account_that_does_not_exist_has_no_states_once_the_head_is_folded(path: str) -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        missing = await get(client, path.format(account_key(8)))
        tables.fold("main", 5, head=119)
        unknown = await get(client, path.format(account_key(8)))

    assert (404, 503) == (missing.status, unknown.status)


async def test_what_an_engine_says_of_an_account_that_no_block_has_named_yet_is_shown() -> None:
    tables = FakeTables("main")
    tables.position_states.put(KEY, 1, engine_body(*STATES[KEY]))
    async with serving(tables) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/position-states")

    assert (200, ["c"]) == (answer.status, list(answer.body["states"]))


async def test_states_of_all_accounts_say_whose_they_are() -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/position-states?account={KEY}")

    state = position_states_view(KEY, engine_body(*STATES[KEY]))["states"]["c"]
    assert {"items": [{"account": KEY, "deployment": "main", **state}], "unreadable": 0} == answer.body


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 1000])
async def test_states_come_newest_first_whatever_the_size_of_a_page(limit: int) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert "bcda" == await listed(client, limit=limit)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"deployment": "main"}, "bca"),
        ({"account": account_key(0).upper().replace("0X", "0x")}, "ba"),
        ({"account": account_key(0), "deployment": "other"}, ""),
        ({"account": account_key(2)}, ""),
        ({"quote_id": 5}, "bd"),
        ({"quote_id": -9}, "c"),
        ({"quote_id": -4}, "d"),
        ({"quote_id": 0}, ""),
        ({"quote_id": 5, "account": account_key(0)}, "b"),
        ({"since_ns": ns(2)}, "bcd"),
        ({"since_ns": ns(2) + 1}, "bc"),
        ({"since_ns": ns(2), "quote_id": 5, "deployment": "other"}, "d"),
        ({"since_ns": ns(2), "account": account_key(0)}, "b"),
        ({"since_ns": ns(5)}, ""),
        ({"since_ns": 0}, "bcda"),
    ],
)
async def test_filters_leave_states_out(query: dict[str, str | int], expected: str, limit: int) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert expected == await listed(client, **query, limit=limit)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["b", "a"]),
        ("quote_id=5", ["b"]),
        (f"since_ns={ns(4)}", ["b"]),
        (f"since_ns={ns(1)}&quote_id=131388", ["a"]),
        ("quote_id=-1", []),
    ],
)
async def test_filters_leave_states_of_one_account_out(query: str, expected: list[str]) -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{account_key(0)}/position-states?{query}")

    assert expected == list(answer.body["states"])


async def test_states_that_wait_for_the_engine_are_not_shown() -> None:
    tables = filled()
    body = with_chain_states(engine_body(*STATES[KEY]), [chain_state()], fresh=True, gaps=True, now_ms=NOW_MS)
    tables.position_states.put(KEY, 4, body)
    async with serving(tables, SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/position-states")

        assert "bcda" == await listed(client)
        assert "c" == await listed(client, account=KEY)
        assert ["c"] == list(answer.body["states"])


async def test_a_page_begins_after_the_last_state_whatever_came_and_went() -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        first = await get(client, "/v1/position-states?limit=1")
        later = {"id": "c", "modify_time": TIME_S + 9, "version": 2}
        tables.position_states.put(KEY, 4, engine_body(*STATES[KEY], later, {"id": "e", "modify_time": TIME_S}))
        rest = await listed(client, cursor=first.body["next_cursor"])

    assert "dae" == rest


async def test_a_row_that_cannot_be_read_is_left_out_of_the_list_and_not_answered_by_name() -> None:
    tables = filled()
    tables.position_states.put(account_key(2), 1, {"secret": 1})
    tables.position_states.put(KEY, 4, {"states": [{"modify_time": 1, "seq": 1, "secret": 1}]})
    tables.position_states.rows[account_key(0).encode()] = b"secret"
    async with serving(tables, SETTINGS) as client:
        rest = await listed(client)
        answers = [await get(client, f"/v1/accounts/{account_key(number)}/position-states") for number in range(3)]

    assert "d" == rest
    assert [503] * 3 == [answer.status for answer in answers]
    assert not any("secret" in answer.body["detail"] for answer in answers)


async def test_states_of_an_unsupported_deployment_are_shown_for_engines_say_on() -> None:
    tables = filled()
    tables.deployments.put("main", 2, unsupported_body())
    async with serving(tables, SETTINGS) as client:
        assert "bcda" == await listed(client)


@pytest.mark.parametrize(
    "path",
    ["/v1/position-states", f"/v1/position-states?account={KEY}", f"/v1/accounts/{KEY}/position-states"],
)
async def test_a_table_that_is_still_being_read_is_no_answer(path: str) -> None:
    tables = filled()
    tables.position_states = FakeFeed(ready=False)
    async with serving(tables, SETTINGS) as client:
        assert 503 == (await get(client, path)).status


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("account=x", "account"),
        ("quote_id=1.5", "quote_id"),
        ("quote_id=--1", "quote_id"),
        ("quote_id=-9223372036854775808", "quote_id"),
        ("since_ns=-1", "since_ns"),
        ("since_ns=2025-04-29T00:00:00Z", "since_ns"),
        ("page=1", "page"),
        ("cursor=WyJhbGVydHMiLDEsIngiLDFd", "cursor"),
    ],
)
async def test_parameters_are_read_strictly(query: str, parameter: str) -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/position-states?{query}")

    assert (400, parameter) == (answer.status, answer.body["parameter"])
