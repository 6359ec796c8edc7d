"""What the solver says of its markets: shapes as the live service has them, figures by whoever knows them."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from models.codec import decode_row
from tests.support.api import serving
from tests.support.feed import FakeTables
from tests.support.solver import NOW_MS, put_instrument, put_mark, put_market, solver_settings


def btc() -> FakeTables:
    tables = FakeTables("main")
    put_market(tables, 1, "BTCUSDT")
    put_mark(tables, "BTCUSDT", "58123.4", rate="0.00010788")
    put_instrument(tables, "BTCUSDT")
    return tables


async def answer(path: str, tables: FakeTables | None = None, **main: Any) -> tuple[int, Any]:  # noqa: ANN401
    async with (
        serving(tables or btc(), solver_settings(main=main), clock_ms=lambda: NOW_MS) as client,
        client.get(path, allow_redirects=False) as response,
    ):
        return response.status, await response.json()


async def text_of(path: str, tables: FakeTables | None = None) -> str:
    async with serving(tables or btc(), solver_settings(main={})) as client, client.get(path) as response:
        return await response.text()


async def test_contract_symbols_have_every_field_of_the_live_service() -> None:
    status, body = await answer("/contract-symbols")

    assert 200 == status
    assert {
        "count": 1,
        "symbols": [
            {
                "price_precision": 1,
                "quantity_precision": 3,
                "name": "BTCUSDT",
                "symbol": "BTC",
                "asset": "USDT",
                "symbol_id": 1,
                "is_valid": True,
                "min_acceptable_quote_value": 120,
                "min_acceptable_portion_lf": "0.003000000000000000",
                "trading_fee": "0.000600000000000000",
                "max_leverage": 60,
                "max_notional_value": 2_100_000,
                "rfq_allowed": True,
                "hedger_fee_open": "0.0006",
                "hedger_fee_close": "0.0006",
                "max_funding_rate": "200",
                "min_notional_value": "100",
                "max_quantity": "1000",
                "lot_size": "0.001",
            }
        ],
    } == body


async def test_a_symbol_is_traded_on_the_terms_that_are_set_for_it_and_otherwise_on_those_of_all() -> None:
    solver = {
        "defaults": {"hedger_fee_open": "0.001", "max_notional_value": 5_000},
        "symbols": {"BTCUSDT": {"max_notional_value": "7000.5", "rfq_allowed": False, "max_leverage": 25}},
    }
    _, body = await answer("/contract-symbols", solver=solver)

    (symbol,) = body["symbols"]
    assert ("0.001", 7000.5, False, 25) == (
        symbol["hedger_fee_open"], symbol["max_notional_value"], symbol["rfq_allowed"], symbol["max_leverage"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("on_chain", "max_leverage"), [(0, 1), (None, 1), (10**18 // 2, 1), (7 * 10**18, 7), (500 * 10**18, 90)]
)
async def test_the_greatest_leverage_is_never_0_and_never_beyond_the_table(
    on_chain: int | None, max_leverage: int
) -> None:
    tables = btc()
    put_market(tables, 1, "BTCUSDT", max_leverage=on_chain)
    _, body = await answer("/contract-symbols", tables)

    assert max_leverage == body["symbols"][0]["max_leverage"]


async def test_a_symbol_that_cannot_be_traded_is_listed_as_not_valid() -> None:
    tables = btc()
    for symbol_id, name in enumerate(("NOPRICEUSDT", "NORULESUSDC", "HALTEDUSDT", "CLOSEDUSDT"), 2):
        put_market(tables, symbol_id, name, is_valid=name != "CLOSEDUSDT")
        if name != "NOPRICEUSDT":
            put_mark(tables, name, "5")
        if name != "NORULESUSDC":
            put_instrument(tables, name, status="SETTLING" if name == "HALTEDUSDT" else "TRADING")
    tables.markets.put("main:6", 1, {**_nameless()})
    tables.markets.put("main2:1", 1, {**_nameless(), "name": "OTHERUSDT"})
    _, body = await answer("/contract-symbols", tables)

    assert [(1, True), (2, False), (3, False), (4, False), (5, False)] == [
        (symbol["symbol_id"], symbol["is_valid"]) for symbol in body["symbols"]
    ]
    assert ("NORULES", "USDC", 0) == tuple(body["symbols"][2][name] for name in ("symbol", "asset", "price_precision"))


def _nameless() -> dict[str, Any]:
    made = FakeTables()
    put_market(made, 6, "")
    return decode_row(made.markets.rows[b"main:6"]).body


async def test_a_market_goes_by_the_name_that_its_price_source_knows() -> None:
    """Frontends read its price at the exchange under the name they are given here."""
    tables = FakeTables("main")
    for symbol_id, name in ((1, "PEPE"), (2, "A1"), (3, "A2")):
        put_market(tables, symbol_id, name)
    for symbol in ("1000PEPEUSDT", "AUSDT"):
        put_mark(tables, symbol, "5")
        put_instrument(tables, symbol)
    refs = {"PEPE": "1000PEPEUSDT", "A1": "AUSDT", "A2": "AUSDT"}
    markets = {name: [{"source": "binance-futures", "symbol": symbol}] for name, symbol in refs.items()}
    _, info = await answer("/get_market_info", tables, markets=markets)
    _, by_chain_name = await answer("/price-range/PEPE", tables, markets=markets)

    assert ["1000PEPEUSDT", "A1", "A2"] == list(info)
    assert {"min_price": "2.5", "max_price": "7.5"} == by_chain_name


@pytest.mark.parametrize("path", ["/get_market_info", f"/api/get_market_info/0x{'A1' * 20}/"])
async def test_market_info_is_four_numbers_a_market(path: str) -> None:
    expected = (
        '{"BTCUSDT":{"price":58123.4,"price_change_percent":-1.23,"trade_volume":123456.7,"notional_cap":2100000}}'
    )

    assert expected == await text_of(path)


async def test_market_info_never_holds_a_null() -> None:
    tables = btc()
    for symbol_id, name in ((2, "NOPRICEUSDT"), (3, "NORULESUSDT"), (4, "NOTICKERUSDT")):
        put_market(tables, symbol_id, name)
    put_instrument(tables, "NOPRICEUSDT")
    put_mark(tables, "NORULESUSDT", "5")
    put_mark(tables, "NOTICKERUSDT", "5")
    put_instrument(tables, "NOTICKERUSDT", change=None)
    _, body = await answer("/get_market_info", tables)

    assert ["BTCUSDT", "NOTICKERUSDT"] == list(body)
    assert {"price": 5, "price_change_percent": 0, "trade_volume": 0, "notional_cap": 2_100_000} == body["NOTICKERUSDT"]


@pytest.mark.parametrize("multi_account", ["0x" + "99" * 20, "0x12"])
async def test_market_info_of_an_unknown_multi_account_is_empty(multi_account: str) -> None:
    assert (200, {}) == await answer(f"/get_market_info/{multi_account}")


@pytest.mark.parametrize(
    ("mark", "band", "tick", "expected"),
    [
        ("58123.4", "0.5", "0.1", ("29061.7", "87185.1")),
        ("58123.45", "0.5", "0.10", ("29061.8", "87185.1")),
        ("0.123456", "0.1", "0.0001", ("0.1112", "0.1358")),
        ("333", "0.05", "1", ("317", "349")),
        ("100", "0.5", None, ("50.00", "150.00")),
    ],
)
async def test_prices_of_limit_orders_are_within_the_band_and_on_the_tick(
    mark: str, band: str, tick: str | None, expected: tuple[str, str]
) -> None:
    tables = btc()
    put_mark(tables, "BTCUSDT", mark)
    put_instrument(tables, "BTCUSDT", tick=tick)
    _, body = await answer("/price-range/BTCUSDT", tables, solver={"defaults": {"price_band": band}})

    assert {"min_price": expected[0], "max_price": expected[1]} == body


async def test_the_default_band_is_half_of_the_mark() -> None:
    assert (200, {"min_price": "29061.7", "max_price": "87185.1"}) == await answer("/price-range/BTCUSDT")


TWO_DAYS_MS = 2 * 86_400_000
HOUR_MS = 3_600_000


def delisted() -> FakeTables:
    """ETHUSDT is traded. OLDUSDT was left out of the venue's list an hour ago; its mark is two days old."""
    tables = btc()
    put_market(tables, 2, "ETHUSDT")
    put_market(tables, 3, "OLDUSDT")
    put_mark(tables, "ETHUSDT", "2500", rate="0.0001")
    put_mark(tables, "OLDUSDT", "5", rate="0.0001", age_ms=TWO_DAYS_MS)
    for name in ("BTCUSDT", "ETHUSDT"):
        put_instrument(tables, name, listed_ms=NOW_MS - HOUR_MS)
    put_instrument(tables, "OLDUSDT", listed_ms=NOW_MS - 2 * HOUR_MS)
    return tables


