"""Accounts of a venue that says only what they hold: fold, rows and values, of the example of such a venue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark_paper import PACKAGE, Paper

import tidemark.venue
from models.codec import NUMBER_MAX, decode_row, encode_row
from models.engine.board import PriceSource
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, ALERTS, SUBTOTALS, VALUATIONS
from models.errors import BadRow
from models.guarded_venue import GuardedVenue
from models.money import E18, parse_e18
from models.plain_venue import Holds, Own, Position
from models.prices import MarkTick
from models.views import AccountViews
from models.watermarks import DeploymentWatermark
from streams.kafka.topics import MAX_RECORD_BYTES
from tests.support.contract import validate_rest
from tests.support.paper import paper_engine, played

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.plain_venue import PlainAccount
    from models.venue import Inputs, Valued

KEY = b"game:Ann-7"
NOW_MS = 1_700_000_000_000
PAPER = PACKAGE.venue


def cash(amount: str) -> dict[str, Any]:
    return {"kind": "cash", "time_ms": NOW_MS, "amount": amount}


def opened(market: str, size: str, entry: str) -> dict[str, Any]:
    return {"kind": "position", "time_ms": NOW_MS, "market": market, "size": size, "entry": entry}


def snapshot(cash: str, **positions: Sequence[str]) -> dict[str, Any]:
    return {"kind": "snapshot", "time_ms": NOW_MS, "cash": cash, "positions": positions}


class World:
    """A deployment of paper trading, priced by one source."""

    def __init__(self) -> None:
        sources = lambda name: (PriceSource(f"venue:{name}".encode(), 5_000),)  # noqa: E731
        self.engine = Engine({"game": EngineDeployment(PAPER, None, sources)})
        self.offset = 0

    def say(self, *records: object, key: bytes = KEY) -> None:
        for record in records:
            self.engine.account_record(key, Own((self.offset, -1), json.dumps(record).encode()), NOW_MS)
            self.offset += 1
        self.engine.fold("paper")

    def tick(self, market: str, price: str, offset: int) -> None:
        self.engine.tick(MarkTick("venue", market, NOW_MS, NOW_MS, price, None, None, None), offset)

    def value(self) -> dict[str, Any]:
        self.engine.value(NOW_MS)
        return self.body(VALUATIONS, KEY)

    def body(self, table: str, key: bytes) -> dict[str, Any]:
        row = self.engine.tables.read(table, key)
        assert row is not None
        return decode_row(row).body


def test_positions_are_valued_at_the_marks_of_the_markets_that_they_name() -> None:
    world = World()
    world.say(cash("1000"), opened("BTCUSDT", "-0.5", "60000"), opened("ETHUSDT", "2", "3000"))
    assert ("unpriced", None, 2) == tuple(world.value()[name] for name in ("status", "upnl", "unpriced"))
    world.tick("BTCUSDT", "59000", 0)
    world.tick("ETHUSDT", "2900.5", 1)
    body = world.value()

    assert ("valued", parse_e18("301")) == (body["status"], int(body["upnl"]))
    assert (parse_e18("35301"), parse_e18("1301")) == (int(body["notional"]), int(body["equity"]))
    # 5 % of 36,000 are kept back.
    assert (-499 * E18, True) == (int(body["available_balance"]), body["liquidatable"])
    assert [("BTCUSDT", "short"), ("ETHUSDT", "long")] == [(one["symbol"], one["side"]) for one in body["positions"]]
    assert ["liquidatable"] == world.body(ALERTS, KEY)["alarms"]
    assert str(301 * E18) == world.body(SUBTOTALS, b"unhedged:game::0")["upnl"]
    assert str(29_500 * E18) == world.body(SUBTOTALS, b"symbol:game:BTCUSDT:0")["short_notional"]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ({"kind": "cash"}, "expected a record of paper trading"),
        (opened("BTCUSDT", "0", "5"), "expected a quantity other than 0"),
        (opened("BTCUSDT", "1", "-5"), "at an entry price above 0"),
        (opened("BTCUSDT", "1e5", "5"), "expected a plain decimal number"),
    ],
)
def test_a_record_that_cannot_be_folded_makes_its_account_unknown_until_a_snapshot(bad: object, cause: str) -> None:
    world = World()
    world.say(cash("1000"), bad, cash("2000"))
    assert ("suspect", None) == (world.value()["status"], world.value()["equity"])
    assert 1 == len(world.engine.refused)
    assert cause in world.engine.refused[0]
    world.say(snapshot("5", BTCUSDT=("1", "10")))
    world.tick("BTCUSDT", "11", 0)

    assert ("valued", str(6 * E18)) == (world.value()["status"], world.value()["equity"])


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b"null",
        b'{"kind": "\xff\xfe"}',
        b'{"kind": "cash", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b', "time_ms": 1, "amount": "1"}',
        b'{"kind": "cash", "time_ms": 1000000000000000000000000000000, "amount": "1"}',
        b'{"kind": "cash", "time_ms": -1, "amount": "1"}',
        b'{"kind": "cash", "time_ms": 1e400, "amount": "1"}',
        json.dumps(opened("9" * 1_000_000, "1", "1")).encode(),
        json.dumps(opened("BTC\0USDT", "1", "1")).encode(),
        json.dumps(opened("BTCUSDT", "9" * 60, "9" * 60)).encode(),
    ],
    ids=["empty", "a list", "null", "no UTF-8", "deep", "late", "early", "infinite", "long", "unprintable", "rich"],
)
def test_no_bytes_of_a_record_end_the_fold_or_touch_another_account(bad: bytes) -> None:
    world = World()
    world.say(cash("1000"))
    world.say(cash("7"), key=b"game:Bob")
    world.engine.account_record(KEY, Own((world.offset, -1), bad), NOW_MS)
    world.engine.fold("paper")

    assert "suspect" == world.value()["status"]
    assert 1 == len(world.engine.refused)
    assert ("valued", str(7 * E18)) == tuple(world.body(VALUATIONS, b"game:Bob")[name] for name in ("status", "equity"))


def test_each_record_of_a_suspect_account_that_cannot_be_read_is_refused_with_its_own_cause() -> None:
    world = World()
    world.say(cash("1000"), {"kind": "cash"}, opened("BTCUSDT", "1", "5"))
    one_refused = list(world.engine.refused)
    # Whether it would be a whole state cannot be said of it.
    world.say({"kind": "snapshot"}, snapshot("7"))

    assert [True] == ["cash" in one for one in one_refused]
    assert [False, True] == ["snapshot" in one for one in world.engine.refused]
    assert ("valued", str(7 * E18)) == (world.value()["status"], world.value()["equity"])


def test_a_fault_of_a_package_at_a_record_makes_the_account_suspect() -> None:
    class Careless(type(PAPER)):  # type: ignore[misc]
        def apply(self, state: object, value: bytes) -> object:
            del state
            return json.loads(value)["state"]

    account = Careless().fold(None, Own((0, -1), b"{}"), DeploymentWatermark())

    assert "KeyError('state')" in account.suspicion


def test_an_account_that_no_row_of_the_broker_holds_is_suspect_at_its_last_good_state() -> None:
    world = World()
    long = "\U0001f600" * 100
    world.say(snapshot("1000", **{f"{long}{number}": ("1", "1") for number in range(500)}))
    assert "unpriced" == world.value()["status"]
    assert MAX_RECORD_BYTES > len(world.engine.tables.read(VALUATIONS, KEY) or b"")
    world.say(opened("ONE", "1", "1"))
    assert "suspect" == world.value()["status"]


def test_two_positions_of_one_id_make_the_account_suspect() -> None:
    class Twice(type(PAPER)):  # type: ignore[misc]
        def holds(self, state: Any) -> Holds:  # noqa: ANN401
            holds: Holds = super().holds(state)
            return holds._replace(positions=[*holds.positions, *holds.positions])

    venue = Twice()
    record = Own((0, -1), json.dumps(snapshot("5", BTCUSDT=("1", "10"))).encode())
    assert "expected positions of different ids" in venue.fold(None, record, DeploymentWatermark()).suspicion
    none_twice = Own((0, -1), json.dumps(snapshot("5")).encode())
    assert venue.fold(None, none_twice, DeploymentWatermark()).suspicion is None


@pytest.mark.parametrize(
    "said",
    [
        {"balance_e18": 1.5},
        {"balance_e18": True},
        {"maintenance_e18": 0.0},
        {"time_ms": 1.0},
        {"time_ms": True},
        {"positions": [Position("a", "a", 1.5, 1)]},  # type: ignore[arg-type]
        {"positions": [Position("a", "a", 1, entry_e18=True)]},
    ],
)
def test_an_amount_that_is_no_whole_number_makes_the_account_suspect_when_its_record_is_folded(
    said: dict[str, Any],
) -> None:
    class Careless(Paper):
        def holds(self, state: Any) -> Holds:  # noqa: ANN401
            return super().holds(state)._replace(**said)

    account = Careless().fold(None, Own((0, -1), json.dumps(cash("5")).encode()), DeploymentWatermark())

    assert account.suspicion is not None
    assert "as whole numbers, found" in account.suspicion


def test_a_package_finds_what_it_returns_where_the_guide_says() -> None:
    for name in ("Booked", "Booking", "Move", "TellsBookings", "TellsMoves", "distance_bps"):
        assert name in tidemark.venue.__all__


@pytest.mark.parametrize("said", [str(2**70), "[" * 300 + "]" * 300, f'"{"x" * 250_000}"'])
@pytest.mark.parametrize("where", ["shows", "happened"])
def test_what_a_package_shows_or_tells_and_no_row_can_hold_makes_the_account_suspect(where: str, said: str) -> None:
    class PassingOn(type(PAPER)):  # type: ignore[misc]
        def shows(self, state: object) -> dict[str, Any] | None:
            del state
            return {"note": json.loads(said)} if where == "shows" else None

        def happened(self, before: object, value: bytes, after: object) -> list[dict[str, Any]]:
            del before, value, after
            return [{"note": json.loads(said)}] if where == "happened" else []

    account = PassingOn().fold(None, Own((0, -1), json.dumps(cash("7")).encode()), DeploymentWatermark())

    assert account.suspicion is not None
    assert account.state is None


@pytest.mark.parametrize("cash_text", ["9" * 60, "-" + "9" * 60])
def test_a_distance_that_no_number_of_a_body_holds_is_shown_as_the_farthest(cash_text: str) -> None:
    world = World()
    world.tick("BTCUSDT", "1", 0)
    world.say(snapshot(cash_text, BTCUSDT=("0.000000000000000001", "1")))
    body = world.value()

    assert ("valued", NUMBER_MAX) == (body["status"], abs(body["distance_bps"]))


def test_a_position_that_turns_from_long_to_short_at_the_same_size_turns_in_the_totals() -> None:
    world = World()
    world.tick("BTCUSDT", "100", 0)
    world.say(snapshot("1000", BTCUSDT=("2", "90")))
    world.value()
    world.say(opened("BTCUSDT", "-2", "100"))
    world.value()
    total = world.body(SUBTOTALS, b"symbol:game:BTCUSDT:0")

    assert ("0", str(2 * E18)) == (total["long_quantity"], total["short_quantity"])
    assert ("0", str(200 * E18)) == (total["long_notional"], total["short_notional"])


def test_an_account_cannot_begin_with_a_position() -> None:
    world = World()
    world.say(opened("BTCUSDT", "1", "5"))

    assert "suspect" == world.value()["status"]
    assert "expected cash or a snapshot first" in world.engine.refused[0]


_records = st.lists(
    st.one_of(
        st.integers(0, 99).map(lambda amount: cash(str(amount))),
        st.builds(opened, st.sampled_from(("BTCUSDT", "ETHUSDT")), st.sampled_from(("-1", "0.5", "x")), st.just("100")),
        st.integers(0, 99).map(lambda amount: snapshot(str(amount), ETHUSDT=("2", "50"))),
    ),
    max_size=12,
)


@given(_records, st.data())
def test_records_that_are_delivered_again_change_nothing(records: list[dict[str, Any]], data: st.DataObject) -> None:
    once, again = World(), World()
    for world in (once, again):
        world.tick("BTCUSDT", "99", 0)
    once.say(*records)
    at = 0
    while at < len(records):
        until = data.draw(st.integers(at + 1, len(records)))
        again.offset = data.draw(st.integers(0, at))
        again.say(*records[again.offset : until])
        again.value() if until == len(records) else None
        at = until
    if records:
        once.value()

    assert dict(once.engine.tables.items(ACCOUNTS)) == dict(again.engine.tables.items(ACCOUNTS))
    assert dict(once.engine.tables.items(VALUATIONS)) == dict(again.engine.tables.items(VALUATIONS))


def test_a_row_of_another_venue_or_schema_is_refused_and_what_it_says_is_left_alone() -> None:
    world = World()
    world.say(cash("1000"))
    row = world.body(ACCOUNTS, KEY)
    for body in ({**row, "schema": 2}, {**row, "venue": "other"}, {"block": 1}, {**row, "state": 5}):
        with pytest.raises(BadRow, match=r"expected (schema 1 of paper|a row of a paper account)"):
            PAPER.read(encode_row(0, 1, body))
    broken = World()
    broken.engine.tables._rows[ACCOUNTS][KEY] = encode_row(0, 1, {**row, "schema": 2})
    restarted = Engine({"game": EngineDeployment(PAPER, None)}, broken.engine.tables)
    restarted.account_record(KEY, Own((5, -1), b"{}"), NOW_MS)
    restarted.fold("paper")

    cause = "expected schema 1 of paper, found 2 of paper"
    assert [(ACCOUNTS, KEY)] == list(restarted.tables.unreadable)
    assert [cause] == restarted.refused
    kept = {"missed": {"first": [5, -1], "last": [5, -1], "cause": cause}, "row": {**row, "schema": 2}}
    assert encode_row(0, 2, kept) == restarted.tables.read(ACCOUNTS, KEY)


def test_while_its_venue_is_not_installed_its_sums_and_figures_stay_and_go_on_when_it_is_back() -> None:
    before = played(NOW_MS)
    rows = {key: row for table in (SUBTOTALS, VALUATIONS) for key, row in before.tables.items(table)}
    assert b"unhedged:game::0" in rows

    gone = paper_engine(before.tables, is_installed=False)
    gone.value(NOW_MS + 1)
    assert rows == {key: row for table in (SUBTOTALS, VALUATIONS) for key, row in gone.tables.items(table)}

    back = paper_engine(gone.tables)
    back.tick(MarkTick("venue", "BTCUSDT", NOW_MS + 2, NOW_MS + 2, "56000", None, None, None), 1)
    back.value(NOW_MS + 2)
    row = back.tables.read(SUBTOTALS, b"unhedged:game::0")
    assert row is not None
    assert (1, str(2_000 * E18)) == tuple(decode_row(row).body[name] for name in ("positions", "upnl"))


class ValuesItself(Paper):
    """A plain venue that values its accounts by other rules than core's, as an inverse one does."""

    def value(self, held: PlainAccount[Any], term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        return super().value(held, term, inputs, unsupported=unsupported)


class LinearItself(ValuesItself):
    is_linear = True


@pytest.mark.parametrize(("venue", "is_known"), [(Paper(), True), (ValuesItself(), False), (LinearItself(), True)])
def test_a_liquidation_price_is_worked_out_only_of_a_venue_that_is_known_to_be_linear(
    venue: Paper,
    is_known: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    world = World()
    world.say(cash("100"), opened("BTCUSDT", "2", "100"))
    world.tick("BTCUSDT", "110", 0)
    body = world.value()
    guarded = GuardedVenue(venue, lambda *_: None)
    (position,) = AccountViews(lambda _: guarded).account(KEY.decode(), body)["positions"].values()

    assert is_known is ("liquidation_price" in position)
    said = {**body, "positions": [{**one, "liquidation_price": str(50 * E18)} for one in body["positions"]]}
    (position,) = AccountViews(lambda _: guarded).account(KEY.decode(), said)["positions"].values()
    assert "50" == position["liquidation_price"]


def test_of_a_venue_that_is_not_installed_no_liquidation_price_is_worked_out() -> None:
    world = World()
    world.say(cash("100"), opened("BTCUSDT", "2", "100"))
    world.tick("BTCUSDT", "110", 0)
    (position,) = AccountViews(lambda _: None).account(KEY.decode(), world.value())["positions"].values()

    assert "liquidation_price" not in position


def test_an_account_whose_first_record_cannot_be_read_is_as_of_no_instant() -> None:
    world = World()
    world.say("nonsense")
    body = world.value()
    view = AccountViews(lambda _: PAPER).account(KEY.decode(), body)

    assert "suspect" == view["status"]
    assert not {"as_of", "as_of_ns"} & view.keys()
    validate_rest("/v1/accounts/x", 200, view)
