"""A row that cannot be read, of every table that the api follows: only what concerns its key answers otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import pytest

from models.alerts import LIQUIDATABLE, STALE
from models.codec import ORDER_BYTES, decode_row, encode_row
from models.engine.tables import (
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    VALUATIONS,
    WATERMARKS,
)
from models.instruments import Instrument, encode_instrument
from models.statements import Statement, encode_statement
from models.subtotals import Subtotals
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.account_rows import alerts_body, engine_body
from tests.support.api import metric, serving, serving_admin
from tests.support.contract import validate_rest
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.ledger import inputs
from tests.support.rest import NOW_MS, account_key, mark_body, market_body, position_body
from tests.support.solver import MULTI_ACCOUNT, put_instrument, put_mark, put_market, solver_settings

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

    Client = TestClient[web.Request, web.Application]

OWNER = "0x" + "0" * 40
HELD, OTHER, SIDE = account_key(1), account_key(2), account_key(3, "side")
# Each names a key that says nothing of what ``ASKED`` asks for; what mentions it may answer otherwise.
ELSEWHERE = {
    VALUATIONS: SIDE,
    DEPLOYMENTS: "side",
    MARKS: "other:SIDEUSDT",
    WATERMARKS: "side:0",
    MARKETS: "side:1",
    SUBTOTALS: "side",
    INSTRUMENTS: "other:SIDEUSDT",
    ALERTS: SIDE,
    POSITION_STATES: SIDE,
    REFERENCES: "desk:symbol:tETHUSD",
    STATEMENTS: "desk:ann",
}
# The same of the deployment that is asked for, where one of its keys is not another's concern.
BESIDE = {
    VALUATIONS: OTHER,
    MARKS: "binance-futures:ETHUSDT",
    MARKETS: "main:2",
    INSTRUMENTS: "binance-futures:ETHUSDT",
    ALERTS: OTHER,
    POSITION_STATES: OTHER,
}
# What speaks of such a key, or of what hangs on it: a market is named by itself, by its mark and by its deployment.
MENTIONS = {"main:2": "ethusdt", "binance-futures:ETHUSDT": "ethusdt", OTHER: OTHER.partition(":")[2]}
OF_MAIN = (
    "/v1/accounts?deployment=main",
    f"/v1/accounts/{HELD}",
    f"/v1/accounts/{HELD}/positions",
    f"/v1/accounts/{HELD}/alerts",
    f"/v1/accounts/{HELD}/position-states",
    "/v1/accounts/desk:bob/statement",
    "/v1/positions?deployment=main",
    "/v1/alerts?deployment=main",
    "/v1/position-states?deployment=main",
    "/v1/marks?source=binance-futures",
    "/v1/marks/binance-futures:BTCUSDT",
    "/v1/markets?deployment=main",
    "/v1/funding?deployment=main",
    "/v1/totals?deployment=main",
    "/main/contract-symbols",
    "/main/get_market_info",
    "/main/get_funding_info",
    "/main/get_locked_params/BTCUSDT?leverage=1",
    "/main/price-range/BTCUSDT",
    f"/main/get_balance_info/{OWNER}/{MULTI_ACCOUNT}",
    f"/main/check_in-whitelist/{OWNER}/{MULTI_ACCOUNT}",
)
OF_ALL = (
    "/v1/accounts",
    "/v1/positions",
    "/v1/alerts",
    "/v1/position-states",
    "/v1/marks",
    "/v1/markets",
    "/v1/funding",
    "/v1/totals",
)
SEARCHED = ("/main/position-state/0/50", "/main/notifications/0/50")
# A sum over all accounts concerns each of them.
SUMS = ("/main/open-interest", "/main/notional_cap/BTCUSDT")

OF_REPLICA = ("/readyz", "/v1/status")

Corruption = Callable[[dict[str, Any]], bytes]
UNREADABLE: dict[str, Corruption] = {
    "without columns": lambda _: b"{}",
    "no JSON": lambda _: b"?",
    "lists": lambda body: orjson.dumps({name: ["x"] for name in body}),
    "nulls": lambda body: orjson.dumps(dict.fromkeys(body)),
    "lists in lists": lambda body: orjson.dumps(body)[:-1] + b',"more":' + b"[" * 5_000,
    "texts of other bytes": lambda body: orjson.dumps(dict.fromkeys(body, "x")).replace(b'"x"', b'"\xff"'),
}
"""What is written over a row, by what is wrong with it."""

_versions = count(1_000)


def tables() -> FakeTables:
    made = FakeTables("main", "side")
    sums = Subtotals()
    for key, symbol in ((HELD, 1), (OTHER, 2), (SIDE, 1)):
        mark_key = "other:SIDEUSDT" if key == SIDE else f"binance-futures:{'BTC' if symbol == 1 else 'ETH'}USDT"
        held = position_body(symbol=symbol, mark_key=mark_key)
        body = valuation_body(positions=[held], owner=OWNER, multi_account=MULTI_ACCOUNT)
        made.valuations.put(key, 1, body)
        sums.put(key.partition(":")[0], None, body)
        made.alerts.put(key, 1, alerts_body(key, (STALE, NOW_MS - 9_000)))
        address = key.partition(":")[2]
        states = {"id": f"state of {key}", "counterparty_address": address, "quote_id": symbol}
        made.position_states.put(key, 1, engine_body(states))
    for sum_key, added in sums.take_changed(0, set()):
        made.subtotals.put(sum_key.decode(), 1, added)
    for symbol_id, name in ((1, "BTCUSDT"), (2, "ETHUSDT")):
        put_market(made, symbol_id, name)
        put_mark(made, name, "100", rate="0.0001")
        put_instrument(made, name)
    made.markets.put("side:1", 1, market_body(name="SIDEUSDT"))
    made.marks.put("other:SIDEUSDT", 1, mark_body())
    made.instruments.put("other:SIDEUSDT", 1, encode_instrument(Instrument()))
    for pair in ("tBTCUSD", "tETHUSD"):
        said = msgspec.json.encode(inputs({pair: "1"}).settings[f"symbol:{pair}"]).decode()
        made.references.put(f"desk:symbol:{pair}", 1, {"text": said, "partition": 0, "offset": 1})
    for account in ("ann", "bob"):
        made.statements.put(f"desk:{account}", 1, encode_statement(Statement((1, 0), {"wallets": []}, ())))
    return made


def settings() -> Settings:
    made = solver_settings(
        main={"default_sources": ["binance-futures"], "whitelist": {"mode": "open"}},
        side={"default_sources": ["other"], "whitelist": {"mode": "open"}},
    )
    made.deployments["desk"] = LedgerDeploymentSettings()
    return made


def corrupt(made: FakeTables, table: str, key: str, body: bytes | Corruption) -> None:
    """Write a row over that of a key, or of subtotals over one of a deployment."""
    feeds = dict(zip(made.feeds.by_table(), made.all_feeds, strict=True))
    rows = feeds[table].rows
    row_key = next(one for one in rows if one == key.encode() or (table == SUBTOTALS and f":{key}:".encode() in one))
    if not isinstance(body, bytes):
        body = body(decode_row(rows[row_key]).body)
    feeds[table].put_rows([(row_key, encode_row(1, next(_versions), {})[:ORDER_BYTES] + body)])


async def answers(client: Client, paths: tuple[str, ...]) -> dict[str, tuple[int, Any]]:
    found = {}
    for path in paths:
        async with client.get(path) as response:
            found[path] = response.status, orjson.loads(await response.read())
    for path in SEARCHED:
        async with client.post(path, json={}) as response:
            found[path] = response.status, orjson.loads(await response.read())
    return found


def parts_without(said: Any, name: str) -> list[bytes]:  # noqa: ANN401 - JSON
    """The parts of a list or of an object of objects that do not mention a name; of anything else itself."""
    lists = [one for one in said.values() if isinstance(one, list)] if isinstance(said, dict) else []
    if lists:
        parts = [orjson.dumps(one) for one in lists[0]]
    elif isinstance(said, dict) and all(isinstance(one, dict) for one in said.values()):
        parts = [orjson.dumps(one) for one in said.items()]
    else:
        parts = [orjson.dumps(said)]
    return [one for one in parts if name.encode() not in one.lower()]


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("table", ELSEWHERE)
async def test_a_row_of_another_deployment_changes_no_answer_about_this_one(table: str, kind: str) -> None:
    made = tables()
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        before = await answers(client, OF_MAIN + SUMS)
        corrupt(made, table, ELSEWHERE[table], UNREADABLE[kind])

        assert before == await answers(client, OF_MAIN + SUMS)
        assert {200} == {status for status, _ in (await answers(client, (*OF_ALL, *OF_REPLICA))).values()}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("table", BESIDE)
async def test_a_row_beside_others_is_passed_over_in_every_list_and_search(table: str, kind: str) -> None:
    made, name = tables(), MENTIONS[BESIDE[table]]
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        before = await answers(client, OF_MAIN + OF_ALL)
        corrupt(made, table, BESIDE[table], UNREADABLE[kind])
        after = await answers(client, OF_MAIN + OF_ALL)

    assert {200} == {status for status, _ in after.values()}
    for path, (_, said) in after.items():
        assert parts_without(before[path][1], name) == parts_without(said, name), path


# How many rows each list lacks, of a table of which one row cannot be read.
LACKING = [
    (VALUATIONS, OTHER, "/v1/accounts", 1),
    (VALUATIONS, OTHER, "/v1/accounts?limit=1&sort=address", 0),
    # Whose it is, and what it comes to, is not known.
    (VALUATIONS, OTHER, f"/v1/accounts?owner=0x{'9' * 40}", 1),
    (VALUATIONS, OTHER, "/v1/accounts?status=valued&deployment=main", 1),
    (VALUATIONS, OTHER, "/v1/accounts?min_notional=1&limit=1", 1),
    (VALUATIONS, OTHER, "/v1/accounts?status=unreadable", 1),
    (VALUATIONS, OTHER, "/v1/accounts?deployment=side", 0),
    (VALUATIONS, OTHER, "/v1/positions", 1),
    (VALUATIONS, OTHER, "/v1/positions?symbol_id=1", 1),
    (VALUATIONS, OTHER, "/v1/positions?deployment=side", 0),
    (VALUATIONS, OTHER, f"/v1/positions?account={HELD}", 0),
    # Whether it is supported, and so what its accounts hold, is not known.
    (DEPLOYMENTS, "side", "/v1/positions", 1),
    (DEPLOYMENTS, "side", "/v1/positions?deployment=main", 0),
    (ALERTS, OTHER, "/v1/alerts", 1),
    (ALERTS, OTHER, "/v1/alerts?on=true&limit=1", 1),
    (ALERTS, OTHER, "/v1/alerts?deployment=side", 0),
    (ALERTS, OTHER, f"/v1/alerts?account={HELD}", 0),
    (POSITION_STATES, OTHER, "/v1/position-states", 1),
    (POSITION_STATES, OTHER, "/v1/position-states?quote_id=1", 1),
    (POSITION_STATES, OTHER, "/v1/position-states?deployment=side", 0),
    (MARKS, "binance-futures:ETHUSDT", "/v1/marks", 1),
    (MARKS, "binance-futures:ETHUSDT", "/v1/marks?limit=1", 0),
    (MARKS, "binance-futures:ETHUSDT", "/v1/marks?source=other", 0),
    (MARKS, "binance-futures:ETHUSDT", "/v1/funding", 1),
    (MARKETS, "main:2", "/v1/markets", 1),
    (MARKETS, "main:2", "/v1/markets?deployment=side", 0),
    (MARKETS, "main:2", "/v1/funding?deployment=main", 1),
    (MARKETS, "main:2", "/v1/funding?deployment=side", 0),
    (INSTRUMENTS, "binance-futures:ETHUSDT", "/v1/funding", 1),
    (SUBTOTALS, "side", "/v1/totals", 1),
    (SUBTOTALS, "side", "/v1/totals?deployment=main", 0),
]


@pytest.mark.parametrize("kind", ["without columns", "no JSON"])
@pytest.mark.parametrize(("table", "key", "path", "lacks"), LACKING)
async def test_every_list_says_how_many_rows_it_lacks_until_they_are_read_again(
    table: str, key: str, path: str, lacks: int, kind: str
) -> None:
    made = tables()
    feeds = dict(zip(made.feeds.by_table(), made.all_feeds, strict=True))
    whole = dict(feeds[table].rows)
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        corrupt(made, table, key, UNREADABLE[kind])
        assert (200, lacks) == await _lacked(client, path)
        assert (200, lacks) == await _lacked(client, path)

    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        await _lacked(client, path)
        feeds[table].put_rows([(row_key, whole[row_key]) for row_key in whole])
        assert (200, 0) == await _lacked(client, path)


async def _lacked(client: Client, path: str) -> tuple[int, int]:
    async with client.get(path) as response:
        body = orjson.loads(await response.read())
        validate_rest(path, response.status, body)
        return response.status, body["unreadable"]


@pytest.mark.parametrize("table", ELSEWHERE)
async def test_a_row_that_is_read_is_counted_once(table: str) -> None:
    made = tables()
    sample = f'tidemark_unreadable_rows_total{{table="{table}"}}'
    paths = (*OF_ALL, "/v1/status", "/side/contract-symbols", "/side/open-interest", "/v1/accounts/desk:ann/statement")
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client, serving_admin(client.app) as admin:
        before = await metric(admin, sample)
        corrupt(made, table, ELSEWHERE[table], b"{}")
        for _ in range(2):
            for path in paths:
                async with client.get(path) as response:
                    await response.read()

        assert before + 1 == await metric(admin, sample)


async def test_sockets_are_told_on_of_what_concerns_no_row_that_cannot_be_read() -> None:
    """Of every table a row cannot be read, all at once; then each channel has news."""
    made = tables()
    asked = {
        "account": HELD,
        "alerts": HELD,
        "position-states": HELD,
        "marks": "binance-futures:BTCUSDT",
        "totals": "main",
        "funding": "main:BTCUSDT",
    }
    seconds = [0]
    served = serving(made, settings(), clock_ms=lambda: NOW_MS + 1_000 * seconds[0])
    async with served as client, client.ws_connect("/v1/ws") as socket:
        for at, (channel, wanted) in enumerate(asked.items(), start=1):
            await socket.send_json({"op": "subscribe", "id": at, "channel": channel, "keys": [wanted]})
        await _told(socket, "snapshot", len(asked))
        for table, corrupted in (*ELSEWHERE.items(), *BESIDE.items()):
            corrupt(made, table, corrupted, b"{}")
        for feed in (made.valuations, made.subtotals):
            for key, row in dict(feed.rows).items():
                if key == HELD.encode() or b":main:" in key:
                    feed.put(key.decode(), 2, {**decode_row(row).body, "as_of_ms": NOW_MS})
        made.alerts.put(HELD, 2, alerts_body(HELD, (STALE, NOW_MS - 9_000), (STALE | LIQUIDATABLE, NOW_MS - 8_000)))
        said = {"id": "later", "counterparty_address": HELD.partition(":")[2], "quote_id": 1}
        made.position_states.put(HELD, 2, engine_body(said))
        made.marks.put("binance-futures:BTCUSDT", 2, mark_body(mark=e18("101"), funding_rate=e18("0.0002")))
        # Funding is worked out once a second.
        seconds[0] += 1

        assert set(range(1, len(asked) + 1)) == await _told(socket, "delta", len(asked))


async def _told(socket: ClientWebSocketResponse, kind: str, subscriptions: int) -> set[int]:
    """The subscriptions that are told something of a kind, until so many are."""
    found: set[int] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while len(found) < subscriptions:
                found |= {one["sub"] for one in await socket.receive_json() if one["type"] == kind}
    return found


async def test_a_market_that_is_named_may_be_the_one_whose_row_cannot_be_read() -> None:
    made = tables()
    corrupt(made, MARKETS, "main:2", b"{}")
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        asked = ("BTCUSDT", "ETHUSDT")
        found = await answers(client, tuple(f"/main/price-range/{one}" for one in asked))

    assert [200, 503] == [found[f"/main/price-range/{one}"][0] for one in asked]


async def test_sums_over_accounts_of_which_one_cannot_be_read_are_not_told() -> None:
    made = tables()
    corrupt(made, VALUATIONS, OTHER, b"{}")
    corrupt(made, SUBTOTALS, "side", b"{}")
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        found = await answers(client, (*SUMS, "/v1/totals"))

    assert [503, 503] == [found[path][0] for path in SUMS]
    statuses = {one["deployment"]: one.get("status") for one in found["/v1/totals"][1]["items"]}
    assert {"main": None, "side": "unreadable", "desk": None} == statuses


async def test_a_position_state_of_an_account_that_cannot_be_read_is_not_known_by_its_address() -> None:
    made = tables()
    corrupt(made, POSITION_STATES, OTHER, b"{}")
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        statuses = []
        for key in (HELD, OTHER):
            async with client.post("/main/position-state/0/9", json={"address": key.partition(":")[2]}) as response:
                statuses.append(response.status)

    assert [200, 503] == statuses


@pytest.mark.parametrize("was_read", [True, False])
async def test_a_wallet_whose_only_sub_account_cannot_be_read_is_not_told_that_it_has_none(was_read: bool) -> None:  # noqa: FBT001
    made, wallet = tables(), "0x" + "ab" * 20
    body = valuation_body(positions=[], owner=wallet, multi_account=MULTI_ACCOUNT)
    made.valuations.put(account_key(9), 1, body)
    path = f"/main/get_balance_info/{wallet}/{MULTI_ACCOUNT}"
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        if was_read:
            await answers(client, (path,))
        corrupt(made, VALUATIONS, account_key(9), b"{}")

        assert 503 == (await answers(client, (path,)))[path][0]


async def test_a_wallet_is_not_told_that_it_is_not_served_where_a_row_cannot_be_read_that_may_be_its_sub_accounts() -> (
    None
):
    made, wallet = tables(), "0x" + "ab" * 20
    path = f"/main/check_in-whitelist/{wallet}/{MULTI_ACCOUNT}"
    listing = solver_settings(main={"whitelist": {"mode": "list"}}, side={"whitelist": {"mode": "open"}})
    async with serving(made, listing, clock_ms=lambda: NOW_MS) as client:
        before = await answers(client, (path,))
        corrupt(made, VALUATIONS, OTHER, b"{}")

        assert (200, False) == before[path]
        assert 503 == (await answers(client, (path,)))[path][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"create_time": None},
        {"modify_time": "5"},
        {"id": 5},
        {"quote_id": [1]},
        {"last_seen_action": ["x"]},
        {"filled_amount_open": 5},
        {"at": 5},
        {"seq": "1"},
        {"push": None},
    ],
)
async def test_a_state_of_which_a_column_is_of_another_kind_makes_its_account_alone_unknown(
    changes: dict[str, Any],
) -> None:
    made = tables()
    body = decode_row(made.position_states.rows[OTHER.encode()]).body
    body["states"][0] |= changes
    path = f"/v1/accounts/{OTHER}/position-states"
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client:
        corrupt(made, POSITION_STATES, OTHER, orjson.dumps(body))
        found = await answers(client, (path, "/v1/position-states"))
        for asked in ({"quote_id": 2}, {"states": ["SendQuote"]}, {"create_time_gte": 1}, {"modify_time_gte": 1}):
            async with client.post(SEARCHED[0], json=asked) as response:
                assert 200 == response.status

    assert 503 == found.pop(path)[0]
    assert {200} == {status for status, _ in found.values()}
    assert all(
        OTHER not in str(said) and OTHER.partition(":")[2] not in str(said).lower() for _, said in found.values()
    )


@pytest.mark.parametrize(
    ("table", "key", "path"),
    [
        (MARKS, "binance-futures:ETHUSDT", "/v1/marks/binance-futures:ETHUSDT"),
        (VALUATIONS, OTHER, f"/v1/accounts/{OTHER}"),
        (VALUATIONS, OTHER, f"/v1/accounts/{OTHER}/positions"),
        (VALUATIONS, OTHER, f"/v1/positions?account={OTHER}"),
    ],
)
@pytest.mark.parametrize("kind", ["without columns", "lists"])
async def test_a_row_that_is_asked_for_alone_is_counted_too(table: str, key: str, path: str, kind: str) -> None:
    made = tables()
    sample = f'tidemark_unreadable_rows_total{{table="{table}"}}'
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client, serving_admin(client.app) as admin:
        before = await metric(admin, sample)
        corrupt(made, table, key, UNREADABLE[kind])
        async with client.get(path) as response:
            assert 503 == response.status

        assert before + 1 == await metric(admin, sample)


async def test_a_socket_that_asks_for_a_row_of_no_date_goes_on_with_its_other_subscriptions() -> None:
    made = tables()
    corrupt(made, VALUATIONS, OTHER, lambda body: orjson.dumps(body | {"as_of_ms": None}))
    async with serving(made, settings(), clock_ms=lambda: NOW_MS) as client, client.ws_connect("/v1/ws") as socket:
        for number, key in enumerate((HELD, OTHER), 1):
            await socket.send_json({"op": "subscribe", "id": number, "channel": "account", "keys": [key]})
        assert {1, 2} == await _told(socket, "snapshot", 2)
        made.valuations.put(HELD, 2, {**decode_row(made.valuations.rows[HELD.encode()]).body, "as_of_ms": NOW_MS})

        assert {1} == await _told(socket, "delta", 1)