async def test_a_market_that_is_gone_is_not_valid_and_has_no_price_anywhere() -> None:
    _, symbols = await answer("/contract-symbols", delisted())
    _, info = await answer("/get_market_info", delisted())
    _, funding = await answer("/get_funding_info", delisted())

    assert {"BTCUSDT": True, "ETHUSDT": True, "OLDUSDT": False} == {
        one["name"]: one["is_valid"] for one in symbols["symbols"]
    }
    assert {"BTCUSDT", "ETHUSDT"} == set(info) == set(funding)
    assert (503, None) == _error(await answer("/price-range/OLDUSDT", delisted()))
    assert 200 == (await answer("/price-range/ETHUSDT", delisted()))[0]


@pytest.mark.parametrize(
    ("listed_ms", "age_ms", "is_valid"),
    [
        (NOW_MS - HOUR_MS, 0, True),
        (NOW_MS - HOUR_MS, 5_000, True),
        # Too old, though it is listed; left out, though prices come.
        (NOW_MS - HOUR_MS, 5_001, False),
        (NOW_MS - HOUR_MS - 1, 0, False),
    ],
)
async def test_a_market_is_valid_while_it_is_listed_and_its_mark_is_young(
    listed_ms: int, age_ms: int, *, is_valid: bool
) -> None:
    tables = delisted()
    put_instrument(tables, "ETHUSDT", listed_ms=listed_ms)
    put_mark(tables, "ETHUSDT", "2500", age_ms=age_ms)
    _, body = await answer("/contract-symbols", tables)
    _, info = await answer("/get_market_info", tables)

    assert [is_valid] == [one["is_valid"] for one in body["symbols"] if one["name"] == "ETHUSDT"]
    assert is_valid is ("ETHUSDT" in info)
    assert (200 if is_valid else 503) == (await answer("/price-range/ETHUSDT", tables))[0]


