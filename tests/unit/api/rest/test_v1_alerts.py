from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from api.rest.timeline import Timeline
from models.alert_views import alerts_view
from models.alerts import LIQUIDATABLE, QUIET, STALE, UNKNOWN, with_transitions
from models.engine.tables import ALERTS
from tests.support.account_rows import alerts_body
from tests.support.api import api_settings, serving
from tests.support.feed import FakeFeed, FakeTables, no_account_body, unsupported_body, valuation_body
from tests.support.rest import account_key, get

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from api.rest.timeline import Event

    Client = TestClient[web.Request, web.Application]

KEY = account_key(1)
H1, H2 = f"0x{'b1' * 20}", f"0x{'b2' * 20}"
SETTINGS = api_settings("main", "other")
STEPS = {
    account_key(0): [(STALE, 1_000), (QUIET, 4_000)],
    account_key(1): [(LIQUIDATABLE, 2_000), (LIQUIDATABLE | STALE, 5_000), (STALE, 5_000)],
    account_key(0, "other"): [(LIQUIDATABLE, 3_000)],
}
# Newest first; of one time by account, and of one account by number.
ALL = [
    (1, "recovered"),
    (1, "stale"),
    (0, "fresh"),
    (0, "liquidatable"),
    (1, "liquidatable"),
    (0, "stale"),
]


def filled() -> FakeTables:
    """Two accounts that have had alarms, one of the same address elsewhere, and one that never had any."""
    tables = FakeTables("main", "other")
    for key in (*STEPS, account_key(2)):
        tables.valuations.put(key, 1, valuation_body())
    for key, steps in STEPS.items():
        tables.alerts.put(key, 3, alerts_body(key, *steps))
    return tables


async def listed(client: Client, **query: str | int) -> list[tuple[int, str]]:
    """Number of the account and kind of each transition, over all pages."""
    found = []
    cursor: dict[str, str] = {}
    while True:
        answer = await get(client, f"/v1/alerts?{urlencode({**query, **cursor})}")
        assert 200 == answer.status
        found += [(int(item["account"].partition(":0x")[2], 16), item["kind"]) for item in answer.body["items"]]
        if "next_cursor" not in answer.body:
            return found
        cursor = {"cursor": answer.body["next_cursor"]}


async def test_alerts_of_an_account_are_their_view_under_an_etag_and_are_not_sent_again() -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/alerts")
        again = await get(client, f"/v1/accounts/{KEY}/alerts", {"If-None-Match": '"1-1.3"'})

    assert alerts_view(KEY, alerts_body(KEY, *STEPS[KEY])) == answer.body
    assert (304, None, '"1-1.3"') == (again.status, again.body, answer.headers["ETag"])


async def test_an_account_that_never_had_an_alarm_has_none() -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{account_key(2)}/alerts")

    whose = {"account": account_key(2), "deployment": "main", "address": account_key(2).removeprefix("main:")}
    assert ({**whose, "alarms": {}, "transitions": []}, '"1-none"') == (answer.body, answer.headers["ETag"])


@pytest.mark.parametrize("path", ["/v1/accounts/{}/alerts", "/v1/alerts?account={}"])
async def test_an_account_that_does_not_exist_has_no_alerts_once_the_head_is_folded(path: str) -> None:
    tables = filled()
    tables.valuations.put(account_key(7), 1, no_account_body())
    async with serving(tables, SETTINGS) as client:
        answers = [await get(client, path.format(account_key(number))) for number in (7, 8)]
        tables.fold("main", 5, head=119)
        answers += [await get(client, path.format(account_key(number))) for number in (7, 8)]

    assert [404, 404, 503, 503] == [answer.status for answer in answers]


async def test_transitions_of_all_accounts_say_whose_they_are() -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, "/v1/alerts?limit=1")

    (newest, *_) = alerts_view(KEY, alerts_body(KEY, *STEPS[KEY]))["transitions"]
    assert [{"account": KEY, "deployment": "main", **newest}] == answer.body["items"]


