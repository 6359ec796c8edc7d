"""Accounts of a venue that implements ``Venue`` itself, and whose positions are not linear in a mark."""

from __future__ import annotations

import importlib
import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark_options import PACKAGE

from models.codec import decode_row, encode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.errors import BadRow
from models.guarded_venue import GuardedVenue
from models.ids import account_key
from models.money import E18, format_e18
from models.prices import MarkTick, UsedMark
from models.symmio.deployment import SymmioDeployment
from models.symmio.venue import engine_deployment
from models.watermarks import DeploymentWatermark
from streams.settings.venues import package_of
from tests.support.symmio import ALICE, DIAMOND, HEDGER, allocate, block, fee_out, log, send_quote
from tests.support.venues import announce
from tidemark.venue import MOVE_MAX, Own, Venue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tidemark_options.venue import Account

INVERSE: Venue[Account, Account, Own] = PACKAGE.venue
# What a coin is worth is the mark of this market; where it is 1, figures in dollars are those in coins.
COIN = "XBTUSD"
ID = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
KEY = f"coins:{ID}".encode()
NOW_MS = 1_700_000_005_000


def paid(amount: str, wallet: str = "main") -> dict[str, Any]:
    return {"kind": "paid", "time_ms": NOW_MS, "wallet": wallet, "amount": amount}


def order(margin: str, name: str = "7") -> dict[str, Any]:
    return {"kind": "order", "time_ms": NOW_MS, "id": name, "margin": margin}


def position(size: str, entry: str, market: str = "BTCUSD", name: str = "9") -> dict[str, Any]:
    return {"kind": "position", "time_ms": NOW_MS, "id": name, "market": market, "size": size, "entry": entry}


def whole(coins: str) -> dict[str, Any]:
    return {"kind": "whole", "time_ms": NOW_MS, "wallets": {"main": coins}, "orders": {}, "positions": {}}


def sources(name: str) -> tuple[PriceSource, ...]:
    return (PriceSource(f"venue:{name}".encode(), 5_000),) if name else ()


class World:
    """A deployment of inverse contracts, and one of SYMMIO beside it, priced by one source."""

    def __init__(self) -> None:
        self.engine = Engine(
            {
                "coins": EngineDeployment(INVERSE, None, sources),
                "main": engine_deployment(SymmioDeployment(DIAMOND), sources),
            }
        )
        self.offset = 0

    def say_the_coin_is_a_dollar(self) -> None:
        self.tick(COIN, "1", 0)

    def say(self, *records: object, key: bytes = KEY) -> None:
        for record in records:
            value = json.dumps(record).encode()
            self.engine.account_record(key, INVERSE.decode(value, (self.offset, -1)), NOW_MS)
            self.offset += 1
        self.engine.fold("inverse")

    def tick(self, market: str, price: str, offset: int) -> None:
        at_ms = NOW_MS + offset
        self.engine.tick(MarkTick("venue", market, at_ms, at_ms, price, None, None, None), offset)

    def value(self, key: bytes = KEY) -> dict[str, Any]:
        self.engine.value(NOW_MS)
        return self.body(VALUATIONS, key)

    def body(self, table: str, key: bytes = KEY) -> dict[str, Any]:
        row = self.engine.tables.read(table, key)
        assert row is not None
        return decode_row(row).body


class Marks:
    """The marks of some markets, in use."""

    def __init__(self, marks_e18: Mapping[str, int]) -> None:
        self._marks_e18 = marks_e18

    def mark(self, market: int | str, /) -> UsedMark | None:
        return UsedMark("venue:x", self._marks_e18[str(market)], NOW_MS, 0, stale=False)

    def reference(self, _name: str, /) -> None:
        return None


def folded(*records: dict[str, Any]) -> Account:
    account: Account | None = None
    for offset, record in enumerate(records):
        own = Own((offset, -1), json.dumps(record).encode())
        account = INVERSE.fold(account, own, DeploymentWatermark())
    assert account is not None
    return account


