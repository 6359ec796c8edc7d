"""``POST position-state`` and ``POST notifications``: shapes, filters, pages, refusals."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from models.symmio.notification_views import checksummed
from models.symmio.position_states import STATES_MAX
from tests.support.api import ADDRESS, OTHER_ADDRESS, serving
from tests.support.feed import FakeTables, valuation_body
from tests.support.legacy import PositionStates, numbered
from tests.support.positions import TIME_S, chain_state
from tests.support.rest import position_body
from tests.support.solver import ELSEWHERE, HERE, pending, put_market, solver_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

KEY = f"main:{ADDRESS.lower()}"
OTHER_KEY = f"main:{OTHER_ADDRESS.lower()}"
ALIASES = [
    f"{mount}/{name}/0/10{slash}"
    for mount in ("", "/api", "/main", "/main/api")
    for name in ("position-state", "position_state")
    for slash in ("", "/")
]
OPEN = {"whitelist": {"mode": "open"}}


def filled() -> FakeTables:
    """Six states of two accounts, and one of another deployment's."""
    tables = FakeTables("main", "other")
    states = PositionStates(tables)
    states.say(
        KEY,
        {"id": "a", "create_time": 100, "modify_time": 500, "quote_id": 1},
        {"id": "b", "create_time": 200, "modify_time": 200, "quote_id": None, "temp_quote_id": -7},
        {"id": "c", "create_time": 300, "modify_time": 400, "quote_id": 3, "action_status": "success"},
        {"id": "d", "create_time": 50, "modify_time": 100, "quote_id": 1, "should_send": False},
    )
    states.say(
        OTHER_KEY,
        {"id": "e", "create_time": 250, "modify_time": 600, "quote_id": 4, "state_type": "report"},
        {"id": "f", "create_time": 260, "modify_time": 300, "quote_id": 5, "last_seen_action": "LiquidatePosition"},
    )
    states.say(f"other:{ADDRESS.lower()}", {"id": "z", "quote_id": 1})
    return tables


def serving_filled(tables: FakeTables | None = None) -> Any:  # noqa: ANN401
    return serving(tables or filled(), solver_settings(main={**OPEN, **HERE}, other=OPEN))


async def post(client: Client, path: str, body: bytes | Mapping[str, Any] = b"", **headers: str) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    headers |= {"App-Name": "cloverfield", "Content-Type": "application/json"}
    async with client.post(path, data=raw, headers=headers, allow_redirects=False) as response:
        return response.status, orjson.loads(await response.read())


async def ids(client: Client, body: bytes | Mapping[str, Any] = b"", page: str = "0/100") -> list[str]:
    status, answer = await post(client, f"/position-state/{page}", body)
    assert 200 == status
    return [one["id"] for one in answer["position_state"]]


async def test_every_alias_answers_as_the_live_service_does() -> None:
    tables = FakeTables("main")
    PositionStates(tables).say(KEY, {"order_type": 0, "error_code": 0})
    async with serving(tables, solver_settings(main=OPEN)) as client:
        body = {"address": ADDRESS, "modify_time_gte": TIME_S}
        answers = [await post(client, path, body) for path in ALIASES]

    expected = {
        "count": 1,
        "position_state": [
            {
                "id": "7d0c10a4-1d7e-44b9-8712-77c863bfab55",
                "create_time": TIME_S,
                "modify_time": TIME_S,
                "quote_id": 131_388,
                "temp_quote_id": None,
                "counterparty_address": checksummed(ADDRESS.lower()),
                "filled_amount_open": "0",
                "filled_amount_close": "0",
                "avg_price_open": "0",
                "avg_price_close": "0",
                "last_seen_action": "SendQuote",
                "action_status": "seen",
                "failure_type": None,
                "error_code": 0,
                "order_type": 0,
                "state_type": "alert",
            }
        ],
    }
    assert [(200, expected)] * 16 == answers