async def test_of_each_hedger_the_transition_is_on_that_turned_its_own_alarm_on() -> None:
    tables, body = FakeTables("main", "other"), None
    tables.valuations.put(KEY, 1, valuation_body())
    for at, hedgers in enumerate(([H1], [H1, H2], [H2]), 1):
        shown = valuation_body(liquidatable_hedgers=hedgers, as_of_ms=at * 1_000)
        body = with_transitions(KEY.encode(), body, QUIET, shown, {})
    assert body is not None
    tables.alerts.put(KEY, 3, body)
    async with serving(tables, SETTINGS) as client:
        on = await get(client, "/v1/alerts?kind=hedger_liquidatable&on=true")
        off = await get(client, "/v1/alerts?kind=hedger_liquidatable&on=false")

    assert [[H2], [H1]] == [[one["hedger"] for one in answer.body["items"]] for answer in (on, off)]


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 1000])
async def test_transitions_come_newest_first_whatever_the_size_of_a_page(limit: int) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert ALL == await listed(client, limit=limit)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"deployment": "other"}, [ALL[3]]),
        ({"kind": "liquidatable"}, [ALL[3], ALL[4]]),
        ({"kind": "known"}, []),
        ({"account": account_key(0).upper().replace("0X", "0x")}, [ALL[2], ALL[5]]),
        ({"account": account_key(0), "kind": "stale"}, [ALL[5]]),
        ({"account": account_key(0), "deployment": "other"}, []),
        ({"account": account_key(2)}, []),
        ({"on": "true"}, [ALL[1], ALL[3]]),
        ({"on": "true", "kind": "liquidatable"}, [ALL[3]]),
        ({"on": "false"}, [ALL[0], ALL[2], ALL[4], ALL[5]]),
        ({"on": "true", "kind": "recovered"}, []),
    ],
)
async def test_filters_leave_transitions_out(
    query: dict[str, str], expected: list[tuple[int, str]], limit: int
) -> None:
    async with serving(filled(), SETTINGS) as client:
        assert expected == await listed(client, **query, limit=limit)


async def test_the_list_follows_the_rows_and_a_page_begins_after_the_last_transition() -> None:
    tables = filled()
    async with serving(tables, SETTINGS) as client:
        first = await get(client, "/v1/alerts?limit=2")
        tables.alerts.put(KEY, 4, alerts_body(KEY, *STEPS[KEY], (QUIET, 9_000)))
        tables.alerts.put(account_key(2), 1, alerts_body(account_key(2), (UNKNOWN, 2_500)))
        tables.alerts.remove(account_key(0, "other"))
        rest = await listed(client, cursor=first.body["next_cursor"])
        on = await listed(client, on="true")

    assert [ALL[2], (2, "unknown"), *ALL[4:]] == rest
    assert [(2, "unknown")] == on


async def test_a_row_that_cannot_be_read_is_left_out_of_the_list_and_not_answered_by_name() -> None:
    tables = filled()
    tables.alerts.put(account_key(2), 1, {"secret": 1})
    tables.alerts.rows[account_key(0).encode()] = b"secret"
    async with serving(tables, SETTINGS) as client:
        rest = await listed(client)
        answers = [
            await get(client, path.format(account_key(number)))
            for path in ("/v1/accounts/{}/alerts", "/v1/alerts?account={}")
            for number in (0, 2)
        ]

    assert [ALL[0], ALL[1], ALL[3], ALL[4]] == rest
    assert [503] * 4 == [answer.status for answer in answers]
    assert not any("secret" in answer.body["detail"] for answer in answers)


async def test_a_row_that_can_no_longer_be_read_when_its_page_is_made_is_left_out() -> None:
    """The index reads less of a row than is shown."""
    tables = filled()
    body = alerts_body(KEY, *STEPS[KEY])
    tables.alerts.put(KEY, 4, {**body, "transitions": [{**one, "upnl": "x"} for one in body["transitions"]]})
    async with serving(tables, SETTINGS) as client:
        assert [ALL[2], ALL[3], ALL[5]] == await listed(client)


