"""What a token that opens some accounts alone shows over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from pydantic import SecretStr

from streams.settings import AuthSettings, TokenKeySettings
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


@pytest.mark.parametrize("suffix", ["", "/positions"])
async def test_an_account_out_of_scope_is_answered_as_one_that_does_not_exist_to_the_letter(suffix: str) -> None:
    tables = filled_tables()
    said = []
    async with serving(tables, settings_with_tokens()) as client:
        assert 200 == (await get(client, f"/v1/accounts/{MINE}{suffix}", bearer(MINE))).status
        for head in (120, 119):
            tables.fold("main", 5, head=head)
            for key in (NOT_MINE, NOBODYS):
                answer = await get(client, f"/v1/accounts/{key}{suffix}", bearer(MINE))
                said.append(
                    (answer.status, str(answer.body).replace(key.partition(":")[2], "…"), "ETag" in answer.headers)
                )

    assert [404, 404, 503, 503] == [status for status, _, _ in said]
    assert (said[0], said[2]) == (said[1], said[3])


async def test_lists_leave_out_what_is_out_of_scope() -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        listed = [
            [item["account"] for item in (await get(client, path, bearer(MINE))).body["items"]]
            for path in ("/v1/accounts", "/v1/positions", "/v1/accounts?limit=1&sort=address&direction=desc")
        ]
        every = await get(client, "/v1/accounts", bearer("main:*"))

    assert [[MINE]] * 3 == listed
    assert 4 == len(every.body["items"])


async def test_positions_of_an_account_out_of_scope_are_those_of_one_that_does_not_exist() -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        assert 404 == (await get(client, f"/v1/positions?account={NOT_MINE}", bearer(MINE))).status


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


@pytest.mark.parametrize("path", ["/v1/marks", "/v1/markets", "/v1/status"])
async def test_what_is_no_accounts_any_token_opens(path: str) -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client:
        assert 200 == (await get(client, path, bearer(MINE))).status


@pytest.mark.parametrize("path", ["/v1/openapi.yaml", "/docs", "/docs/websocket", "/docs/problems", "/docs/page.css"])
async def test_the_contract_needs_no_token(path: str) -> None:
    async with serving(filled_tables(), settings_with_tokens()) as client, client.get(path) as response:
        assert 200 == response.status