@pytest.mark.parametrize(("since_ms", "is_valid"), [(0, True), (9_999, True), (10_000, False)])
async def test_a_symbol_is_left_out_once_the_facts_of_the_new_list_are_in(since_ms: int, *, is_valid: bool) -> None:
    """They come one by one: at first every symbol but one seems to be missing."""
    tables = delisted()
    put_instrument(tables, "BTCUSDT", listed_ms=NOW_MS - since_ms)
    _, body = await answer("/contract-symbols", tables)

    assert [is_valid] == [one["is_valid"] for one in body["symbols"] if one["name"] == "ETHUSDT"]


async def test_a_symbol_that_is_listed_again_is_valid_again_and_another_sources_list_says_nothing_of_it() -> None:
    tables = delisted()
    tables.instruments.put("other:X", 1, _instrument_of(tables, "binance-futures:BTCUSDT", NOW_MS - 30_000))
    put_instrument(tables, "OLDUSDT", listed_ms=NOW_MS - HOUR_MS)
    put_mark(tables, "OLDUSDT", "5")
    _, body = await answer("/contract-symbols", tables)

    assert [True, True, True] == [one["is_valid"] for one in body["symbols"]]


def _instrument_of(tables: FakeTables, key: str, listed_ms: int) -> dict[str, Any]:
    body = decode_row(tables.instruments.rows[key.encode()]).body
    return {**body, "rules": {**body["rules"], "received_ms": listed_ms}}


async def test_a_price_range_without_a_price_is_unavailable_and_of_no_symbol_not_found() -> None:
    tables = FakeTables("main")
    put_market(tables, 1, "BTCUSDT")

    assert 503 == (await answer("/price-range/BTCUSDT", tables))[0]
    assert (404, None) == _error(await answer("/price-range/XUSDT", tables))