def test_an_account_gains_in_coins_and_orders_keep_margin_back() -> None:
    world = World()
    world.say(paid("1"), paid("-0.25"), paid("0.5", "bonus"), order("0.1"), order("0.2", "8"), order("0", "8"))
    world.say(position("30000", "60000"), position("-300", "3", "ETHUSD", "10"))
    assert ("unpriced", 3, None) == tuple(world.value()[name] for name in ("status", "unpriced", "upnl"))
    world.tick("BTCUSD", "50000", 0)
    world.tick("ETHUSD", "7", 1)
    assert ("unpriced", 3, None) == tuple(world.value()[name] for name in ("status", "unpriced", "upnl"))
    world.say_the_coin_is_a_dollar()
    body = world.value()

    # 30,000 x (1/60,000 - 1/50,000) = -0.1; 300 / 7 - 100 = -57.142857..., truncated toward zero.
    assert ["-57142857142857142857", str(-E18 // 10)] == [one["upnl"] for one in body["positions"]]
    assert str(-57_242_857_142_857_142_857) == body["upnl"]
    assert str(300 * E18 // 7 + 6 * E18 // 10) == body["notional"]
    # 1.25 coins; 1 % of 100.5 and the order's 0.1 are kept back.
    assert str(-55_992_857_142_857_142_857) == body["equity"]
    assert (str(-57_097_857_142_857_142_857), True) == (body["available_balance"], body["liquidatable"])
    assert ("BTC", "0.1") == tuple(INVERSE.view(body)[name] for name in ("currency", "order_margin_native"))


def test_accounts_whose_ids_differ_in_case_alone_are_two_beside_one_of_symmio() -> None:
    world, other = World(), f"coins:{ID.swapcase().replace('I', '1').replace('O', '2').replace('l', '3')}".encode()
    world.say(paid("1"))
    world.say(paid("2"), key=other)
    alice = account_key("main", ALICE)
    for offset, record in enumerate(
        (
            block(1, [log("AddSymbol", 1, "BTC", 1, 2, 3, 4, 14_400, 420)], [allocate(1_000 * E18)]),
            block(2, [fee_out(0), send_quote(7)]),
            block(3, [log("LockQuote", HEDGER, 7), log("OpenPosition", 7, ALICE, HEDGER, 10 * E18, 100 * E18)]),
        )
    ):
        world.engine.raw("main", record, offset, NOW_MS)
    world.tick("BTC", "110", 0)
    world.say_the_coin_is_a_dollar()

    assert [str(E18), str(2 * E18)] == [world.value(key)["equity"] for key in (KEY, other)]
    assert ("valued", str(100 * E18)) == (world.value(alice)["status"], world.value(alice)["upnl"])
    assert [ID, None, None] == [INVERSE.account_id(text) for text in (ID, ID[:-1] + "0", ALICE)]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ({"kind": "paid"}, "expected a record of inverse contracts"),
        (order("-1"), "expected a margin of an order"),
        (position("5", "0"), "at an entry price above 0"),
        (paid("1e5"), "expected a plain decimal number"),
    ],
)
def test_a_record_that_cannot_be_folded_makes_its_account_unknown_until_a_whole(bad: object, cause: str) -> None:
    world = World()
    world.say_the_coin_is_a_dollar()
    world.say(paid("1"), bad, paid("5"))
    assert ("suspect", None) == (world.value()["status"], world.value()["equity"])
    assert 1 == len(world.engine.refused)
    assert cause in world.engine.refused[0]
    world.say(whole("3"))

    assert ("valued", str(3 * E18)) == (world.value()["status"], world.value()["equity"])


_records = st.lists(
    st.one_of(
        st.integers(-9, 9).map(lambda coins: paid(str(coins))),
        st.sampled_from(("0.5", "0", "-1")).map(order),
        st.builds(
            position, st.sampled_from(("-500", "0", "70")), st.just("90"), st.just("BTCUSD"), st.sampled_from("ab")
        ),
        st.integers(0, 9).map(lambda coins: whole(str(coins))),
    ),
    min_size=1,
    max_size=12,
)


@given(_records, st.data())
def test_records_that_are_delivered_again_change_nothing(records: list[dict[str, Any]], data: st.DataObject) -> None:
    once, again = World(), World()
    once.say(*records)
    at = 0
    while at < len(records):
        until = data.draw(st.integers(at + 1, len(records)))
        again.offset = data.draw(st.integers(0, at))
        again.say(*records[again.offset : until])
        at = until
    for world in (once, again):
        world.tick("BTCUSD", "99", 0)
        world.say_the_coin_is_a_dollar()
        world.value()

    for table in (ACCOUNTS, VALUATIONS):
        assert dict(once.engine.tables.items(table)) == dict(again.engine.tables.items(table))


_MICRO = 10**12
_sizes = st.integers(-(10**13), 10**13).filter(bool).map(lambda micros: format_e18(micros * _MICRO))
_opened = st.builds(
    position,
    _sizes,
    st.integers(1, 10**12).map(lambda micros: format_e18(micros * _MICRO)),
    st.sampled_from(("BTCUSD", "ETHUSD")),
    st.sampled_from("abcd"),
)
_coins = st.integers(-(10**15), 10**15).map(lambda micros: paid(format_e18(micros * _MICRO)))


_marks = st.integers(10**3, 10**12).map(lambda micros: micros * _MICRO)
_moves = st.one_of(st.floats(-MOVE_MAX, MOVE_MAX), st.sampled_from((-MOVE_MAX, MOVE_MAX)))


@given(
    st.lists(st.one_of(_opened, _coins, st.just(order("0.3"))), min_size=1, max_size=8),
    st.fixed_dictionaries({"BTCUSD": _marks, "ETHUSD": _marks, COIN: _marks}),
    st.fixed_dictionaries({"BTCUSD": _moves, "ETHUSD": _moves, COIN: _moves}),
)
def test_the_tangent_less_its_slack_never_understates_a_loss_within_reach(
    records: list[dict[str, Any]], before: dict[str, int], moves: dict[str, float]
) -> None:
    held = folded(*records)
    line = INVERSE.exposure("coins", held, Marks(before))
    after = {market: mark_e18 + int(mark_e18 * moves[market]) for market, mark_e18 in before.items()}
    exact = INVERSE.value(held, 0, Marks(after), unsupported=False).body["available_balance"]
    value = sum(amount * (after[str(market)] / E18) for (_, market), amount in line.signed.items())

    assert line.slack is not None
    assert Fraction(line.margin + (value - line.cost) - line.slack) <= Fraction(int(exact), E18)


def test_the_tangent_is_the_value_where_it_touches() -> None:
    held = folded(position("500", "60000"), paid("1"))
    prices = {"BTCUSD": 50_000, COIN: 49_000}
    marks = Marks({market: price * E18 for market, price in prices.items()})
    exact = int(INVERSE.value(held, 0, marks, unsupported=False).body["available_balance"]) / E18
    line = INVERSE.exposure("coins", held, marks)

    value = sum(amount * prices[str(market)] for (_, market), amount in line.signed.items())
    assert pytest.approx(exact, rel=1e-12) == line.margin + value - line.cost


def test_a_row_of_another_venue_is_refused_and_what_it_says_is_left_alone() -> None:
    world = World()
    world.say(paid("1"))
    row = world.body(ACCOUNTS)
    for body in ({**row, "venue": "other"}, {"block": 1}, {**row, "state": 5}):
        with pytest.raises(BadRow, match="expected a row of an inverse account"):
            INVERSE.read(encode_row(0, 1, body))
    world.engine.tables._rows[ACCOUNTS][KEY] = encode_row(0, 1, {**row, "venue": "other"})
    restarted = Engine({"coins": EngineDeployment(INVERSE, None)}, world.engine.tables)
    restarted.account_record(KEY, Own((5, -1), b"{}"), NOW_MS)
    restarted.fold("inverse")

    assert [(ACCOUNTS, KEY)] == list(restarted.tables.unreadable)
    assert {**row, "venue": "other"} == decode_row(restarted.tables.read(ACCOUNTS, KEY) or b"").body["row"]


def test_the_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(announce(tmp_path / "site", "inverse", "tidemark_options:PACKAGE")))
    importlib.invalidate_caches()
    package_of.cache_clear()
    try:
        found = package_of("inverse")
        assert found is not None
        assert (PACKAGE.kind, PACKAGE.settings, GuardedVenue) == (found.kind, found.settings, type(found.venue))
        assert "inverse" == PACKAGE.settings(kind="inverse", default_sources=("venue",)).kind
    finally:
        package_of.cache_clear()
