"""Flash as a venue in the engine: which state of a basket holds, what it is worth, and what it shows."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, ALERTS, STATEMENTS, VALUATIONS
from models.errors import BadRecord, BadRow
from models.flash.chain_accounts import slot_max
from models.flash.flash_accounts import Basket, Position, encode_account
from models.flash.flash_venue import FLASH
from models.money import format_e18
from models.plain_venue import Own
from models.prices import MarkTick, OracleSaid
from models.provenance import MADE_FROM
from models.statements import decode_statement
from models.views import AccountViews
from models.watermarks import DeploymentWatermark
from tests.support.flash import (
    BTC_LONG,
    CUSTODIES,
    NOW_MS,
    NOW_S,
    OWNER,
    SOL_LONG,
    SOL_SHORT,
    basket,
    basket_of,
    clock,
    closed,
    key,
    ledger,
    position,
    references,
    said,
    said_bytes,
    text,
)
from tests.support.flash_values import random_account

KEY = f"flash:{OWNER}".encode()


class World:
    """One deployment of Flash, priced by one source; each record comes right after the one before."""

    def __init__(self) -> None:
        sources = lambda name: (PriceSource(f"oracle:{name}".encode(), 60_000),)  # noqa: E731
        self.deployments = {"flash": EngineDeployment(FLASH, None, sources)}
        self.engine = Engine(self.deployments)
        self.offset = 0

    def say(self, *records: bytes) -> World:
        for value in records:
            self.engine.account_record(KEY, FLASH.decode(value, (self.offset, -1)), NOW_MS)
            self.offset += 1
        self.engine.fold("flash")
        return self

    def refer(self, **other: bytes) -> World:
        for name, value in {**references(), **other}.items():
            self.offset += 1
            self.engine.reference(f"flash:{name}".encode(), value, self.offset)
        return self

    def tick(self, symbol: str, price: str, *, at_s: int = NOW_S) -> World:
        self.offset += 1
        at_ms = at_s * 1_000 + self.offset
        oracle = OracleSaid(-8, price, "0")
        self.engine.tick(MarkTick("oracle", symbol, at_ms, at_ms, price, None, None, None, oracle=oracle), self.offset)
        return self

    def priced(self) -> World:
        return self.tick("SOL", "150").tick("USDC", "1").tick("BTC", "60000")

    def row(self, now_ms: int = NOW_MS + 1_000) -> dict[str, Any]:
        self.engine.value(now_ms)
        row = self.engine.tables.read(VALUATIONS, KEY)
        assert row is not None
        return decode_row(row).body


def test_a_basket_is_worth_what_was_worked_by_hand() -> None:
    row = World().refer().priced().say(said(basket(position(SOL_LONG)))).row()
    assert (row["status"], row["stale"], row["unpriced"], row["owner"]) == ("valued", 0, 0, OWNER)
    figures = {name: format_e18(int(row[name])) for name in ("upnl", "upnl_net", "notional", "equity")}
    assert figures == {
        # 1.48 x 3.36654996, of which the venue's integers keep six decimals.
        "upnl": "4.9824939408",
        "upnl_net": "4.667493",
        "notional": "504.982494",
        "equity": "104.667493",
    }
    # A hundredth of the size at entry, 500 USD, is kept.
    assert format_e18(int(row["available_balance"])) == "99.667493"
    assert (row["liquidatable"], row["distance_bps"]) == (False, 1973)
    (one,) = row["positions"]
    assert (one["symbol"], one["side"], one["mark_key"], one["stale"]) == ("SOL", "long", "oracle:SOL", False)
    assert (format_e18(int(one["quantity"])), format_e18(int(one["opened_price"]))) == ("3.36654996", "148.52")
    assert format_e18(int(one["liquidation_price"])) == "120.39476761"
    assert row["conversions"]["USDC"]["mark_key"] == "oracle:USDC"


def test_a_basket_of_several_positions_is_as_near_to_liquidation_as_the_nearest_of_them() -> None:
    world = World().refer().priced()
    world.say(said(basket(position(SOL_LONG), position(SOL_SHORT, collateral="6"), position(BTC_LONG, "60000", "0.1"))))
    row = world.row()
    assert (row["status"], row["liquidatable"]) == ("valued", True)
    # 6 USD less 4.982493 lost less the fees of 0.315, of which 5 are to be kept.
    assert format_e18(int(row["available_balance"])) == "-4.297493"
    assert world.engine.tables.read(ALERTS, KEY) is not None


@pytest.mark.parametrize(
    ("missing", "unpriced"),
    [("table", 1), ("market", 1), ("custody", 1), ("mark", 1)],
)
def test_a_position_of_which_anything_is_missing_is_unpriced_until_that_comes(missing: str, unpriced: int) -> None:
    without = {
        "table": ("table",),
        "market": (f"market.{text('SOL long')}",),
        "custody": (f"custody.{text('SOL custody')}",),
        "mark": (),
    }[missing]
    world = World().say(said(basket(position(SOL_LONG))))
    for name, value in references().items():
        if name not in without:
            world.engine.reference(f"flash:{name}".encode(), value, 100)
    if missing != "mark":
        world.priced()
    row = world.row()
    assert (row["status"], row["unpriced"], row["upnl"]) == ("unpriced", unpriced, None)
    world.refer().priced()
    assert world.row()["status"] == "valued"


def test_hourly_fees_accrue_with_the_clock_of_the_chain_alone() -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG))))
    before = int(world.row()["upnl_net"])
    world.refer(clock=clock(NOW_S + 7_200))
    # Two hours at 20,000e-9 of 500 USD.
    assert format_e18(before - int(world.row()["upnl_net"])) == "0.02"


def test_rows_name_what_they_were_made_from() -> None:
    row = World().refer().priced().say(said(basket(position(SOL_LONG)))).row()
    assert set(row[MADE_FROM]["references"]) == {
        "clock",
        "table",
        f"market.{text('SOL long')}",
        f"custody.{text('SOL custody')}",
        f"custody.{text('USDC custody')}",
    }


def test_the_newest_slot_holds_whatever_comes_later() -> None:
    old, new = basket(position(SOL_LONG, "100")), basket(position(SOL_LONG))
    world = World().refer().priced().say(said(new, slot=7))
    row = world.engine.tables.read(ACCOUNTS, KEY)
    world.say(said(old, slot=6), said(new, slot=7), closed(slot=3))
    assert world.engine.tables.read(ACCOUNTS, KEY) == row
    world.say(said(old, slot=7, write_version=1))
    assert format_e18(int(world.row()["positions"][0]["opened_price"])) == "100"


def test_slots_of_the_two_chains_are_not_compared() -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG)), slot=9))
    world.say(said(ledger(("USDC", 5)), slot=2, pubkey=text("ledger")))
    row = world.engine.tables.read(STATEMENTS, KEY)
    assert row is not None
    shown = decode_statement(row).body
    assert (shown["basket"]["slot"], shown["ledger"]["slot"], shown["owner"]) == (9, 2, OWNER)
    assert base64.b64decode(shown["ledger"]["data"]) == encode_account(ledger(("USDC", 5)))


def test_a_copy_of_a_basket_on_the_base_chain_is_refused_and_changes_nothing() -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG))))
    copy = said(basket(), slot=99, layer="base")
    with pytest.raises(BadRecord, match="expected a Basket of the rollup chain, found one of base"):
        FLASH.fold(None, Own((9, -1), copy), DeploymentWatermark())
    world.say(copy)
    assert len(world.row()["positions"]) == 1


@pytest.mark.parametrize("slot", [2**63 - 1, 10**12, slot_max("rollup", NOW_MS) + 1])
def test_a_slot_that_no_chain_can_have_is_refused_and_one_that_stands_gives_way_to_any(slot: int) -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG)), slot=5))
    lie = said(basket(), slot=slot)
    with pytest.raises(BadRecord, match="expected a slot of the rollup chain of at most"):
        FLASH.fold(None, Own((9, -1), lie), DeploymentWatermark())
    assert len(world.say(lie).row()["positions"]) == 1
    # A row of before this was refused.
    before = FLASH.read(world.engine.tables.read(ACCOUNTS, KEY) or b"")
    assert before.basket is not None
    stuck = msgspec.structs.replace(before, basket=msgspec.structs.replace(before.basket, slot=slot))
    after = FLASH.fold(stuck, Own((99, -1), said(basket(), slot=6)), DeploymentWatermark())
    assert after.basket is not None
    assert after.basket.slot == 6


def test_a_basket_that_was_closed_is_no_account_until_it_is_opened_again() -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG))), closed(slot=2))
    assert (world.row()["status"], world.row()["positions"]) == ("nobody", [])
    assert world.say(said(basket(position(SOL_LONG)), slot=3)).row()["status"] == "valued"


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (said_bytes(encode_account(basket(position(SOL_LONG)))[:-1], slot=2), "cut off"),
        (said_bytes(b"", slot=2), "expected a Basket account"),
        (said(basket(owner=text("other")), slot=2), "expected an account of"),
        (said(basket(), slot=2).replace(b'"data":"', b'"data":"!'), "base64"),
        (said(basket(), slot=2).replace(b'"kind":"account"', b'"kind":"too_large","size":200000'), "at most 131072"),
        (b"nonsense", "expected a record of an account of Flash"),
        (said(CUSTODIES["SOL"], slot=2), "expected a record of one of"),
    ],
)
def test_a_basket_that_cannot_be_read_is_suspect_with_the_cause_until_a_newer_one_can(
    record: bytes, cause: str
) -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG)))).say(record)
    account = FLASH.read(world.engine.tables.read(ACCOUNTS, KEY) or b"")
    assert cause in (account.suspicion or "")
    assert (world.row()["status"], world.row()["upnl"]) == ("suspect", None)
    assert world.say(said(basket(position(SOL_LONG)), slot=3)).row()["status"] == "valued"


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_no_basket_of_any_numbers_ends_a_worker(seed: int, cut: int) -> None:
    data = encode_account(random_account(Basket, Random(seed)))
    world = World().refer().priced().say(said_bytes(data), said_bytes(data[: len(data) - cut], slot=2))
    assert world.row()["status"] in {"valued", "unpriced", "suspect"}


def test_a_position_of_any_numbers_is_valued_or_unpriced_and_its_row_can_be_written() -> None:
    statuses = set()
    for seed in range(300):
        one = random_account(Position, Random(seed))._replace(market=SOL_LONG)
        if seed % 2:
            one = one._replace(entry_price=one.entry_price._replace(exponent=-8))
        statuses.add(World().refer().priced().say(said(basket(one))).row()["status"])
    assert statuses == {"valued", "unpriced"}


def test_a_restart_reads_what_was_written() -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG))), said(ledger(), pubkey=text("ledger")))
    before = world.row()
    account = FLASH.read(world.engine.tables.read(ACCOUNTS, KEY) or b"")
    world.engine = Engine(world.deployments, world.engine.tables)
    world.refer().priced()
    after = world.row()
    assert {**before, MADE_FROM: None} | {"positions": [], "conversions": {}, "as_of_ms": 0} == (
        {**after, MADE_FROM: None} | {"positions": [], "conversions": {}, "as_of_ms": 0}
    )
    assert account.ledger is not None
    with pytest.raises(BadRow, match="expected a row of a flash account"):
        FLASH.read(b"\0" * 16 + b"[]")


def test_users_are_shown_the_venue_s_own_upnl_and_the_slot() -> None:
    row = World().refer().priced().say(said(basket(position(SOL_LONG)), slot=7)).row()
    view = AccountViews(lambda _: FLASH).account(f"flash:{OWNER}", row)
    assert (view["upnl_net"], view["slot"], view["owner"]) == ("4.667493", "7", OWNER)
    assert view["positions"][text("SOL long")]["liquidation_price"] == "120.39476761"


def test_an_owner_is_base58_of_32_bytes_and_nothing_else() -> None:
    assert FLASH.account_id(OWNER) == OWNER
    for other in ("bRXn4PPn", OWNER + "1", "0x" + "a" * 40, "", "größe", basket_of()[:-1] + "0"):
        assert FLASH.account_id(other) is None


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("table", b"{}", "expected a table of Flash"),
        ("clock", b'{"kind":"clock"}', "expected the time of a chain"),
        ("pools", b"{}", "found a reference called 'pools'"),
        (f"custody.{text('SOL custody')}", said(CUSTODIES["SOL"], pubkey=text("x")), "as it stands"),
        (f"market.{text('SOL long')}", closed(), "as it stands"),
        (
            f"custody.{text('SOL custody')}",
            said(CUSTODIES["SOL"], pubkey=text("SOL custody"), layer="rollup"),
            "of the base chain",
        ),
    ],
)
def test_a_reference_that_cannot_be_read_leaves_the_one_before(name: str, value: bytes, fault: str) -> None:
    world = World().refer().priced().say(said(basket(position(SOL_LONG))))
    with pytest.raises(BadRecord, match=fault):
        world.engine.reference(f"flash:{name}".encode(), value, 10_000)
    assert world.row()["status"] == "valued"


def test_a_place_without_a_size_is_no_position() -> None:
    empty = position(SOL_LONG)._replace(size_amount=0)
    row = World().refer().priced().say(said(basket(empty))).row()
    assert (row["status"], row["positions"], row["equity"]) == ("valued", [], "0")
    assert key("SOL long") == SOL_LONG
