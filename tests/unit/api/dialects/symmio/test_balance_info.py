from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.symmio.notification_views import checksummed
from tests.support.api import ADDRESS, OTHER_ADDRESS, serving
from tests.support.feed import FakeTables, e18, last_complete, nobody_body, unpriced_body, unsupported_body
from tests.support.solver import (
    HEDGER,
    MULTI_ACCOUNT,
    NOW_MS,
    OTHER_HEDGER,
    OTHER_MULTI_ACCOUNT,
    position,
    put_account,
    solver_settings,
)

OWNER, STRANGER = "0x" + "0e" * 20, "0x" + "99" * 20
SUB, OTHER_SUB = checksummed(ADDRESS.lower()), checksummed(OTHER_ADDRESS.lower())
BUCKET = [e18("70"), [e18("6"), e18("3"), e18("91"), e18("0.25")], [e18("1"), e18("2"), e18("4"), e18("8")]]
OWNED: dict[str, Any] = {"owner": OWNER, "multi_account": MULTI_ACCOUNT}


def one_account(**changes: Any) -> FakeTables:  # noqa: ANN401
    tables = FakeTables("main")
    put_account(tables, ADDRESS, position("10", "101.25", "100"), **{**OWNED, "party_b": {HEDGER: BUCKET}, **changes})
    return tables


async def answer(path: str, tables: FakeTables, **main: Any) -> tuple[int, Any]:  # noqa: ANN401
    main = {"multi_accounts": [MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT], **main}
    async with (
        serving(tables, solver_settings(main=main), clock_ms=lambda: NOW_MS) as client,
        client.get(path) as response,
    ):
        return response.status, await response.json()


async def entries(address: str, tables: FakeTables, multi_account: str = MULTI_ACCOUNT, **main: Any) -> Any:  # noqa: ANN401
    status, body = await answer(f"/get_balance_info/{address}/{multi_account}", tables, **main)
    assert 200 == status
    return body


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.lower(), OWNER, checksummed(OWNER)])
async def test_a_sub_account_or_its_owner_is_answered_with_both_sides_by_the_sub_accounts_address(address: str) -> None:
    both = {
        "cva": "6", "lf": "3", "party_a_mm": "91", "party_b_mm": "0.25", "pending_cva": "1", "pending_lf": "2",
        "pending_party_a_mm": "4", "pending_party_b_mm": "8", "notional": "1000", "timestamp": 1_745_970_777,
    }  # fmt: skip

    assert {
        SUB: {
            "party_a": {
                "address": SUB,
                "upnl": "-12.5",
                "available_balance": "98.5",
                "allocated_balance": "120",
                **both,
            },
            "party_b": {
                "address": checksummed(HEDGER),
                "upnl": "12.5",
                "available_balance": "73.5",
                "allocated_balance": "70",
                **both,
            },
        }
    } == await entries(address, one_account())


async def test_the_answer_is_a_list_by_a_setting() -> None:
    found = await entries(OWNER, one_account(), solver={"balance_list": True})

    assert [SUB] == [entry["party_a"]["address"] for entry in found]


async def test_an_owner_is_answered_for_the_sub_accounts_of_the_multi_account_that_is_asked_for() -> None:
    tables = one_account()
    put_account(tables, OTHER_ADDRESS, **OWNED)
    put_account(tables, "0x" + "77" * 20, owner=OWNER, multi_account=OTHER_MULTI_ACCOUNT)
    put_account(tables, "0x" + "88" * 20, owner=STRANGER, multi_account=MULTI_ACCOUNT)

    assert {SUB, OTHER_SUB} == set(await entries(OWNER, tables))
    assert {"0x" + "77" * 20} == set(await entries(OWNER, tables, OTHER_MULTI_ACCOUNT))


async def test_a_sub_account_that_changes_hands_leaves_its_first_owner() -> None:
    tables = one_account()
    async with serving(tables, solver_settings(main={}), clock_ms=lambda: NOW_MS) as client:
        found: list[int] = []
        for owner in (OWNER, STRANGER):
            put_account(tables, ADDRESS, version=2 + len(found), **{**OWNED, "owner": owner})
            for asked in (OWNER, STRANGER):
                async with client.get(f"/get_balance_info/{asked}/{MULTI_ACCOUNT}") as response:
                    found.append(len(await response.json()))

    assert [1, 0, 0, 1] == found


@pytest.mark.parametrize(
    ("address", "multi_account"),
    [(STRANGER, MULTI_ACCOUNT), (ADDRESS, OTHER_MULTI_ACCOUNT), (OWNER, OTHER_MULTI_ACCOUNT), (ADDRESS, STRANGER)],
)
async def test_whom_the_multi_account_does_not_know_gets_nothing(address: str, multi_account: str) -> None:
    assert {} == await entries(address, one_account(), multi_account)