async def test_what_a_worker_of_a_later_version_wrote_of_an_account_takes_nothing_else_away() -> None:
    tables = filled()
    body = alerts_body(KEY, *STEPS[KEY])
    later = {**body["transitions"][0], "id": f"{KEY}:hungry:9", "kind": "hungry"}
    changed = {**body, "alarms": [*body["alarms"], "hungry"], "transitions": [later, *body["transitions"]]}
    tables.alerts.put(KEY, 4, changed)
    async with serving(tables, SETTINGS) as client:
        assert ALL == await listed(client)
        answer = await get(client, f"/v1/accounts/{KEY}/alerts")

    assert alerts_view(KEY, body) == answer.body


async def test_alerts_of_an_unsupported_deployment_are_shown_for_they_say_so() -> None:
    tables = filled()
    tables.deployments.put("main", 2, unsupported_body())
    async with serving(tables, SETTINGS) as client:
        answer = await get(client, f"/v1/accounts/{KEY}/alerts")
        assert ALL == await listed(client)

    assert (200, {"stale"}) == (answer.status, answer.body["alarms"].keys())


async def test_accounts_of_a_deployment_that_is_no_longer_served_are_not_shown() -> None:
    async with serving(filled(), api_settings("main")) as client:
        assert [one for one in ALL if one != ALL[3]] == await listed(client)


@pytest.mark.parametrize("path", ["/v1/alerts", f"/v1/alerts?account={KEY}", f"/v1/accounts/{KEY}/alerts"])
async def test_a_table_that_is_still_being_read_is_no_answer(path: str) -> None:
    tables = filled()
    tables.alerts = FakeFeed(ready=False)
    async with serving(tables, SETTINGS) as client:
        answer = await get(client, path)

    assert (503, "2") == (answer.status, answer.headers["Retry-After"])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("account=x", "account"),
        ("kind=hungry", "kind"),
        ("on=1", "on"),
        ("deployment=nowhere", "deployment"),
        ("since=1", "since"),
        ("cursor=WyJwb3NpdGlvbnMiLCJ4IiwxXQ", "cursor"),
        ("kind=stale&kind=fresh", "kind"),
    ],
)
async def test_parameters_are_read_strictly(query: str, parameter: str) -> None:
    async with serving(filled(), SETTINGS) as client:
        answer = await get(client, f"/v1/alerts?{query}")

    assert (400, parameter) == (answer.status, answer.body["parameter"])


async def test_a_long_list_is_walked_and_followed_without_holding_others_up() -> None:
    """More events than are walked between two chances for others, in several chunks; they come, move and go."""
    feed = FakeFeed()

    def number_of(key: bytes) -> int:
        return int(key.rpartition(b"x")[2], 16)

    def read(key: bytes, _row: bytes) -> list[Event]:
        return [(-(number_of(key) * 7_919 % 1_000), key, -at, ()) for at in range(20)]

    for number in range(600):
        feed.put(account_key(number), 1, {})
    timeline = Timeline(ALERTS, feed, read)
    whole = await timeline.newest((), None, lambda _: True, 20_000)
    for number in range(0, 600, 2):
        feed.remove(account_key(number))
    odd = await timeline.newest((), None, lambda _: True, 20_000)
    last = await timeline.newest((), None, lambda event: event[1] == account_key(1).encode(), 3)
    recent = await timeline.newest((), (-900 + 1,), lambda _: True, 20_000)
    for number in range(600):
        feed.put(account_key(number), 2, {})
    again = await timeline.newest((), None, lambda _: True, 20_000)

    assert (12_000, sorted(whole)) == (len(whole), whole)
    assert [event for event in whole if number_of(event[1]) % 2] == odd
    assert [event for event in odd if number_of(event[1]) == 1][:3] == last
    assert [event for event in odd if event[0] <= -900] == recent
    assert whole == again
