from __future__ import annotations

from typing import Any

import pytest

from api.app import create_app
from streams.process.clock import SystemClock
from streams.settings import ApiSettings, BadSettings
from tests.support.api import ADDRESS, OTHER_ADDRESS, FakeInterest, api_settings, serving, symmio_that_hears
from tests.support.feed import (
    HEAD_TIME_S,
    FakeTables,
    deployment_body,
    e18,
    last_complete,
    no_account_body,
    unpriced_body,
    unsupported_body,
    valuation_body,
)

KEY = f"main:{ADDRESS.lower()}"
PATHS = (f"/upnl-a?address={ADDRESS}", f"/partyA_upnl/{ADDRESS}")


def warm(body: dict[str, Any] | None = None) -> FakeTables:
    made = FakeTables("main")
    if body is not None:
        made.valuations.put(KEY, 1, body)
    return made


async def test_a_read_is_no_watch() -> None:
    interest = FakeInterest()
    async with serving(warm(valuation_body()), interest=interest) as client:
        for path in PATHS:
            async with client.get(path) as response:
                assert 200 == response.status

    assert [] == interest.ever_watched


@pytest.mark.parametrize("path", ["/upnl-a", "/upnl-a/", "/main/upnl-a"])
async def test_upnl_a_answers_the_full_object_without_a_redirect(path: str) -> None:
    async with (
        serving(warm(valuation_body())) as client,
        client.get(path, params={"address": ADDRESS}, allow_redirects=False) as response,
    ):
        body = await response.json()

    assert (200, "-12.5", 13) == (response.status, body["upnl"], len(body))


@pytest.mark.parametrize("slash", ["", "/"])
async def test_party_a_upnl_is_a_bare_decimal_string(slash: str) -> None:
    made = warm(valuation_body(upnl=e18("-12.000000000000000001")))
    async with (
        serving(made) as client,
        client.get(f"/partyA_upnl/{ADDRESS.lower()}{slash}", allow_redirects=False) as response,
    ):
        text = await response.text()

    assert (200, "application/json", '"-12.000000000000000001"') == (response.status, response.content_type, text)


async def test_party_a_upnl_is_a_number_of_the_same_digits_by_setting() -> None:
    made = warm(valuation_body(upnl=e18("-12.000000000000000001")))
    settings = api_settings("main", api=ApiSettings(upnl_as_number=True))
    async with serving(made, settings) as client, client.get(f"/partyA_upnl/{ADDRESS}") as response:
        assert "-12.000000000000000001" == await response.text()


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_address_is_not_found(path: str) -> None:
    async with serving(warm()) as client, client.get(path) as response:
        body = await response.json()

    assert 404 == response.status
    assert {
        "error_code": 404,
        "error_message": f"no account {ADDRESS.lower()} in deployment main",
        "error_detail": None,
    } == body


async def test_an_unknown_address_is_unavailable_until_every_partition_has_folded_the_head() -> None:
    made = warm()
    statuses = []
    async with serving(made) as client:
        for change in (_forget_a_partition, _leave_a_partition_behind, _fold_all):
            change(made)
            async with client.get(f"/upnl-a?address={ADDRESS}") as response:
                statuses.append(response.status)

    assert [503, 503, 404] == statuses


def _forget_a_partition(made: FakeTables) -> None:
    del made.watermarks.rows[b"main:5"]


def _leave_a_partition_behind(made: FakeTables) -> None:
    made.fold("main", 5, head=119)


def _fold_all(made: FakeTables) -> None:
    made.fold("main", 5, head=120)


@pytest.mark.parametrize(("age_s", "status"), [(120, 404), (121, 503)])
async def test_an_unknown_address_is_unavailable_while_the_newest_block_known_is_an_old_one(
    age_s: int, status: int
) -> None:
    """While history is read every partition is at the head, and the head is one of long ago."""
    now_ms = (HEAD_TIME_S + age_s) * 1_000
    async with (
        serving(warm(), clock_ms=lambda: now_ms) as client,
        client.get(f"/upnl-a?address={ADDRESS}") as response,
    ):
        assert status == response.status


@pytest.mark.parametrize("path", PATHS)
async def test_an_account_whose_blocks_were_rolled_back_is_not_found(path: str) -> None:
    async with serving(warm(no_account_body())) as client, client.get(path) as response:
        assert 404 == response.status


async def test_an_account_whose_blocks_were_rolled_back_may_be_in_what_is_not_folded_yet() -> None:
    made = warm(no_account_body())
    made.fold("main", 5, head=119)
    async with serving(made) as client, client.get(f"/upnl-a?address={ADDRESS}") as response:
        assert 503 == response.status