async def test_an_account_that_no_multi_account_made_is_answered_by_its_own_address() -> None:
    assert {SUB} == set(await entries(ADDRESS, one_account(owner=None, multi_account=None)))


async def test_an_account_whose_blocks_were_rolled_back_is_nobodys() -> None:
    tables = FakeTables("main")
    tables.valuations.put(f"main:{ADDRESS.lower()}", 1, nobody_body())

    assert {} == await entries(ADDRESS, tables)


async def test_party_b_is_the_sum_of_the_configured_hedgers_buckets_and_party_a_concerns_all() -> None:
    tables = FakeTables("main")
    positions = position("10", "101.25", "100"), position("1", "90", "100", quote=2, party_b=OTHER_HEDGER)
    buckets = {HEDGER: BUCKET, OTHER_HEDGER: [e18("5"), ["0"] * 4, ["0"] * 4]}
    put_account(tables, ADDRESS, *positions, **OWNED, party_b=buckets)
    found = {}
    for name, hedgers in (("one", [HEDGER]), ("two", [OTHER_HEDGER, HEDGER]), ("none", [STRANGER]), ("any", [])):
        entry = (await entries(ADDRESS, tables, hedgers=hedgers))[SUB]
        assert "-12.5" == entry["party_a"]["upnl"]
        side = entry["party_b"]
        found[name] = side["address"], side["upnl"], side["notional"], side["allocated_balance"], side["pending_lf"]

    assert {
        "one": (checksummed(HEDGER), "12.5", "1000", "70", "2"),
        "two": (checksummed(OTHER_HEDGER), "2.5", "1100", "75", "2"),
        "none": (checksummed(STRANGER), "0", "0", "0", "0"),
        "any": (checksummed(HEDGER), "2.5", "1100", "75", "2"),
    } == found


async def test_what_no_price_tells_is_null_and_balances_are_real() -> None:
    tables = FakeTables("main")
    body = unpriced_body(last_complete=None)
    missing = position("10", "101.25", None)
    tables.valuations.put(
        f"main:{ADDRESS.lower()}", 1, {**body, **OWNED, "positions": [missing], "party_b": {HEDGER: BUCKET}}
    )
    entry = (await entries(OWNER, tables))[SUB]

    for side, allocated in (("party_a", "120"), ("party_b", "70")):
        money = entry[side]
        assert (None, None, None) == (money["upnl"], money["notional"], money["available_balance"])
        assert (allocated, "6") == (money["allocated_balance"], money["cva"])


async def test_an_account_that_was_priced_before_answers_its_last_complete_figures() -> None:
    tables = FakeTables("main")
    tables.valuations.put(
        f"main:{ADDRESS.lower()}", 1, {**unpriced_body(last_complete=last_complete()), **OWNED, "positions": []}
    )
    side = (await entries(OWNER, tables))[SUB]["party_a"]

    assert ("3.000000000000000001", 1_745_970_000) == (side["upnl"], side["timestamp"])


async def test_unknown_figures_are_unavailable_for_the_account_and_left_out_for_its_owner() -> None:
    tables = one_account()
    put_account(tables, OTHER_ADDRESS, **OWNED, status="suspect")

    assert 503 == (await answer(f"/get_balance_info/{OTHER_ADDRESS}/{MULTI_ACCOUNT}", tables))[0]
    assert {SUB} == set(await entries(OWNER, tables))


async def test_an_unsupported_deployment_is_unavailable() -> None:
    tables = one_account()
    tables.deployments.put("main", 2, unsupported_body())

    assert 503 == (await answer(f"/get_balance_info/{ADDRESS}/{MULTI_ACCOUNT}", tables))[0]


async def test_a_malformed_address_is_a_validation_error_of_the_legacy_shape() -> None:
    status, body = await answer(f"/get_balance_info/me/{MULTI_ACCOUNT}", one_account())

    assert (422, ["path", "address"]) == (status, body["detail"][0]["loc"])


async def test_whoever_may_be_in_a_block_that_is_not_folded_yet_is_waited_for_and_then_not_known() -> None:
    tables = one_account()
    tables.fold("main", 5, head=119)
    settings = solver_settings(main={})
    path = f"/get_balance_info/{STRANGER}/{MULTI_ACCOUNT}"
    async with serving(tables, settings, clock_ms=lambda: NOW_MS) as client:
        async with client.get(path) as response:
            assert 503 == response.status
        asyncio.get_running_loop().call_later(0.1, lambda: tables.fold("main", 5, head=120))
        async with client.get(path) as response:
            assert (200, {}) == (response.status, await response.json())


async def test_nothing_is_said_of_a_deployment_of_which_no_block_is_folded() -> None:
    tables = FakeTables()

    assert 503 == (await answer(f"/get_balance_info/{ADDRESS}/{MULTI_ACCOUNT}", tables))[0]
    assert 503 == (await answer("/open-interest", tables))[0]