async def test_newer_clients_find_the_same_under_other_names() -> None:
    async with serving_filled() as client:
        body = {"counterparty_address": ADDRESS, "quote_id": None, "timestamp_gte": 200}
        status, answer = await post(client, "/notifications/0/2", body)

    assert (200, 3, ["a", "c"]) == (status, answer["count"], [one["id"] for one in answer["notification_data"]])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "eacfbd"),
        (b" \n", "eacfbd"),
        (b"null", "eacfbd"),
        (b"{}", "eacfbd"),
        ({"address": None, "quote_id": None, "create_time_gte": None, "modify_time_gte": None}, "eacfbd"),
        ({"symbols": None, "states": None}, "eacfbd"),
        ({"symbols": [], "states": []}, "eacfbd"),
        ({"anything": 7}, "eacfbd"),
        ({"address": ADDRESS}, "acbd"),
        ({"address": ADDRESS.upper()}, "acbd"),
        ({"address": checksummed(OTHER_ADDRESS.lower())}, "ef"),
        ({"address": "0x" + "1" * 40}, ""),
        ({"address": ADDRESS, "quote_id": "1"}, "ad"),
        ({"address": ADDRESS, "quote_id": 1}, "ad"),
        ({"address": ADDRESS, "quote_id": "-7"}, "b"),
        ({"quote_id": -7}, "b"),
        ({"quote_id": "5"}, "f"),
        ({"quote_id": 99}, ""),
        ({"address": OTHER_ADDRESS, "quote_id": 1}, ""),
        ({"modify_time_gte": 400}, "eac"),
        ({"modify_time_gte": "400"}, "eac"),
        ({"modify_time_gte": 400.7}, "eac"),
        ({"modify_time_gte": 601}, ""),
        ({"create_time_gte": 250}, "ecf"),
        ({"address": ADDRESS, "create_time_gte": 100, "modify_time_gte": 300}, "ac"),
        ({"address": ADDRESS, "create_time_gte": 60, "quote_id": "1"}, "a"),
        ({"states": ["report"]}, "e"),
        ({"states": ["success", "LiquidatePosition"]}, "cf"),
        ({"states": ["alert"], "address": OTHER_ADDRESS, "modify_time_gte": 1}, "f"),
    ],
)
async def test_filters_are_anded_and_what_is_not_said_does_not_matter(
    body: bytes | Mapping[str, Any], expected: str
) -> None:
    async with serving_filled() as client:
        assert list(expected) == await ids(client, body)


async def test_states_are_found_by_the_symbols_of_their_quotes() -> None:
    tables = filled()
    put_market(tables, 1, "BTCUSDT")
    put_market(tables, 2, "ETHUSDT")
    put_market(tables, 2, "BTCUSDT", of="other")
    quotes = {"positions": [position_body(quote=1, symbol=1), position_body(quote=3, symbol=2)]}
    tables.valuations.put(KEY, 1, valuation_body(**quotes, pending_quotes=[pending("1", "1", quote=77, symbol=1)]))
    closed = {**chain_state(), "id": "g", "symbol_id": 2, "seq": 1, "push": True, "modify_time": 7}
    row = {"applied": [40, 0, 3], "count": 1, "quotes": {}, "states": [closed]}
    tables.position_states.put("main:0x" + "7" * 40, 1, row)
    async with serving_filled(tables) as client:
        assert ["a", "d"] == await ids(client, {"symbols": ["BTCUSDT"]})
        assert ["c", "g"] == await ids(client, {"symbols": ["ETHUSDT"]})
        assert ["a", "c", "d", "g"] == await ids(client, {"symbols": ["ETHUSDT", "BTCUSDT", "XUSDT"]})
        assert ["a"] == await ids(client, {"symbols": ["BTCUSDT"], "modify_time_gte": 200})
        assert [] == await ids(client, {"symbols": ["XUSDT"]})


