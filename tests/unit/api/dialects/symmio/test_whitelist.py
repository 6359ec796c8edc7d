"""The whitelist: who is on it in which mode, what is asked of it, and who may write it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.app import create_app
from api.dialects.symmio.app_keys import WHITELIST
from models.owners import SubAccountOwner
from streams.process.clock import SystemClock
from streams.settings import BadSettings
from tests.support.api import ADDRESS, OTHER_ADDRESS, TICK_S, FakeInterest, FakeRecords, serving, symmio_that_hears
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, valuation_body
from tests.support.legacy import PositionStates, frame, is_silent_for
from tests.support.solver import MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT, solver_settings

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

OWNER, STRANGER = "0x" + "0E" * 20, "0x" + "5A" * 20
KEY = f"main:{ADDRESS.lower()}".encode()
OTHER_KEY = f"main:{OTHER_ADDRESS.lower()}".encode()
INGEST_KEY = "a secret of the operator's"
ADDED = {"successful": True, "message": None}


def sub_account(**changes: object) -> dict[str, Any]:
    return valuation_body(**{"owner": OWNER.lower(), "multi_account": MULTI_ACCOUNT, **changes})


def tables() -> FakeTables:
    """ADDRESS is a sub-account of OWNER's; OTHER_ADDRESS is party A without a MultiAccount."""
    made = FakeTables("main")
    made.valuations.put(KEY.decode(), 1, sub_account())
    made.valuations.put(OTHER_KEY.decode(), 1, valuation_body(owner=None))
    return made


def settings(mode: str | None = None, **changes: Any) -> Any:  # noqa: ANN401
    whitelist = {} if mode is None else {"mode": mode}
    return solver_settings(main={"whitelist": whitelist, "ingest_key": INGEST_KEY, **changes})


async def get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path, headers={"App-Name": "cloverfield"}, allow_redirects=False) as response:
        return response.status, orjson.loads(await response.read())


async def check(client: Client, address: str, multi_account: str = MULTI_ACCOUNT) -> object:
    status, body = await get(client, f"/check_in-whitelist/{address}/{multi_account}")
    assert 200 == status
    return body


async def add(client: Client, address: str, multi_account: str = MULTI_ACCOUNT) -> dict[str, Any]:
    status, body = await get(client, f"/add-sub-address-in-whitelist/{address}/{multi_account}")
    assert 200 == status
    assert {"successful", "message"} == body.keys()
    assert isinstance(body, dict)
    return body


