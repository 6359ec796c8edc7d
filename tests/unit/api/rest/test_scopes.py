"""What a token that opens some accounts alone shows over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from pydantic import SecretStr

from streams.settings import AuthSettings, TokenKeySettings
from tests.support.account_rows import told_tables
from tests.support.api import api_settings, serving
from tests.support.feed import FakeTables, valuation_body
from tests.support.rest import NOW_MS, account_key, filled_tables, get

if TYPE_CHECKING:
    from streams.settings import Settings

SECRET = "a secret of more than 32 bytes, as it should be"
MINE, NOT_MINE, NOBODYS = account_key(0), account_key(1), account_key(77)


def settings_with_tokens() -> Settings:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    return api_settings("main", "other").model_copy(update={"auth": auth})


def bearer(*accounts: str) -> dict[str, str]:
    claims = {"sub": "desk-1", "exp": NOW_MS // 1000 + 60, "accounts": list(accounts)}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}


@pytest.mark.parametrize("path", ["/v1/accounts", f"/v1/accounts/{MINE}", "/v1/marks", "/v1/status"])
async def test_nothing_is_said_without_a_token(path: str) -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        answer = await get(client, path)

    assert (401, 'Bearer realm="tidemark"') == (answer.status, answer.headers["WWW-Authenticate"])


async def test_a_token_in_the_url_is_a_problem() -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        assert 400 == (await get(client, "/v1/accounts?token=x")).status


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/{}",
        "/v1/accounts/{}/positions",
        "/v1/accounts/{}/alerts",
        "/v1/accounts/{}/position-states",
        "/v1/accounts/{}/statement",
        "/v1/positions?account={}",
        "/v1/alerts?account={}",
        "/v1/position-states?account={}",
    ],
)
async def test_an_account_out_of_scope_is_answered_as_one_that_does_not_exist_to_the_letter(path: str) -> None:
    tables = told_tables()
    said = []
    async with serving(tables, settings_with_tokens()) as client:
        assert 200 == (await get(client, path.format(MINE), bearer(MINE))).status
        for head in (120, 119):
            tables.fold("main", 5, head=head)
            for key in (NOT_MINE, NOBODYS):
                answer = await get(client, path.format(key), bearer(MINE))
                said.append(
                    (answer.status, str(answer.body).replace(key.partition(":")[2], "…"), "ETag" in answer.headers)
                )

    assert [404, 404, 503, 503] == [status for status, _, _ in said]
    assert (said[0], said[2]) == (said[1], said[3])


@pytest.mark.parametrize(
    ("path", "readers"),
    [
        ("/v1/accounts", 4),
        ("/v1/accounts?limit=1&sort=address&direction=desc", 4),
        ("/v1/positions", 4),
        ("/v1/alerts", 3),
        ("/v1/position-states", 2),
    ],
)
async def test_lists_leave_out_what_is_out_of_scope(path: str, readers: int) -> None:
    async with serving(told_tables(), settings_with_tokens()) as client:
        mine = await get(client, path, bearer(MINE))
        every = await get(client, path.partition("?")[0], bearer("main:*"))

    assert ({MINE}, False) == ({item["account"] for item in mine.body["items"]}, "next_cursor" in mine.body)
    assert readers == len({item["account"] for item in every.body["items"]})


@pytest.mark.parametrize("path", ["/v1/accounts?status=valued", "/v1/positions", "/v1/alerts", "/v1/position-states"])
async def test_lists_count_no_row_out_of_scope_that_cannot_be_read(path: str) -> None:
    tables = told_tables()
    for feed in (tables.valuations, tables.alerts, tables.position_states):
        feed.put(NOT_MINE, 10**6, {})
    async with serving(tables, settings_with_tokens()) as client:
        assert 0 == (await get(client, path, bearer(MINE))).body["unreadable"]
        assert 1 == (await get(client, path, bearer("main:*"))).body["unreadable"]


async def test_sums_need_all_accounts_of_their_deployment() -> None:
    tables = FakeTables("main")
    tables.valuations.put(MINE, 1, valuation_body())
    async with serving(tables, settings_with_tokens()) as client:
        none = await get(client, "/v1/totals", bearer(MINE))
        some = await get(client, "/v1/totals", bearer("other:*", MINE))
        hidden = await get(client, "/v1/totals?deployment=main", bearer("other:*"))
        missing = await get(client, "/v1/totals?deployment=nope", bearer("other:*"))

    assert ([], [{"deployment": "other"}]) == (none.body["items"], some.body["items"])
    assert (400, hidden.body["detail"].replace("main", "nope")) == (hidden.status, missing.body["detail"])


@pytest.mark.parametrize("path", ["/v1/marks", "/v1/markets", "/v1/funding", "/v1/status"])
async def test_what_is_no_accounts_any_token_opens(path: str) -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        assert 200 == (await get(client, path, bearer(MINE))).status


@pytest.mark.parametrize("path", ["/v1/openapi.yaml", "/docs", "/docs/websocket", "/docs/problems", "/docs/page.css"])
async def test_the_contract_needs_no_token(path: str) -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client, client.get(path) as response:
        assert 200 == response.status