@pytest.mark.parametrize(
    ("page", "expected"), [("0/1", "e"), ("1/3", "acf"), ("4/100", "bd"), ("6/1", ""), ("99/9", "")]
)
async def test_pages_begin_at_the_newest_and_say_how_many_there_are(page: str, expected: str) -> None:
    async with serving_filled() as client:
        for body in ({}, {"modify_time_gte": 0}):
            status, answer = await post(client, f"/position-state/{page}", body)

            assert (200, 6, list(expected)) == (
                status, answer["count"], [one["id"] for one in answer["position_state"]],
            )  # fmt: skip


async def test_pages_of_many_accounts_with_equal_times_hold_each_state_once() -> None:
    chance = random.Random(3)
    tables = FakeTables("main")
    states = PositionStates(tables)
    said = []
    for number in range(40):
        records = [
            {"id": f"{chance.getrandbits(32):08x}", "create_time": 1, "modify_time": 1_000 + chance.randrange(3)}
            for _ in range(5)
        ]
        said += records
        states.say(f"main:0x{number:040x}", *records)
    async with serving(tables, solver_settings(main=OPEN)) as client:
        pages = [await ids(client, b"", f"{start}/7") for start in range(0, 210, 7)]

    newest_first = sorted(said, key=lambda one: (one["modify_time"], one["id"]), reverse=True)
    assert [one["id"] for one in newest_first] == [one for page in pages for one in page]


async def test_it_follows_the_table() -> None:
    tables = filled()
    states = PositionStates(tables)
    async with serving_filled(tables) as client:
        assert "e" == (await ids(client))[0]
        states.say("main:0x" + "7" * 40, {"id": "new", "modify_time": 700})
        assert "new" == (await ids(client))[0]
        tables.position_states.remove(OTHER_KEY)

        assert ["new", "a", "c", "b", "d"] == await ids(client)
        assert [] == await ids(client, {"quote_id": 4})


async def test_an_account_has_as_many_as_its_row_holds() -> None:
    tables = FakeTables("main")
    PositionStates(tables).say(KEY, *numbered(*range(STATES_MAX + 20)))
    async with serving(tables, solver_settings(main=OPEN)) as client:
        _, answer = await post(client, "/position-state/0/100", {"address": ADDRESS})

    assert (STATES_MAX, 100) == (answer["count"], len(answer["position_state"]))
    assert str(STATES_MAX + 19) == answer["position_state"][0]["id"]


@pytest.mark.parametrize(
    "page", ["0/0", "0/101", "0/-1", "-1/5", "x/5", "0/x", "0/1.5", "1000001/5", "0/٣", "0/%31%30%30%30"]
)
async def test_a_page_that_cannot_be_is_refused_as_fastapi_does(page: str) -> None:
    async with serving_filled() as client:
        status, body = await post(client, f"/position-state/{page}")

    assert (422, "path") == (status, body["detail"][0]["loc"][0])
    assert {"loc", "msg", "type"} == body["detail"][0].keys()


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", ["body"]),
        (b"[]", ["body"]),
        (b'"x"', ["body"]),
        (b"\xff\xfe", ["body"]),
        ({"address": "0x12"}, ["body", "address"]),
        ({"address": 7}, ["body", "address"]),
        ({"address": [ADDRESS]}, ["body", "address"]),
        ({"quote_id": "one"}, ["body", "quote_id"]),
        ({"quote_id": True}, ["body", "quote_id"]),
        ({"quote_id": 1.5}, ["body", "quote_id"]),
        ({"quote_id": "--1"}, ["body", "quote_id"]),
        ({"quote_id": "9" * 30}, ["body", "quote_id"]),
        ({"modify_time_gte": "soon"}, ["body", "modify_time_gte"]),
        ({"create_time_gte": []}, ["body", "create_time_gte"]),
        ({"states": "seen"}, ["body", "states"]),
        ({"symbols": [1]}, ["body", "symbols"]),
    ],
)
async def test_a_body_that_cannot_be_is_refused_as_fastapi_does(
    body: bytes | Mapping[str, Any], where: list[str]
) -> None:
    async with serving_filled() as client:
        status, answer = await post(client, "/position-state/0/5", body)

    assert (422, where) == (status, answer["detail"][0]["loc"])