async def put(client: Client, body: object, key: str | None = INGEST_KEY) -> tuple[int, Any]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with client.post("/ingest/whitelist", data=orjson.dumps(body), headers=headers) as response:
        return response.status, orjson.loads(await response.read())


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is not waited for long."""
    monkeypatch.setattr("api.dialects.symmio.whitelisting._MADE_WITHIN_S", TICK_S)
    monkeypatch.setattr("api.dialects.symmio.owners.OWNER_WAITED_FOR_S", TICK_S)


@pytest.mark.parametrize("mount", ["", "/api", "/main", "/main/api"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_check_is_answered_with_a_bare_true_and_an_addition_with_an_object(mount: str, slash: str) -> None:
    async with serving(tables(), settings()) as client:
        path = f"{mount}/check_in-whitelist/{OWNER}/{MULTI_ACCOUNT}{slash}"
        async with client.get(path, allow_redirects=False) as response:
            assert (200, b"true", "application/json") == (
                response.status, await response.read(), response.content_type,
            )  # fmt: skip
        assert (200, ADDED) == await get(
            client, f"{mount}/add-sub-address-in-whitelist/{ADDRESS}/{MULTI_ACCOUNT.upper().replace('0X', '0x')}{slash}"
        )


@pytest.mark.parametrize("path", ["check_in-whitelist", "add-sub-address-in-whitelist"])
async def test_a_browser_may_ask_with_the_name_of_its_app(path: str) -> None:
    async with (
        serving(tables(), settings()) as client,
        client.options(
            f"/{path}/{OWNER}/{MULTI_ACCOUNT}",
            headers={"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "app-name"},
        ) as response,
    ):
        assert "App-Name" in response.headers["Access-Control-Allow-Headers"]
        assert "*" == response.headers["Access-Control-Allow-Origin"]


async def test_a_multi_account_of_nobody_is_false_and_not_added() -> None:
    async with serving(tables(), settings("open")) as client:
        assert await check(client, OWNER, OTHER_MULTI_ACCOUNT) is False
        assert (await add(client, ADDRESS, OTHER_MULTI_ACCOUNT))["successful"] is False


@pytest.mark.parametrize("path", ["check_in-whitelist", "add-sub-address-in-whitelist"])
async def test_what_is_no_address_is_refused_as_fastapi_does(path: str) -> None:
    async with serving(tables(), settings()) as client:
        status, body = await get(client, f"/{path}/0x12/{MULTI_ACCOUNT}")

    assert (422, ["path", "address"]) == (status, body["detail"][0]["loc"])
    assert {"loc", "msg", "type"} == body["detail"][0].keys()


async def test_an_open_list_has_everybody_on_it() -> None:
    async with serving(tables(), settings("open")) as client:
        assert await check(client, STRANGER) is True
        assert await add(client, STRANGER) == ADDED


async def test_in_multiaccount_mode_owners_and_sub_accounts_are_on_it_in_any_case_and_other_accounts_are_not() -> None:
    async with serving(tables(), settings()) as client:
        for address in (OWNER, OWNER.lower(), OWNER.upper().replace("0X", "0x"), ADDRESS, ADDRESS.lower()):
            assert await check(client, address) is True
        assert await check(client, OTHER_ADDRESS) is False


async def test_in_multiaccount_mode_a_wallet_without_a_sub_account_is_on_it_too() -> None:
    """Its frontend asks once, and would not ask again when its first sub-account has been made."""
    async with serving(tables(), settings()) as client:
        assert await check(client, STRANGER) is True


async def test_a_list_has_whom_the_file_names_in_any_case_and_their_sub_accounts_only_once_added(
    tmp_path: Path, soon: None
) -> None:
    file = tmp_path / "whitelist"
    file.write_text(f"# ours\n\n  {OWNER.upper().replace('0X', '0x')} # the first\n")
    made, records = tables(), FakeRecords()
    made.valuations.put(OTHER_KEY.decode(), 2, sub_account(owner=STRANGER.lower()))
    async with serving(made, settings(whitelist={"mode": "list", "file": str(file)}), records=records) as client:
        assert [True, False, False, False] == [
            await check(client, one) for one in (OWNER, ADDRESS, STRANGER, OTHER_ADDRESS)
        ]
        assert (await add(client, OTHER_ADDRESS))["successful"] is False
        assert [ADDED] * 3 == [await add(client, ADDRESS) for _ in range(3)]

        assert [("whitelist", KEY, b'{"by":"owner"}')] == records.sent
        assert await check(client, ADDRESS) is True


# Its capitals are those of an address with another first digit.
WRONG_DIGIT = "0xACBaBaBaBABabABabAbAbABAbABabababaBaBABaB"


@pytest.mark.parametrize("text", ["0x12", ADDRESS + "00", "hello", WRONG_DIGIT])
async def test_a_line_of_the_file_that_is_no_address_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "whitelist"
    file.write_text(f"{ADDRESS.lower()}\n{text}\n")
    wrong = settings(whitelist={"mode": "list", "file": str(file)})
    with pytest.raises(BadSettings, match=r"deployments\.main\.whitelist\.file: .* line 2 of "):
        create_app(
            wrong,
            FakeTables("main").feeds,
            FakeInterest(),
            clock=SystemClock(),
            records=FakeRecords(),
            find_dialect=symmio_that_hears(),
        )


async def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    wrong = settings(whitelist={"mode": "list", "file": str(tmp_path / "none")})
    with pytest.raises(BadSettings, match="expected a file of addresses"):
        create_app(
            wrong,
            FakeTables("main").feeds,
            FakeInterest(),
            clock=SystemClock(),
            records=FakeRecords(),
            find_dialect=symmio_that_hears(),
        )


async def test_an_operator_puts_accounts_on_and_takes_them_off_for_every_socket_and_endpoint() -> None:
    made, records = tables(), FakeRecords()
    states = PositionStates(made)
    async with (
        serving(made, settings("list"), records=records) as client,
        client.ws_connect("/ws/upnl-ws") as upnl,
        client.ws_connect("/ws/position-state-ws3") as news,
    ):
        await upnl.send_str(ADDRESS)
        await news.send_json({"address": [ADDRESS]})
        assert await check(client, OWNER) is False
        states.say(KEY.decode(), {"id": "before"})
        assert await is_silent_for(news, TICK_S)
        assert 0 == await found(client)

        assert (200, ADDED) == await put(client, {"add": [ADDRESS]})
        assert "-12.5" == (await frame(upnl))["upnl"]
        states.say(KEY.decode(), {"id": "after"})
        assert "after" == (await frame(news))["id"]
        assert 2 == await found(client)
        assert [True, True] == [await check(client, one) for one in (OWNER, ADDRESS)]

        assert (200, ADDED) == await put(client, {"remove": [ADDRESS.lower()]})
        states.say(KEY.decode(), {"id": "later"})
        assert await is_silent_for(news, TICK_S)
        assert 0 == await found(client)
        assert await check(client, OWNER) is False

    assert [("whitelist", KEY, b'{"by":"operator"}'), ("whitelist", KEY, None)] == records.sent


async def found(client: Client) -> int:
    async with client.post("/position-state/0/10", json={}) as response:
        return int((await response.json())["count"])


async def test_upnl_of_an_account_that_is_not_on_the_list_is_silence_and_of_none_it_is_an_empty_object() -> None:
    """An empty object shows as zero: so do the figures of an account that has not been made yet, truly."""
    async with serving(tables(), settings()) as client, client.ws_connect("/upnl-ws") as socket:
        await socket.send_str(OTHER_ADDRESS)
        assert await is_silent_for(socket, 2 * TICK_S)
        await socket.send_str(STRANGER)

        assert {} == await frame(socket)


@pytest.mark.parametrize("mode", ["multiaccount", "list"])
async def test_a_sub_account_made_a_second_ago_is_waited_for(mode: str) -> None:
    made, records = FakeTables("main"), FakeRecords()
    records.whitelisted.add(f"main:{OWNER.lower()}".encode())
    async with serving(made, settings(mode), records=records) as client:
        asking = [asyncio.create_task(add(client, one)) for one in (ADDRESS, ADDRESS.lower(), OTHER_ADDRESS)]
        await eventually(lambda: len(client.app[WHITELIST]._expected) == 2)
        made.valuations.put(OTHER_KEY.decode(), 1, valuation_body(owner=None))
        made.valuations.put(KEY.decode(), 1, sub_account())
        assert [ADDED, ADDED] == await asyncio.gather(*asking[:2])
        assert not asking[2].done()
        made.valuations.put(OTHER_KEY.decode(), 2, sub_account())

        assert ADDED == await asking[2]
        assert {} == client.app[WHITELIST]._expected
        written = {key for _, key, _ in records.sent}
        assert (set() if mode == "multiaccount" else {KEY, OTHER_KEY}) == written


@pytest.mark.parametrize("mode", ["multiaccount", "list"])
async def test_one_that_is_not_made_in_time_is_not_added_and_nothing_is_written(mode: str, soon: None) -> None:
    records = FakeRecords()
    async with serving(FakeTables("main"), settings(mode), records=records) as client:
        assert (await add(client, ADDRESS))["successful"] is False
        assert {} == client.app[WHITELIST]._expected

    assert [] == records.sent


MADE = SubAccountOwner(MULTI_ACCOUNT, OWNER.lower())


@pytest.mark.parametrize("mode", ["multiaccount", "list"])
async def test_a_sub_account_older_than_the_blocks_is_confirmed_by_a_call_and_every_replica_learns_it(
    mode: str, soon: None
) -> None:
    records = FakeRecords()
    records.whitelisted.add(f"main:{OWNER.lower()}".encode())
    records.made = {KEY: MADE, OTHER_KEY: None}
    both = settings(mode, multi_accounts=[MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT])
    async with serving(FakeTables("main"), both, records=records) as client:
        assert (await add(client, ADDRESS, OTHER_MULTI_ACCOUNT))["successful"] is False
        assert (await add(client, OTHER_ADDRESS))["successful"] is False
        assert [ADDED] * 2 == [await add(client, ADDRESS) for _ in range(2)]
        assert await check(client, ADDRESS) is True

    assert [("whitelist", KEY, b'{"by":"call"}')] == records.sent


async def test_one_whose_owner_is_not_listed_is_not_added_though_a_call_confirms_it(soon: None) -> None:
    records = FakeRecords()
    records.made = {KEY: MADE}
    async with serving(FakeTables("main"), settings("list"), records=records) as client:
        assert "is not a sub-account of a listed wallet" in (await add(client, ADDRESS))["message"]

    assert [] == records.sent


async def test_several_who_ask_at_once_ask_the_chain_once_and_all_are_answered(soon: None) -> None:
    records = FakeRecords()
    async with serving(FakeTables("main"), settings(), records=records) as client:
        asking = [asyncio.create_task(add(client, ADDRESS)) for _ in range(3)]
        await eventually(lambda: records.asked == [KEY])
        records.owners.take(KEY, MADE)
        assert [ADDED] * 3 == await asyncio.gather(*asking)

    assert [KEY] == records.asked


async def test_what_another_replica_has_asked_is_not_asked_again(soon: None) -> None:
    records = FakeRecords()
    records.owners.take(KEY, MADE)
    async with serving(FakeTables("main"), settings(), records=records) as client:
        assert ADDED == await add(client, ADDRESS)

    assert [] == records.asked


@pytest.mark.parametrize("is_down", [False, True])
async def test_where_nobody_tells_the_owner_what_the_blocks_say_is_waited_for(
    is_down: bool,  # noqa: FBT001 - a case of the list above
    soon: None,
) -> None:
    records = FakeRecords()
    records.is_down = is_down
    async with serving(FakeTables("main"), settings(), records=records) as client:
        assert "is no sub-account as far as blocks have been read" in (await add(client, ADDRESS))["message"]

    assert ([] if is_down else [KEY]) == records.asked


async def test_who_asks_for_too_many_at_a_time_is_refused_and_what_is_on_the_list_costs_nothing(soon: None) -> None:
    async with serving(tables(), settings()) as client:
        asked = await asyncio.gather(
            *(get(client, f"/add-sub-address-in-whitelist/0x{number:040x}/{MULTI_ACCOUNT}") for number in range(14))
        )
        assert {200: 10, 429: 4} == {status: [one for one, _ in asked].count(status) for status in (200, 429)}
        refused = next(body for status, body in asked if status == 429)
        assert {"error_code", "error_message", "error_detail"} == refused.keys()

        assert [ADDED] * 20 == [await add(client, ADDRESS) for _ in range(20)]


async def test_while_tables_are_read_a_check_waits_for_them_and_is_then_answered(soon: None) -> None:
    cold = FakeTables("main", ready=False)
    async with serving(cold, settings()) as client:
        status, body = await get(client, f"/check_in-whitelist/{STRANGER}/{MULTI_ACCOUNT}")
        assert (503, 503) == (status, body["error_code"])
        asking = asyncio.create_task(check(client, OWNER))
        cold.valuations.put(KEY.decode(), 1, sub_account())
        cold.become_ready()

        assert await asking is True


@pytest.mark.parametrize("key", [None, "another", "", "\udcff\udcfe", INGEST_KEY + "x"])
async def test_without_the_operators_key_nothing_is_written(key: str | None) -> None:
    records = FakeRecords()
    async with serving(tables(), settings("list"), records=records) as client:
        status, body = await put(client, {"add": [ADDRESS]}, key)

    assert (401, 401, []) == (status, body["error_code"], records.sent)


async def test_where_no_key_is_set_nothing_is_taken() -> None:
    records = FakeRecords()
    async with serving(tables(), settings("list", ingest_key=None), records=records) as client:
        status, _ = await put(client, {"add": [ADDRESS]})

    assert (403, []) == (status, records.sent)


@pytest.mark.parametrize(
    "body",
    [
        [],
        7,
        None,
        {"add": "0x12"},
        {"add": [7]},
        {"add": None},
        {"add": ["0x12"]},
        {"add": [ADDRESS], "remove": [""]},
        {"add": [f"0x{number:040x}" for number in range(1_001)]},
    ],
)
async def test_what_is_no_list_of_addresses_is_refused_whole(body: object) -> None:
    records = FakeRecords()
    async with serving(tables(), settings("list"), records=records) as client:
        status, answer = await put(client, body)

    assert (422, ["body"], []) == (status, answer["detail"][0]["loc"], records.sent)


async def test_when_the_list_cannot_be_written_it_is_said_so() -> None:
    records = FakeRecords()
    records.is_down = True
    async with serving(tables(), settings("list"), records=records) as client:
        status, body = await put(client, {"add": [ADDRESS]})

    assert (503, 503) == (status, body["error_code"])


async def test_what_was_put_on_one_deployments_list_is_not_on_the_others() -> None:
    made, records = FakeTables("first", "second"), FakeRecords()
    address = ADDRESS.lower()
    for name in ("first", "second"):
        made.valuations.put(f"{name}:{address}", 1, valuation_body(owner=None))
    both = solver_settings(
        first={"whitelist": {"mode": "list"}, "multi_accounts": [MULTI_ACCOUNT], "hosts": ["a.example"]},
        second={"whitelist": {"mode": "list"}, "multi_accounts": [OTHER_MULTI_ACCOUNT], "hosts": ["b.example"]},
    )
    records.whitelisted.add(f"first:{address}".encode())
    async with serving(made, both, records=records) as client:
        answers = [
            await check(client, ADDRESS, multi_account) for multi_account in (MULTI_ACCOUNT, OTHER_MULTI_ACCOUNT)
        ]

    assert [True, False] == answers