def _error(found: tuple[int, Any]) -> tuple[int, Any]:
    status, body = found
    assert (["error_code", "error_message", "error_detail"], status) == (list(body), body["error_code"])
    return status, body["error_detail"]


async def test_at_nine_times_the_shares_are_those_of_the_live_service() -> None:
    expected = '{"cva":"6.00","partyAmm":"91.00","lf":"3.00","leverage":"9.0","partyBmm":"0"}'

    assert expected == await text_of("/get_locked_params/BTCUSDT?leverage=9")


@pytest.mark.parametrize("leverage", ["1", "2.5", "8.99", "9", "9.01", "10", "33", "60"])
@pytest.mark.parametrize("portion_e18", [0, 3 * 10**15, 123_456_789 * 10**8, 2 * 10**17])
async def test_shares_are_a_hundred_and_the_fee_is_no_smaller_than_the_chain_takes(
    leverage: str, portion_e18: int
) -> None:
    tables = btc()
    put_market(tables, 1, "BTCUSDT", min_acceptable_portion_lf=portion_e18)
    status, body = await answer(f"/get_locked_params/BTCUSDT?leverage={leverage}", tables)
    cva, party_a_mm, lf = (int(body[name].replace(".", "")) for name in ("cva", "partyAmm", "lf"))

    assert (200, 10_000) == (status, cva + party_a_mm + lf)
    assert lf * 10**18 >= portion_e18 * 10_000


async def test_the_row_of_the_nearest_leverage_at_or_above_holds() -> None:
    locked = [
        {"leverage": 20, "cva": "10.5", "lf": 4},
        {"leverage": 5, "cva": 2, "lf": 1, "party_b_mm": "0.5"},
        {"leverage": 10, "cva": 5, "lf": 2},
    ]
    solver = {"symbols": {"BTCUSDT": {"locked": locked}}}
    found = {}
    for leverage in ("4", "5", "5.5", "12"):
        _, found[leverage] = await answer(f"/get_locked_params/BTCUSDT?leverage={leverage}", solver=solver)

    assert {"4": "2.00", "5": "2.00", "5.5": "5.00", "12": "10.50"} == {at: one["cva"] for at, one in found.items()}
    assert ("0.5", "5.5") == (found["5"]["partyBmm"], found["5.5"]["leverage"])
    assert 400 == (await answer("/get_locked_params/BTCUSDT?leverage=20.01", solver=solver))[0]


@pytest.mark.parametrize("leverage", ["0", "0.5", "-3", "60.5", "100", "99999"])
async def test_a_leverage_that_is_not_offered_is_an_error_of_the_legacy_shape(leverage: str) -> None:
    assert (400, None) == _error(await answer(f"/get_locked_params/BTCUSDT?leverage={leverage}"))


@pytest.mark.parametrize("query", ["", "?leverage=", "?leverage=nine", "?leverage=1e2", "?leverage=NaN"])
async def test_a_leverage_that_is_none_is_a_validation_error_of_the_legacy_shape(query: str) -> None:
    status, body = await answer(f"/get_locked_params/BTCUSDT{query}")
    (detail,) = body["detail"]

    assert (422, ["loc", "msg", "type"], ["query", "leverage"]) == (status, list(detail), detail["loc"])


async def test_locked_params_of_no_symbol_are_not_found() -> None:
    assert (404, None) == _error(await answer("/get_locked_params/XUSDT?leverage=9"))


async def test_funding_is_that_of_the_live_service_for_the_exchanges_rate() -> None:
    """An epoch of 4 h is half of the exchange's 8 h; who gets is given 0.75 of what the other one pays."""
    expected = (
        '{"BTCUSDT":{"next_funding_time":1745971200000,"next_funding_rate_short":"0.000040455",'
        '"next_funding_rate_long":"-0.000053940","funding_rate_epoch_duration":14400}}'
    )
    async with (
        serving(btc(), solver_settings(main={}), clock_ms=lambda: NOW_MS) as client,
        client.get("/get_funding_info") as response,
    ):
        assert expected == await response.text()


async def test_funding_follows_its_settings() -> None:
    funding = {"share": 1, "scale": False, "max_rate": "0.0001"}
    _, body = await answer("/get_funding_info", funding=funding)

    assert ("-0.000100000", "0.000100000") == (
        body["BTCUSDT"]["next_funding_rate_long"], body["BTCUSDT"]["next_funding_rate_short"],
    )  # fmt: skip