STATE_ALIASES = [
    f"{mount}/{name}/b{slash}"
    for mount in ("", "/api", "/main", "/main/api")
    for name in ("position-state", "position_state")
    for slash in ("", "/")
]


@pytest.mark.parametrize("path", STATE_ALIASES)
async def test_a_state_is_found_by_its_id_in_the_form_of_a_list(path: str) -> None:
    async with serving_filled() as client:
        status, answer = await post(client, path)

    assert (200, 1, ["b"]) == (status, answer["count"], [one["id"] for one in answer["position_state"]])
    assert -7 == answer["position_state"][0]["temp_quote_id"]


@pytest.mark.parametrize(
    ("state_id", "body", "found"),
    [
        ("a", {}, ["a"]),
        ("a", {"quote_id": 1}, ["a"]),
        ("a", {"quote_id": 4}, []),
        ("a", {"address": ADDRESS}, ["a"]),
        ("a", {"address": OTHER_ADDRESS}, []),
        ("d", {}, ["d"]),
        ("z", {}, []),
        ("nobody%22", {}, []),
        ("main%3A0x12%3A3", {}, []),
        ("1", {}, []),
    ],
)
async def test_a_state_with_an_id_is_shown_where_the_rest_holds_too(
    state_id: str, body: Mapping[str, Any], found: list[str]
) -> None:
    async with serving_filled() as client:
        assert found == await ids(client, body, page=state_id)


async def test_a_state_that_was_made_of_the_chain_is_found_by_its_id() -> None:
    tables = filled()
    state = {**chain_state(), "seq": 1, "push": True}
    row = {"applied": [40, 0, 3], "count": 1, "quotes": {}, "states": [state]}
    tables.position_states.put("main:0x" + "7" * 40, 1, row)
    async with serving_filled(tables) as client:
        assert [state["id"]] == await ids(client, page=str(state["id"]).replace(":", "%3A"))
        assert [state["id"]] == await ids(client, page=str(state["id"]))


async def test_an_id_that_no_state_can_have_is_refused_as_fastapi_does() -> None:
    async with serving_filled() as client:
        status, body = await post(client, f"/position-state/{'x' * 201}")

    assert (422, ["path", "state_id"]) == (status, body["detail"][0]["loc"])


async def test_only_whitelisted_accounts_are_found() -> None:
    tables = filled()
    tables.valuations.put(KEY, 1, valuation_body(owner=None))
    tables.valuations.put(OTHER_KEY, 1, valuation_body(owner="0x" + "1" * 40, multi_account="0x" + "a1" * 20))
    async with serving(tables, solver_settings(main=HERE, other={})) as client:
        assert ["e", "f"] == await ids(client)
        assert [] == await ids(client, {"address": ADDRESS})
        assert ["e", "f"] == await ids(client, {"address": OTHER_ADDRESS})


async def test_each_deployment_answers_its_own() -> None:
    async with serving_filled() as client:
        status, answer = await post(client, "/other/position-state/0/5", {"quote_id": 1}, **ELSEWHERE)

    assert (200, ["z"]) == (status, [one["id"] for one in answer["position_state"]])


@pytest.mark.parametrize("table", ["position_states", "valuations"])
async def test_while_a_table_is_read_that_it_needs_nothing_is_answered_as_if_it_were_all(table: str) -> None:
    tables = filled()
    getattr(tables, table)._ready.clear()
    async with serving_filled(tables) as client:
        status, body = await post(client, "/position-state/0/5")

    assert (503, 503) == (status, body["error_code"])
