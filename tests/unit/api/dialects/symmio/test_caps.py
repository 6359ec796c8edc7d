from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import ADDRESS, OTHER_ADDRESS, metric, serving, serving_admin
from tests.support.feed import FakeTables, nobody_body, unsupported_body
from tests.support.solver import (
    HEDGER,
    NOW_MS,
    OTHER_HEDGER,
    pending,
    position,
    put_account,
    put_mark,
    put_market,
    solver_settings,
)


def two_markets() -> FakeTables:
    tables = FakeTables("main")
    for symbol_id, name in ((1, "BTCUSDT"), (2, "ETHUSDT")):
        put_market(tables, symbol_id, name)
    put_mark(tables, "BTCUSDT", "100", age_ms=60_000)
    return tables


async def used(tables: FakeTables, path: str = "/open-interest", **main: Any) -> str:  # noqa: ANN401
    async with serving(tables, solver_settings(main=main), clock_ms=lambda: NOW_MS) as client:
        return await _used(client, path)


async def _used(client: Any, path: str = "/open-interest") -> str:  # noqa: ANN401
    async with client.get(path) as response:
        assert 200 == response.status
        return str((await response.json())["used"])


async def test_open_interest_is_a_cap_and_what_is_used_of_it_as_texts() -> None:
    tables = two_markets()
    put_account(tables, ADDRESS, position("1.5", "90", "95"))
    settings = solver_settings(main={"solver": {"open_interest_cap": "2438560.667955634347925220"}})
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client, client.get("/open-interest") as response:
        assert '{"total_cap":"2438560.66795563434792522","used":"150"}' == await response.text()


@pytest.mark.parametrize("symbol", ["1", "BTCUSDT"])
async def test_a_symbols_cap_is_asked_for_by_number_or_name(symbol: str) -> None:
    tables = two_markets()
    put_account(tables, ADDRESS, position("1.5", "90", "95"), position("3", "7", None, quote=2, symbol=2))
    solver = {"symbols": {"BTCUSDT": {"cap": 2_344_336}}}
    async with (
        serving(tables, solver_settings(main={"solver": solver}), clock_ms=lambda: NOW_MS) as client,
        client.get(f"/notional_cap/{symbol}") as response,
    ):
        assert {"total_cap": "2344336", "used": "150"} == await response.json()


async def test_a_cap_of_no_symbol_is_not_found() -> None:
    async with serving(two_markets(), solver_settings(main={})) as client, client.get("/notional_cap/7") as response:
        assert (404, 404) == (response.status, (await response.json())["error_code"])


async def test_positions_count_at_the_mark_of_now_and_at_their_opened_price_where_there_is_none() -> None:
    """The mark of now is another than the one in the row, which may be a minute old; a stale one beats none."""
    tables = two_markets()
    put_account(tables, ADDRESS, position("1.5", "90", "95"), position("3", "7", None, quote=2, symbol=2))
    async with serving(tables, solver_settings(main={}), clock_ms=lambda: NOW_MS) as client:
        assert "171" == await _used(client)
        async with serving_admin(client.app) as admin:
            assert 1 == await metric(admin, 'tidemark_api_unpriced_quotes{deployment="main"}')


async def test_only_the_configured_hedgers_positions_count() -> None:
    tables = two_markets()
    put_account(tables, ADDRESS, position("1", "90", "95"), position("2", "90", "95", quote=2, party_b=OTHER_HEDGER))

    assert "100" == await used(tables)
    assert "200" == await used(tables, hedgers=[OTHER_HEDGER])
    assert "300" == await used(tables, hedgers=[HEDGER, OTHER_HEDGER])
    assert "300" == await used(tables, hedgers=[])
    assert "0" == await used(tables, hedgers=["0x" + "e" * 40])


async def test_pending_quotes_count_by_a_setting_where_a_hedger_of_ours_locked_or_may_lock_them() -> None:
    tables = two_markets()
    quotes = [
        pending("1", "50"),
        pending("2", "50", whitelist=["0x" + "B" * 40, OTHER_HEDGER]),
        pending("4", "50", whitelist=[OTHER_HEDGER]),
        pending("8", "50", party_b=HEDGER, whitelist=[OTHER_HEDGER]),
        pending("16", "50", party_b=OTHER_HEDGER),
        pending("32", "5", symbol=2),
    ]
    put_account(tables, ADDRESS, pending_quotes=quotes)

    assert "0" == await used(tables)
    assert str((1 + 2 + 8) * 100 + 32 * 5) == await used(tables, solver={"count_pending": True})


async def test_sums_follow_accounts_as_they_change() -> None:
    tables = two_markets()
    async with serving(tables, solver_settings(main={}), clock_ms=lambda: NOW_MS) as client:
        found = [await _used(client)]
        put_account(tables, ADDRESS, position("1", "90", "95"))
        put_account(tables, OTHER_ADDRESS, position("2", "90", "95"))
        found.append(await _used(client))
        put_account(tables, ADDRESS, position("0.25", "90", "95"), version=2)
        found.append(await _used(client))
        put_mark(tables, "BTCUSDT", "1000")
        found.append(await _used(client))
        tables.valuations.put(f"main:{ADDRESS.lower()}", 3, {**nobody_body(), "account_order": [1, 3]})
        found.append(await _used(client))
        tables.valuations.remove(f"main:{OTHER_ADDRESS.lower()}")
        found.append(await _used(client))

    assert ["0", "300", "225", "2250", "2000", "0"] == found


async def test_a_row_whose_account_is_as_it_was_is_not_decoded_again() -> None:
    """Prices move every row every few seconds; quantities only move with the account's own blocks."""
    tables = two_markets()
    put_account(tables, ADDRESS, position("1", "90", "95"))
    async with serving(tables, solver_settings(main={}), clock_ms=lambda: NOW_MS) as client:
        await _used(client)
        tables.valuations.put(f"main:{ADDRESS.lower()}", 2, {"account_order": [1, 1], "else": "unreadable"})

        assert "100" == await _used(client)


async def test_a_row_that_cannot_be_read_makes_the_sum_unknown_until_another_stands() -> None:
    tables = two_markets()
    tables.valuations.put(f"main:{ADDRESS.lower()}", 1, {"account_order": [1, 1]})
    async with serving(tables, solver_settings(main={}), clock_ms=lambda: NOW_MS) as client:
        for _ in range(2):
            async with client.get("/open-interest") as response:
                assert 503 == response.status
        put_account(tables, ADDRESS, position("1", "90", "95"), version=2)

        assert "100" == await _used(client)


async def test_another_deployments_quotes_never_count() -> None:
    tables = two_markets()
    tables.follow("second")
    put_account(tables, ADDRESS, position("1", "90", "95"), of="second")
    put_account(tables, ADDRESS, position("2", "90", "95"), of="a-deployment-that-is-not-served")

    assert "0" == await used(tables)


async def test_open_interest_of_an_unsupported_deployment_is_unavailable() -> None:
    tables = two_markets()
    tables.deployments.put("main", 2, unsupported_body())
    async with serving(tables, solver_settings(main={})) as client:
        for path in ("/open-interest", "/notional_cap/1"):
            async with client.get(path) as response:
                assert 503 == response.status