@pytest.mark.parametrize("path", PATHS)
async def test_an_account_of_an_unsupported_deployment_is_unavailable_whatever_its_row_says(path: str) -> None:
    made = warm(valuation_body())
    statuses = []
    async with serving(made) as client:
        for body in (deployment_body(), unsupported_body(), deployment_body()):
            made.deployments.put("main", 2, body)
            async with client.get(path) as response:
                statuses.append(response.status)

    assert [200, 503, 200] == statuses


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        valuation_body(status="suspect", upnl=None),
        valuation_body(status="unsupported", upnl=None),
        unpriced_body(last_complete=None),
    ],
)
async def test_unknown_figures_are_unavailable_and_not_zero(path: str, body: dict[str, Any]) -> None:
    async with serving(warm(body)) as client, client.get(path) as response:
        answer = await response.json()

    assert (503, 503, None) == (response.status, answer["error_code"], answer["error_detail"])
    assert body["status"] in answer["error_message"]
    assert "2" == response.headers["Retry-After"]


@pytest.mark.parametrize("path", PATHS)
async def test_cold_tables_are_unavailable(path: str) -> None:
    async with serving(FakeTables("main", ready=False)) as client, client.get(path) as response:
        assert 503 == response.status
        assert ["error_code", "error_message", "error_detail"] == list(await response.json())


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_address_of_an_unsupported_deployment_is_unavailable(path: str) -> None:
    made = warm()
    made.deployments.put("main", 2, unsupported_body())
    async with serving(made) as client, client.get(path) as response:
        assert 503 == response.status


async def test_an_unpriced_account_answers_its_last_complete_figures() -> None:
    made = warm(unpriced_body(last_complete=last_complete()))
    async with serving(made) as client:
        async with client.get(f"/upnl-a?address={ADDRESS}") as response:
            whole = await response.json()
        async with client.get(f"/partyA_upnl/{ADDRESS}") as response:
            upnl = await response.json()

    assert ("3.000000000000000001", 1_745_970_000) == (whole["upnl"], whole["timestamp"])
    assert "3.000000000000000001" == upnl


@pytest.mark.parametrize("path", ["/upnl-a", "/upnl-a?address=0x12", "/partyA_upnl/me"])
async def test_a_malformed_address_is_a_validation_error_of_the_legacy_shape(path: str) -> None:
    async with serving(warm()) as client, client.get(path) as response:
        (detail,) = (await response.json())["detail"]

    assert (422, ["loc", "msg", "type"]) == (response.status, list(detail))


async def test_each_deployment_has_its_own_accounts_under_its_prefix() -> None:
    made = FakeTables("first", "second")
    made.valuations.put(f"second:{ADDRESS.lower()}", 1, valuation_body())
    statuses = {}
    async with serving(made, api_settings("first", "second")) as client:
        for prefix in ("", "/first", "/second", "/third"):
            async with client.get(f"{prefix}/upnl-a?address={ADDRESS}") as response:
                statuses[prefix] = response.status

    assert {"": 404, "/first": 404, "/second": 200, "/third": 404} == statuses


@pytest.mark.parametrize("path", [*PATHS, "/no-such-path", "/upnl-ws"])
async def test_a_browsers_preflight_is_answered_for_every_path(path: str) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Headers": "app-name"}
    async with serving(warm()) as client, client.options(path, headers=headers) as response:
        assert 204 == response.status
        assert "*" == response.headers["Access-Control-Allow-Origin"]
        assert "App-Name, Content-Type, Authorization" == response.headers["Access-Control-Allow-Headers"]
        assert "GET, POST, DELETE, OPTIONS" == response.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("path", [f"/upnl-a?address={OTHER_ADDRESS}", "/no-such-path", "/upnl-ws"])
async def test_errors_are_readable_across_origins_and_in_the_legacy_shape(path: str) -> None:
    async with serving(warm()) as client, client.get(path, headers={"App-Name": "x"}) as response:
        body = await response.json()

    assert "*" == response.headers["Access-Control-Allow-Origin"]
    assert (response.status, None) == (body["error_code"], body["error_detail"])


@pytest.mark.parametrize("names", [(), ("ws",), ("main", "api")])
async def test_a_configuration_that_cannot_be_served_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings, match="deployments"):
        create_app(
            api_settings(*names),
            FakeTables().feeds,
            FakeInterest(),
            clock=SystemClock(),
            find_dialect=symmio_that_hears(),
        )