async def test_funding_info_has_only_valid_symbols_and_of_them_those_that_are_asked_for() -> None:
    tables = btc()
    for symbol_id, name in enumerate(("ETHUSDT", "NORATEUSDT", "NOEPOCHUSDT", "CLOSEDUSDT", "NOTERMSUSDT"), 2):
        epoch_s = None if name == "NOEPOCHUSDT" else 14_400
        is_valid = name != "CLOSEDUSDT"
        put_market(tables, symbol_id, name, is_valid=is_valid, funding_rate_epoch_duration_s=epoch_s)
        put_mark(tables, name, "5", rate=None if name == "NORATEUSDT" else "0")
        put_instrument(tables, name, hours=None if name == "NOTERMSUSDT" else 8)
    found = {
        query: list((await answer(f"/get_funding_info{query}", tables))[1])
        for query in ("", "?symbols=ETHUSDT", "?symbols=ETHUSDT&symbols=BTCUSDT&symbols=XUSDT", "?symbols=CLOSEDUSDT")
    }
    _, eth = await answer("/get_funding_info?symbols=ETHUSDT", tables)

    assert [["BTCUSDT", "ETHUSDT"], ["ETHUSDT"], ["BTCUSDT", "ETHUSDT"], []] == list(found.values())
    assert ("0", "0") == (eth["ETHUSDT"]["next_funding_rate_long"], eth["ETHUSDT"]["next_funding_rate_short"])


async def test_error_codes_are_a_flat_map_and_may_be_said_in_other_words() -> None:
    solver = {"error_codes": {"4000": "no margin", "9000": "of our own"}}
    _, codes = await answer("/error_codes", solver=solver)
    known = {"4000", "4001", "4002", "4003", "4004", "4005", "4006", "4007", "4008", "4011", "4012"}

    assert known | {"4101", "4103", "4104", "4105", "9000"} == set(codes)
    assert (200, {"4000": "no margin"}) == await answer("/error_codes/4000", solver=solver)
    assert (404, None) == _error(await answer("/error_codes/9000"))


@pytest.mark.parametrize(
    "path",
    [
        "/contract-symbols", "/get_market_info", "/price-range/BTCUSDT", "/get_locked_params/BTCUSDT?leverage=9",
        "/get_funding_info", "/error_codes", "/open-interest", "/notional_cap/1", "/readyz",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mount", ["", "/api", "/main", "/main/api"])
async def test_every_endpoint_stands_at_the_root_and_under_api_with_a_slash_or_without(path: str, mount: str) -> None:
    bare, _, query = path.partition("?")
    async with serving(btc(), solver_settings(main={})) as client:
        for slash in ("", "/"):
            async with client.get(f"{mount}{bare}{slash}?{query}", allow_redirects=False) as response:
                assert HTTPStatus.OK == response.status
                assert await response.read()
            headers = {"Origin": "https://app.example", "Access-Control-Request-Headers": "app-name"}
            async with client.options(f"{mount}{bare}{slash}", headers=headers) as response:
                assert "App-Name, Content-Type, Authorization" == response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("path", ["/contract-symbols", "/open-interest", "/get_market_info", "/price-range/BTCUSDT"])
async def test_cold_tables_are_unavailable_and_not_empty(path: str) -> None:
    assert (503, None) == _error(await answer(path, FakeTables("main", ready=False)))


async def test_the_guide_says_of_every_field_where_it_comes_from() -> None:
    page = (Path(__file__).parents[5] / "docs" / "symmio.md").read_text()
    (symbol,) = (await answer("/contract-symbols"))[1]["symbols"]
    fields = {
        *symbol,
        *(await answer("/open-interest"))[1],
        *(await answer("/price-range/BTCUSDT"))[1],
        *(await answer("/get_locked_params/BTCUSDT?leverage=9"))[1],
        *(await answer("/get_market_info"))[1]["BTCUSDT"],
        *(await answer("/get_funding_info"))[1]["BTCUSDT"],
    } - {"next_funding_rate_short"}

    assert set() == {field for field in fields if f"`{field}`" not in page}
