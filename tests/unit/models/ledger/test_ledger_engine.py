"""A ledger in the engine: references that come late, marks that move, and statements with their events."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Any

import msgspec
import pytest

from models.codec import decode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.step import Write
from models.engine.tables import ALERTS, STATEMENTS, VALUATIONS
from models.errors import BadRecord
from models.ledger import liquidation_price
from models.ledger.ledger_settings import Tier
from models.ledger.ledger_venue import LEDGER
from models.money import format_e18
from models.prices import MarkTick
from models.statements import decode_statement
from models.views import AccountViews
from tests.support.ledger import inputs, order, position, record, wallet

KEY = b"desk:ann"
NOW_MS = 1_700_000_000_000
PERP = "tBTCF0:USTF0"


class World:
    """One ledger, priced by one source, whose settings are those that every symbol has in ``inputs``."""

    def __init__(self) -> None:
        sources = lambda name: (PriceSource(f"venue:{name}".encode(), 5_000),)  # noqa: E731
        self.deployments = {"desk": EngineDeployment(LEDGER, None, sources)}
        self.engine = Engine(self.deployments)
        self.offset = 0

    def say(self, *records: bytes) -> World:
        for value in records:
            self.engine.account_record(KEY, LEDGER.decode(value, (self.offset, -1)), NOW_MS)
            self.offset += 1
        self.engine.fold("ledger")
        return self

    def set(self, **more: Any) -> World:  # noqa: ANN401
        marks = {"tBTCUSD": "1", PERP: "1", "tUSTUSD": "1"}
        for name, value in inputs(marks, paths={"USTF0": ["tUSTUSD"]}, **more).settings.items():
            self.offset += 1
            self.engine.reference(f"desk:{name}".encode(), msgspec.json.encode(value), self.offset)
        return self

    def tick(self, market: str, price: str) -> World:
        self.offset += 1
        at_ms = NOW_MS + self.offset
        self.engine.tick(MarkTick("venue", market, at_ms, at_ms, price, None, None, None), self.offset)
        return self

    def row(self) -> dict[str, Any]:
        self.engine.value(NOW_MS)
        row = self.engine.tables.read(VALUATIONS, KEY)
        assert row is not None
        return decode_row(row).body


def holding_a_perpetual() -> World:
    return World().say(
        record("account_opened", 1, owner="ann"),
        record("wallet_set", 2, wallet=wallet("50", "USTF0")),
        record("position_set", 3, position=position("0.5", "100", PERP, type="derivative")),
    )


def test_values_follow_marks_conversions_and_settings_in_whatever_order_these_come() -> None:
    world = holding_a_perpetual()
    assert (world.row()["status"], world.row()["unpriced"]) == ("unpriced", 2)
    world.tick(PERP, "110").tick("tUSTUSD", "0.99")
    assert world.row()["status"] == "unpriced"
    world.set()
    assert format_e18(int(world.row()["equity"])) == "54.3411"
    world.tick("tUSTUSD", "1")
    assert format_e18(int(world.row()["equity"])) == "54.89"
    world.set(fee="0")
    assert format_e18(int(world.row()["equity"])) == "55"


def test_a_market_that_a_reference_names_first_is_looked_at_without_another_move() -> None:
    world = holding_a_perpetual().tick(PERP, "110").tick("tUSTUSD", "1")
    world.row()
    touched: list[bool] = []
    world.set()
    # As a worker does: what a reference concerns is valued in turns, after what was urgent.
    world.engine.valuing.take_urgent(1.0)
    world.engine.valuing.listen(lambda: touched.append(True))
    while world.engine.valuing.deferred:
        world.engine.valuing.value(world.engine.valuing.deferred.popleft(), NOW_MS, is_urgent=False)
    assert touched


def test_a_fall_of_the_conversion_alone_makes_an_account_liquidatable_and_alerts() -> None:
    # 100 USD and a loan of 90 USTF0: at 1.2 USD it is 8 short.
    world = World().set(tiers=(Tier(initial="0.2", maintenance="0.1"),))
    world.say(
        record("snapshot", 1, owner="ann", wallets=[wallet("100"), wallet("-90", "USTF0")],
               positions=[position("0.01", "10")]),
    )  # fmt: skip
    world.tick("tBTCUSD", "10").tick("tUSTUSD", "1")
    assert world.row()["liquidatable"] is False
    world.tick("tUSTUSD", "1.2")
    assert world.row()["liquidatable"] is True
    assert world.engine.tables.read(ALERTS, KEY) is not None


def test_a_statement_has_what_the_account_has_and_what_happened_numbered() -> None:
    world = holding_a_perpetual().say(record("position_closed", 4, position=position("0", "100", PERP)))
    row = world.engine.tables.read(STATEMENTS, KEY)
    assert row is not None
    statement = decode_statement(row)
    assert [(one.number, one.body["kind"]) for one in statement.events] == [
        (1, "account_opened"), (2, "wallet_changed"), (3, "position_opened"), (4, "position_closed")
    ]  # fmt: skip
    assert (statement.body["seq"], statement.body["positions"]) == (4, [])
    assert statement.body["wallets"][0]["balance"] == "50"


@pytest.mark.parametrize(
    "corrupt", [b"", b"not JSON", b"[]", b'{"position":[1,-1],"statement":{},"events":[["2",1,-1,{}]]}']
)
def test_a_statement_that_cannot_be_read_is_made_anew_and_its_readers_know_that_they_missed_events(
    corrupt: bytes,
) -> None:
    world = World().say(record("account_opened", 1, owner="ann"), record("wallet_set", 2, wallet=wallet("50")))
    world.engine.tables.put(Write(STATEMENTS, KEY, 2, corrupt))
    world.say(record("wallet_set", 3, wallet=wallet("60"))).say(record("wallet_set", 4, wallet=wallet("70")))

    row = world.engine.tables.read(STATEMENTS, KEY)
    assert row is not None
    statement = decode_statement(row)
    assert statement.body["wallets"][0]["balance"] == "70"
    assert [one.body["kind"] for one in statement.events] == ["wallet_changed", "wallet_changed"]
    assert statement.events[1].number == statement.events[0].number + 1
    assert statement.events_after(2) is None
    assert len(world.engine.tables.unreadable) == 1


def test_a_restart_goes_on_with_what_waited() -> None:
    world = holding_a_perpetual().set().tick(PERP, "110").tick("tUSTUSD", "1")
    world.say(record("wallet_set", 5, wallet=wallet("60", "USTF0")))
    assert world.row()["status"] == "suspect"
    world.engine = Engine(world.deployments, world.engine.tables)
    assert world.row()["status"] == "suspect"
    world.say(record("wallet_set", 4, wallet=wallet("55", "USTF0")))
    assert format_e18(int(world.row()["equity"])) == "64.89"


def test_settings_that_contradict_themselves_are_refused_and_the_former_ones_stay() -> None:
    world = holding_a_perpetual().set().tick(PERP, "110").tick("tUSTUSD", "1")
    before = world.row()["equity"]
    key = f"desk:symbol:{PERP}".encode()
    for bad, fault in (
        (b'{"v": 1}', "missing required field"),
        (b'{"v": 1, "price": "x", "close_fee": "1", "tiers": [{"initial": "0.1", "maintenance": "0.1"}]}', "below 1"),
        (b'{"v": 1, "price": "x", "close_fee": "0", "tiers": [{"initial": "0.1", "maintenance": "0.2"}]}', "rates"),
        (b'{"v": 1, "price": "x", "close_fee": "0", "tiers": [{"initial": "0", "maintenance": "0"}]}', "above 0"),
        (
            b'{"v": 1, "price": "x", "close_fee": "0", "tiers": [{"initial": "1", "maintenance": "0", "up_to": "5"}]}',
            "only in the last",
        ),
        (
            b'{"v": 1, "price": "x\\n", "close_fee": "0", "tiers": [{"initial": "1", "maintenance": "0"}]}',
            "`str` matching",
        ),
    ):
        with pytest.raises(BadRecord, match=fault):
            world.engine.reference(key, bad, 10_000)
    for name in ("currency:USD", "currency:U!", "other:UST", "symbol:BTC"):
        with pytest.raises(BadRecord):
            world.engine.reference(f"desk:{name}".encode(), b'{"v": 1, "path": ["tUSTUSD"]}', 10_000)
    assert world.row()["equity"] == before


def test_a_reference_that_is_taken_away_leaves_the_last_complete_figures() -> None:
    world = holding_a_perpetual().set().tick(PERP, "110").tick("tUSTUSD", "1")
    upnl = world.row()["upnl"]
    world.engine.reference(b"desk:currency:USTF0", b"", 10_000)
    assert (world.row()["status"], world.row()["last_complete"]["upnl"]) == ("unpriced", upnl)


def test_users_are_shown_the_venue_s_own_upnl_and_liquidation_price() -> None:
    world = World().set().tick("tBTCUSD", "120")
    world.say(record("snapshot", 1, owner="ann", wallets=[wallet("100")], positions=[position("2", "100")]))
    view = AccountViews(lambda _: LEDGER).account("desk:ann", world.row())
    assert (view["upnl"], view["upnl_net"], view["owner"], view["seq"]) == ("40", "39.52", "ann", "1")
    shown = view["positions"]["tBTCUSD"]
    assert shown["liquidation_price"] == "58.962264150943396227"
    # (120 - 58.96…) / 120 in bps.
    assert shown["liquidation_distance_bps"] == 5086


@pytest.mark.parametrize("unwritable", ["[" * 300 + "]" * 300, str(2**64), '{"a":' * 40 + "1" + "}" * 40])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("notification", {"notice": {"type": "t", "text": "x", "info": "HERE"}}),
        ("wallet_set", {"wallet": {"type": "margin", "currency": "USD", "balance": "1", "meta": {"a": "HERE"}}}),
        ("order_set", {"order": {**msgspec.to_builtins(order(1, "1", "2")), "meta": {"a": "HERE"}}}),
        ("order_closed", {"order": {**msgspec.to_builtins(order(1, "1", "2")), "meta": {"a": "HERE"}}}),
        ("position_set", {"position": {**msgspec.to_builtins(position("1", "2")), "meta": {"a": "HERE"}}}),
        ("position_closed", {"position": {**msgspec.to_builtins(position("0", "2")), "meta": {"a": "HERE"}}}),
        ("snapshot", {"orders": [{**msgspec.to_builtins(order(1, "1", "2")), "meta": {"a": "HERE"}}]}),
    ],
)
def test_what_no_row_can_hold_makes_its_own_account_suspect_and_ends_no_worker(
    kind: str, what: dict[str, Any], unwritable: str
) -> None:
    hostile = record(kind, 2, **what).replace(b'"HERE"', unwritable.encode())
    world = World().say(record("account_opened", 1, owner="ann"), hostile)
    assert world.row()["status"] == "suspect"
    world.say(record("wallet_set", 2, wallet=wallet("1")))
    assert world.row()["status"] != "suspect"


def test_a_code_beyond_53_bits_makes_its_own_account_suspect_and_ends_no_worker() -> None:
    notice = {"type": "t", "text": "x", "code": 2**70}
    world = World().say(record("account_opened", 1, owner="ann"), record("notification", 2, notice=notice))
    assert world.row()["status"] == "suspect"


def test_an_owner_that_is_an_evm_address_is_found_by_the_spelling_that_readers_are_given() -> None:
    address = "0x" + "aB" * 20
    assert World().say(record("account_opened", 1, owner=address)).row()["owner"] == address.lower()
    assert World().say(record("account_opened", 1, owner="Ann")).row()["owner"] == "Ann"


def test_what_valuing_an_account_costs_grows_with_its_positions_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added = 0

    def counting(one: Any, other: Any) -> Any:  # noqa: ANN401 - whatever is added
        nonlocal added
        added += 1
        return plain(one, other)

    plain = liquidation_price._sum
    monkeypatch.setattr(liquidation_price, "_sum", counting)
    symbols = [f"tA{first}{second}USD" for first in ascii_uppercase for second in ascii_uppercase[:8]]
    held = [*(position("1", "1", symbol) for symbol in symbols), position("1", "1", "tBTCUSD")]
    world = World().set(symbols=symbols).say(record("snapshot", 1, positions=held, wallets=[wallet("1", "USTF0")]))
    for symbol in (*symbols, "tBTCUSD", "tUSTUSD"):
        world.tick(symbol, "2")
    assert world.row()["status"] == "valued"
    assert 0 < added <= 3 * len(held)
