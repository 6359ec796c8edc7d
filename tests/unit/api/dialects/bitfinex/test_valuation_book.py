"""Accounts of a chain as a Bitfinex client sees them, out of the columns that all valuations have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType

from api.dialects.bitfinex.api_keys import ApiKey
from api.dialects.bitfinex.venue_symbols import VenueSymbols
from models.money import E18, parse_e18
from tests.support.bitfinex import CHAIN, SECRET, Scene, types
from tests.support.feed import deployment_body, e18, no_account_body, unpriced_body, unsupported_body, valuation_body
from tests.support.solver import put_market

if TYPE_CHECKING:
    from pathlib import Path

PARTY, OTHER, OWNER = ("0x" + digit * 40 for digit in "1f0")
BTC, ETH = "tBTCF0:USTF0", "tETHF0:USTF0"


def quote(  # noqa: PLR0917 - as a table is read
    number: int, side: str, quantity: str, opened: str, mark: str | None, market: int = 1
) -> dict[str, Any]:
    sign = 1 if side == "long" else -1
    upnl = None if mark is None else sign * parse_e18(quantity) * (parse_e18(mark) - parse_e18(opened)) // E18
    return {
        "quote": number,
        "symbol": market,
        "side": side,
        "party_b": "0x" + "b" * 40,
        "quantity": e18(quantity),
        "opened_price": e18(opened),
        "mark": None if mark is None else e18(mark),
        "mark_key": "binance-futures:BTCUSDT",
        "mark_offset": 5,
        "upnl": None if upnl is None else str(upnl),
        "notional": None if mark is None else str(parse_e18(quantity) * parse_e18(mark) // E18),
        "stale": False,
    }


def body(*quotes: dict[str, Any], allocated: str = "1000", **changes: object) -> dict[str, Any]:
    """A valued account; 200 of what it has are locked away from liquidation."""
    upnl = sum(int(one["upnl"]) for one in quotes)
    equity = parse_e18(allocated) + upnl
    return valuation_body(
        upnl=str(upnl),
        equity=str(equity),
        available_balance=str(equity - 200 * E18),
        positions=list(quotes),
        owner=OWNER,
        **changes,
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    put_market(made.tables, 1, "BTCUSDT")
    put_market(made.tables, 2, "ETHUSDT")
    made.hold(k1=ApiKey(SECRET, "alice", (f"{CHAIN}:{PARTY}",)))
    return made


async def test_quotes_of_a_symbol_are_one_position_whose_pl_is_their_exact_upnl(scene: Scene) -> None:
    quotes = [
        quote(1, "long", "3", "100", "110"),
        quote(2, "short", "1", "104", "110"),
        quote(3, "long", "1", "5", "6", 2),
    ]
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(*quotes))
    async with scene.connected() as socket:
        await socket.logs_in(1)
        ps, ws = await socket.hears(), await socket.hears()
        # 3 x 100 - 1 x 104 = 196 for 2: each cost 98.
        assert [[BTC, "ACTIVE", 2, 98], [ETH, "ACTIVE", 1, 5]] == [one[:4] for one in ps[2]]
        assert [["margin", "USTF0", 1000, 0, None, None, None]] == ws[2]
        await socket.hears_of("fls")
        await socket.asks(f"position_{BTC}", f"position_{ETH}", "margin_base", "wallet_margin_USTF0", "balance")
        pu, of_eth, miu, wu, bu = [await socket.hears() for _ in range(5)]
    assert ["pu", "pu", "miu", "wu", "bu"] == types([pu, of_eth, miu, wu, bu])
    # 3 x 10 - 1 x 6 = 24; 12 of 98 for each.
    assert [24, pytest.approx(12 / 98 * 100)] == pu[2][6:8]
    # 825 are left before liquidation, 412.5 for each of two.
    assert [None, pytest.approx(440 / 1025)] == pu[2][8:10]
    assert [1] == of_eth[2][6:7]
    assert ["base", [25, 0, 1000, 1025, 200]] == miu[2]
    assert ["margin", "USTF0", 1000, 0, 825] == wu[2][:5]
    assert [1000, 1025] == bu[2]
    assert 0 < pu[2][11] < 2**53
    assert pu[2][11] == ps[2][0][11]


async def test_a_liquidation_price_is_where_what_is_left_is_gone(scene: Scene) -> None:
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(quote(1, "long", "10", "100", "110"), allocated="500"))
    async with scene.logged_in() as socket:
        await socket.asks(f"position_{BTC}")
        # 600 - 200 = 400 are left: 40 for each of ten.
        assert 70 == (await socket.hears())[2][8]


async def test_long_and_short_of_one_size_are_a_position_of_0_that_keeps_what_is_locked_in(scene: Scene) -> None:
    quotes = [quote(1, "long", "2", "100", "500"), quote(2, "short", "2", "107", "500")]
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(*quotes))
    async with scene.logged_in() as socket:
        await socket.asks(f"position_{BTC}")
        assert [BTC, "ACTIVE", 0, None] == (pu := (await socket.hears())[2])[:4]
        assert [14, None, None] == pu[6:9]


async def test_of_a_base_price_below_0_no_move_in_percent_is_told_which_would_have_the_wrong_sign(
    scene: Scene,
) -> None:
    # 10 x 100 - 9 x 200 = -800 for 1: at 210 it has gained 1,010, of which nothing is a percentage.
    quotes = [quote(1, "long", "10", "100", "210"), quote(2, "short", "9", "200", "210")]
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(*quotes))
    async with scene.logged_in() as socket:
        await socket.asks(f"position_{BTC}")
        pu = (await socket.hears())[2]
    assert [1, -800] == pu[2:4]
    assert [1010, None] == pu[6:8]


async def test_a_change_of_quotes_is_told_and_one_of_prices_is_not(scene: Scene) -> None:
    key, put = f"{CHAIN}:{PARTY}", scene.tables.valuations.put
    put(key, 1, body(quote(1, "long", "1", "100", "110")))
    async with scene.logged_in() as socket:
        assert {key.encode()} == scene.interest.watched
        put(key, 2, body(quote(1, "long", "1", "100", "120")))
        put(key, 3, body(quote(1, "long", "3", "100", "120")))
        put(key, 4, body(quote(1, "long", "3", "100", "120"), quote(2, "short", "1", "5", "5", 2)))
        put(key, 5, body(quote(2, "short", "1", "5", "5", 2), allocated="900"))
        frames = [await socket.hears() for _ in range(4)]
        assert ["pu", "pn", "pc", "wu"] == types(frames)
        assert [BTC, "CLOSED", 0] == frames[2][2][:3]
        assert [3, -1, 900] == [frames[0][2][2], frames[1][2][2], frames[3][2][2]]
        put(key, 6, no_account_body())
        assert [ETH, "CLOSED", 0] == (await socket.hears())[2][:3]


async def test_what_is_unknown_is_null_and_never_zero(scene: Scene) -> None:
    held = unpriced_body(last_complete=None) | {"positions": [quote(1, "long", "1", "100", None)]}
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, held)
    async with scene.logged_in() as socket:
        await socket.asks(f"position_{BTC}", "margin_base", "balance", "wallet_margin_USTF0")
        frames = [(await socket.hears())[2] for _ in range(4)]
    assert [None] * 4 == frames[0][6:10]
    assert ["base", [None, 0, None, None, None]] == frames[1]
    assert [None, None] == frames[2]
    assert None is frames[3][2]


@pytest.mark.parametrize("row", [None, no_account_body()])
async def test_of_an_account_that_may_only_not_have_been_read_yet_nothing_is_zero(
    scene: Scene, row: dict[str, Any] | None
) -> None:
    if row is not None:
        scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, row)
    scene.tables.deployments.put(CHAIN, 2, unsupported_body())
    async with scene.connected() as socket:
        await socket.logs_in(1)
        assert [["margin", "USTF0", None, 0, None, None, None]] == (await socket.hears_of("ws"))[2]
        await socket.hears_of("fls")
        await socket.asks("margin_base", "balance", "wallet_margin_USTF0")
        frames = [(await socket.hears())[2] for _ in range(3)]
        assert [["base", [None, 0, None, None, None]], [None, None]] == frames[:2]
        assert [None, None] == [frames[2][2], frames[2][4]]
        scene.tables.deployments.put(CHAIN, 3, deployment_body())
        await socket.asks("balance")
        assert [0, 0] == (await socket.hears())[2]


async def test_figures_of_a_deployment_that_changed_in_a_way_that_is_not_understood_are_unknown(scene: Scene) -> None:
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(quote(1, "long", "1", "100", "110")))
    scene.tables.deployments.put(CHAIN, 2, unsupported_body())
    async with scene.logged_in() as socket:
        await socket.asks(f"position_{BTC}", "margin_base")
        assert [1, 100, None] == [(shown := (await socket.hears())[2])[2], shown[3], shown[6]]
        assert ["base", [None, 0, None, None, None]] == (await socket.hears())[2]


async def test_a_key_of_an_owner_shows_all_sub_accounts_as_one(scene: Scene) -> None:
    scene.hold(k1=ApiKey(SECRET, "alice", (f"{CHAIN}:owner={OWNER}",)))
    scene.tables.valuations.put(f"{CHAIN}:{PARTY}", 1, body(quote(1, "long", "1", "100", "110")))
    scene.tables.valuations.put(f"{CHAIN}:{OTHER}", 1, body(quote(2, "long", "3", "108", "110")))
    scene.tables.valuations.put(f"{CHAIN}:0x{'9' * 40}", 1, body(quote(3, "long", "5", "1", "2")) | {"owner": PARTY})
    async with scene.connected() as socket:
        await socket.logs_in(1)
        ps, ws = await socket.hears(), await socket.hears()
        assert [[BTC, "ACTIVE", 4, 106]] == [one[:4] for one in ps[2]]
        assert 2000 == ws[2][0][2]
        await socket.hears_of("fls")
        await socket.asks(f"position_{BTC}")
        assert 16 == (await socket.hears())[2][6]


async def test_an_owner_of_more_accounts_than_are_shown_as_one_is_shown_no_sum_of_some_of_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.dialects.bitfinex.socket_endpoint._OWNERS_EVERY", 1)
    scene.hold(k1=ApiKey(SECRET, "alice", (f"{CHAIN}:owner={OWNER}",)))
    for number in range(100):
        scene.tables.valuations.put(f"{CHAIN}:0x{number:040x}", 1, body())
    async with scene.serving() as client, scene.socket(client) as socket, scene.socket(client) as late:
        await socket.logs_in(1)
        assert 100_000 == (await socket.hears_of("ws"))[2][0][2]
        await socket.hears_of("fls")
        scene.tables.valuations.put(f"{CHAIN}:0x{100:040x}", 1, body())
        assert WSMsgType.CLOSE == (await socket.ws.receive()).type
        assert 1_008 == socket.ws.close_code
        answer = await late.logs_in(2)
        assert (10_100, "apikey: expected at most 100 accounts") == (answer["code"], answer["msg"])


def test_symbols_and_markets_are_each_others_names() -> None:
    symbols = VenueSymbols({"XAUUSDT": "tXAUF0:USTF0", "APT": "tAPTUSD"})
    for market, symbol in {
        "BTCUSDT": BTC,
        "1000SHIBUSDT": "t1000SHIBF0:USTF0",
        "ETHBTC": "tETHBTC",
        "APT": "tAPTUSD",
        "USDT": "tUSDT",
    }.items():
        assert (symbol, market) == (symbols.symbol_of(market), symbols.market_of(symbol))
