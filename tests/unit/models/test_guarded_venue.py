"""Whatever the package of a venue raises or gives, only its own accounts are unknown, and until it is mended alone."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tidemark_options import PACKAGE

from models.account_events import Final, Progress, Supported, Unsupported
from models.book_figures import Exposure, Shown
from models.bookings import OPEN, Booked, Booking, Unbooked
from models.codec import decode_row
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, STATEMENTS, SUBTOTALS, VALUATIONS
from models.errors import BadRecord, BadRow
from models.guarded_venue import GuardedVenue
from models.money import E18
from models.venue import Settled, Valued
from models.views import AccountViews
from tests.support.faulty_package import HOOKS, KEY, NOW_MS, OTHER, Faulty, World, heal, opened, paid, play, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAN = float("nan")
# What its accounts are where a hook fails: they do not exist where the venue cannot even say that one is suspect.
SUSPECTS, NONE = ("suspect", "suspect"), ("absent", "absent")
EXPECTED = {
    "decode": SUSPECTS, "fold": SUSPECTS, "read": NONE, "read_held": NONE, "write": NONE, "held": NONE,
    "statement": SUSPECTS, "events": SUSPECTS, "exposure": SUSPECTS, "valuer": SUSPECTS, "value": SUSPECTS,
}  # fmt: skip


class OwnFault(Exception):
    """What a package may raise: nothing that core knows."""


class Panic(BaseException):
    """What modules in Rust raise where these panic, derived from ``BaseException`` so that nobody catches it."""


def _raises(error: BaseException) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> object:
        raise error

    return raising


def _gives(given: object) -> Callable[..., Any]:
    return lambda *_, **__: given


FAULTS: dict[str, Callable[..., Any]] = {
    "raises its own": _raises(OwnFault("no")),
    "raises an assertion": _raises(AssertionError("no")),
    "raises what stops a loop": _raises(StopIteration("no")),
    "leaves the process": _raises(SystemExit(3)),
    "raises what ends a task": _raises(CancelledError("no")),
    "panics in a language below": _raises(Panic("no")),
    "gives None": _gives(None),
    "gives a text": _gives("nonsense"),
    "gives a number": _gives(7),
    "gives a list": _gives([{1: object()}]),
    "gives NaN": _gives(Exposure({("coins", "BTCUSD"): NAN}, NAN, NAN)),
}
# These are answers that these hooks may give.
SOUND = {("statement", "gives None"), ("account_id", "gives None"), ("account_id", "gives a text")}


def alone() -> list[tuple[str, bytes, bytes]]:
    world = World()
    world.say = lambda *_, **__: None  # type: ignore[method-assign]
    play(world)
    world.tick("BTCUSD", "100")
    world.value()
    return world.of_symmio()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("hook", HOOKS)
def test_of_a_hook_that_fails_symmio_knows_nothing_and_its_accounts_are_known_again_when_it_is_mended(
    hook: str, fault: str
) -> None:
    world = World()
    world.faulty.break_by = lambda asked: FAULTS[fault] if asked == hook else None
    play(world)
    if hook in EXPECTED and (hook, fault) not in SOUND:
        assert world.faults
        assert EXPECTED[hook] == (world.status(KEY), world.status(OTHER))
    heal(world)

    assert alone() == world.of_symmio()
    assert ("valued", str(5 * E18), str(8 * E18)) == tuple(world.body()[name] for name in ("status", "upnl", "equity"))
    assert {"main": "3"} == world.body(table=STATEMENTS)["statement"]["wallets"]


@pytest.mark.parametrize("seed", range(40))
def test_though_any_hook_fails_at_any_time_symmio_s_rows_are_the_same_and_nothing_loops(seed: int) -> None:
    world, random = World(), Random(seed)
    faults = list(FAULTS.values())
    world.faulty.break_by = lambda _hook: random.choice(faults) if random.random() < 0.2 else None
    play(world)
    heal(world)

    assert alone() == world.of_symmio()
    assert ("valued", str(5 * E18)) == (world.body()["status"], world.body()["upnl"])


@pytest.mark.parametrize("hook", ["account_id", "reference", "view"])
def test_what_an_api_replica_asks_of_it_has_the_error_that_is_documented(hook: str) -> None:
    world = World()
    world.say(paid("2"), opened("500"))
    world.tick("BTCUSD", "100")
    world.value()
    world.faulty.break_by = lambda asked: _raises(OwnFault("no")) if asked == hook else None
    if hook == "account_id":
        assert world.venue.account_id("x") is None
    elif hook == "reference":
        with pytest.raises(BadRecord, match="no"):
            world.venue.reference("tiers", b"1")
    else:
        with pytest.raises(ValueError, match="no"):
            world.venue.view(world.body())
    assert [hook] == [failed for failed, _ in world.faults]


def test_an_account_that_its_venue_cannot_value_is_shown_as_suspect() -> None:
    world = World()
    world.say(paid("2"))
    world.faulty.break_by = lambda hook: FAULTS["raises its own"] if hook == "value" else None
    world.say(paid("2"))
    world.value()

    view = AccountViews(lambda _deployment: world.venue).account(KEY.decode(), world.body())
    assert ("suspect", {}) == (view["status"], view["positions"])
    assert "upnl" not in view


def test_a_state_that_no_record_can_hold_makes_its_account_suspect() -> None:
    world = World()
    world.say(paid("1"))
    world.say(*({"kind": "order", "time_ms": NOW_MS, "id": f"{one}" * 60_000, "margin": "1"} for one in range(5)))
    world.value()

    assert "suspect" == world.body()["status"]
    assert "expected a state of at most 250000 bytes" in world.engine.refused[0]


@pytest.mark.parametrize(
    "booked",
    [
        Booked((0, -1), -1, 10**18, (Booking(OPEN, "trade"),)),
        Booked((0, -1), 2**64, NOW_MS, (Booking(OPEN, "trade"),)),
        Booked((0, -1), -1, NOW_MS, (Booking(OPEN, "trade", quantity="1.5"),)),
        Booked((0, -1), -1, NOW_MS, (Booking(OPEN, "trade", quantity="1" * 341),)),
        Booked((1, -1), -1, NOW_MS, (Booking(OPEN, "trade"),)),
        Booked((0, -1), -1, NOW_MS, (Booking("fee", "trade"),)),
        Unbooked((0, -1), 0),
        "nothing",
    ],
)
def test_bookings_that_nobody_could_read_make_the_account_suspect(booked: object) -> None:
    faulty: Any = Faulty()
    faulty.booking_names, faulty.bookings = (OPEN,), _gives(booked)
    world = World(faulty)
    world.say(paid("1"))
    world.value()

    assert "suspect" == world.body()["status"]
    assert ["fold"] == [hook for hook, _ in world.faults]


@pytest.mark.parametrize("hook", ["statement", "events", "bookings"])
def test_a_record_that_was_folded_is_missed_where_what_it_did_cannot_be_said_whatever_is_raised(hook: str) -> None:
    faulty: Any = Faulty()
    if hook == "bookings":
        faulty.booking_names, faulty.bookings = (OPEN,), _raises(BadRecord("no"))
    world = World(faulty)
    world.faulty.break_by = lambda asked: _raises(BadRecord("no")) if asked == hook else None
    world.say(paid("1"))
    world.value()

    assert ("suspect", ["no"]) == (world.body()["status"], world.engine.refused)


def test_what_its_own_fold_calls_no_record_changes_nothing() -> None:
    world = World()
    world.say(paid("2"))
    world.faulty.break_by = lambda asked: _raises(BadRecord("no")) if asked == "fold" else None
    world.say(paid("3"))
    world.value()

    assert ("valued", ["no"], []) == (world.body()["status"], world.engine.refused, world.faults)


def test_a_venue_that_routes_its_records_is_no_package_s() -> None:
    routed: Any = Faulty()
    routed.routed = PACKAGE.venue.raw
    with pytest.raises(ValueError, match="expected a venue whose routed and told are None"):
        GuardedVenue(routed, lambda *_: None)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("hook", ["decode", "fold", "value"])
def test_that_memory_is_full_or_somebody_interrupts_is_no_fault_of_the_package(
    hook: str, error: type[BaseException]
) -> None:
    world = World()
    world.faulty.break_by = lambda asked: _raises(error()) if asked == hook else None

    def work() -> None:
        world.say(paid("1"))
        world.value()

    with pytest.raises(error):
        work()
    assert [] == world.faults


def having(**columns: object) -> Callable[[Valued], Valued]:
    return lambda valued: Valued({**valued.body, **columns}, valued.shown)


def of_each_position(**columns: object) -> Callable[[Valued], Valued]:
    return lambda valued: Valued(
        {**valued.body, "positions": [{**one, **columns} for one in valued.body["positions"]]}, valued.shown
    )


def showing(shown_of: Callable[[Shown], Any]) -> Callable[[Valued], Valued]:
    return lambda valued: valued._replace(shown=None if valued.shown is None else shown_of(valued.shown))


def altered(world: World, hook: str, change: Callable[[Any], Any]) -> None:
    """Have a hook give what a change makes of its answer."""
    own = getattr(PACKAGE.venue, hook)
    world.faulty.break_by = lambda asked: (
        (lambda *arguments, **named: change(own(*arguments, **named))) if asked == hook else None
    )


_FIGURES = ("upnl", "notional", "equity", "available_balance", "liquidatable", "distance_bps")
# Each is of a type that JSON has, or nearly right, and ended the worker somewhere behind the venue.
UNUSABLE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "hedgers that are none": ("value", having(liquidatable_hedgers=5)),
    "hedgers that are numbers": ("value", having(liquidatable_hedgers=[5])),
    "a counterparty that is a list": ("value", of_each_position(party_b=["x"])),
    "a counterparty that is a number": ("value", of_each_position(party_b=7)),
    "a notional without uPnL": ("value", of_each_position(upnl=None)),
    "a number of 5,000 digits": ("value", of_each_position(upnl="9" * 5_000)),
    "a mark of 0": ("value", of_each_position(mark="0")),
    "fewer stale positions than none": ("value", having(stale=-1)),
    "fewer positions without a mark than none": ("value", having(unpriced=-1)),
    "more positions without a mark than can be counted": ("value", having(unpriced=2**63)),
    "a position of nothing": ("value", of_each_position(quantity="0")),
    "an entry price below 0": ("value", of_each_position(opened_price="-5")),
    "a liquidation price below 0": ("value", of_each_position(liquidation_price="-5")),
    "a row that the broker does not take": ("value", having(note="x" * 1_000_000)),
    "a column of core's own": ("value", having(made_from={})),
    "positions priced of an account that is suspect": (
        "value",
        lambda valued: Valued({**valued.body, **dict.fromkeys(_FIGURES), "status": "suspect"}, None),
    ),
    "a column that is no number": ("value", having(note=[{"rate": NAN}])),
    "a column of positions that is no number": ("value", of_each_position(rate=float("inf"))),
    "conversions in a list": ("value", having(conversions=[{"market": "EUR/USD", "mark": "1"}])),
    "a conversion without its mark": ("value", having(conversions={"EUR/USD": {"mark": "1"}})),
    "figures of three numbers": ("value", showing(lambda shown: (*shown, 1.0))),
    "a market of three parts": ("exposure", lambda _: Exposure({("coins", "BTCUSD", 1): 1.0}, 0.0, 0.0)),  # type: ignore[dict-item]
    "a slack below 0": ("exposure", lambda exposure: exposure._replace(slack=-1.0)),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_core_cannot_use_of_a_value_makes_the_account_suspect_and_ends_nothing(what: str) -> None:
    world = World()
    altered(world, *UNUSABLE[what])
    play(world)

    assert "suspect" == world.status(KEY)
    assert world.faults
    heal(world)
    assert ("valued", str(5 * E18)) == (world.body()["status"], world.body()["upnl"])


def test_an_account_is_not_written_whose_body_would_leave_its_row_without_an_order() -> None:
    world = World()
    altered(world, "write", lambda body: b" " + body)
    play(world)

    assert "absent" == world.status(KEY)
    assert any("expected write to give a JSON object" in said for _, said in world.faults)
    heal(world)
    assert "valued" == world.status(KEY)


def _in_decimals(exposure: Exposure) -> Any:  # noqa: ANN401 - as a package may
    signed: Mapping[Any, Any] = {market: Decimal(amount) for market, amount in exposure.signed.items()}
    return exposure._replace(signed=signed, cost=Decimal(exposure.cost), margin=Decimal(exposure.margin))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hook", "change"),
    [
        ("exposure", _in_decimals),
        ("value", showing(tuple)),
        ("value", showing(lambda shown: Shown(*map(Decimal, shown)))),  # type: ignore[arg-type]
    ],
)
def test_numbers_of_another_type_are_taken_as_floats(hook: str, change: Callable[[Any], Any]) -> None:
    world = World()
    altered(world, hook, change)
    play(world)

    assert "valued" == world.status(KEY)
    assert not world.faults


def test_positions_that_a_package_changes_in_place_are_counted_as_what_they_became() -> None:
    world = World()
    kept: dict[str, dict[str, Any]] = {}

    def in_place(valued: Valued) -> Valued:
        for one in valued.body["positions"]:
            kept.setdefault(one["quote"], one).update(one)
        return Valued(
            {**valued.body, "positions": [kept[one["quote"]] for one in valued.body["positions"]]}, valued.shown
        )

    altered(world, "value", in_place)
    world.say(paid("2"), opened("500"))
    for price in ("90", "100", "110"):
        world.tick("BTCUSD", price)
        world.value()

    (row,) = (row for key, row in world.engine.tables.items(SUBTOTALS) if key.startswith(b"unhedged:coins:"))
    assert world.body()["upnl"] == decode_row(row).body["upnl"]


def test_history_that_a_package_makes_as_it_is_asked_for_is_kept_whole() -> None:
    world = World()
    world.say(paid("2"))
    account = world.venue.read(world.engine.tables.read(ACCOUNTS, KEY))
    world.faulty.break_by = lambda hook: (
        (lambda _key, before, *_: Settled(before, (one for one in [(b"a", {"b": 1})]))) if hook == "settle" else None  # type: ignore[arg-type]
    )

    assert [(b"a", {"b": 1})] == list(world.venue.settle(KEY, account, 5, (9, -1)).history)


def test_what_a_package_says_of_a_deployment_is_refused_where_no_worker_could_read_it_again() -> None:
    world = World()
    sound = Unsupported((7, -1), 5, "a fork")
    for said in (Final((7, -1), "5", 0, 0), Unsupported((7, -1), 5, None)):  # type: ignore[arg-type]
        altered(world, "decode", _gives(said))
        assert not isinstance(world.venue.decode(b"{}", (7, -1)), Progress)
    altered(world, "decode", _gives(sound))
    assert sound == world.venue.decode(b"{}", (7, -1))


def test_what_was_answered_when_an_account_was_folded_is_what_is_written_however_many_wait() -> None:
    world, asked = World(), Counter[str]()
    keys = [KEY + f"{number}".encode() for number in range(50)]

    def second(hook: str) -> Callable[..., Any] | None:
        asked[hook] += 1
        return FAULTS["raises its own"] if hook in {"write", "held", "statement"} and asked[hook] > len(keys) else None

    world.faulty.break_by = second
    for at, key in enumerate(keys):
        world.engine.account_record(key, world.venue.decode(json.dumps(paid("1")).encode(), (at, -1)), NOW_MS)
    world.engine.fold("inverse")
    world.value()

    assert [] == world.faults
    assert {"valued"} == {world.status(key) for key in keys}


class Speechless(Exception):
    """An exception of which nothing can be said."""

    def __repr__(self) -> str:
        raise Speechless

    __str__ = __repr__


class SpeechlessRecord(BadRecord):
    """The same of a record."""

    def __str__(self) -> str:
        raise Speechless


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", [Speechless(), SpeechlessRecord()])
def test_a_fault_of_which_nothing_can_be_said_is_one_as_all_are(hook: str, error: Exception) -> None:
    world = World()
    world.faulty.break_by = lambda asked: _raises(error) if asked == hook else None
    noted: list[str] = []
    world.venue._on_fault = lambda _kind, hook, _error: noted.append(hook)
    play(world)
    heal(world)

    assert alone() == world.of_symmio()
    assert "valued" == world.status(KEY)


def test_an_account_whose_exposure_could_not_be_said_is_asked_for_it_again_when_a_mark_moves() -> None:
    world = World()
    world.faulty.break_by = lambda hook: FAULTS["raises its own"] if hook == "exposure" else None
    world.say(paid("2"), opened("500"))
    world.tick("BTCUSD", "90")
    world.value()
    assert "suspect" == world.status(KEY)
    world.faulty.break_by = lambda _hook: None
    world.tick("BTCUSD", "100")
    world.value()
    world.value()

    assert ("valued", str(5 * E18)) == (world.body()["status"], world.body()["upnl"])


@pytest.mark.parametrize("hook", ["exposure", "value", "read_held"])
def test_what_a_venue_that_is_built_in_cannot_value_is_noted_with_its_cause(hook: str) -> None:
    faulty = Faulty()
    engine = Engine({"coins": EngineDeployment(faulty, None, sources)})
    engine.account_record(KEY, faulty.decode(json.dumps(paid("2")).encode(), (0, -1)), NOW_MS)
    engine.fold("inverse")
    faulty.break_by = lambda asked: _raises(BadRow("no sense in it")) if asked == hook else None
    engine = Engine({"coins": EngineDeployment(faulty, None, sources)}, engine.tables)
    engine.value(NOW_MS)

    assert {(ACCOUNTS, KEY): "no sense in it"} == engine.tables.unreadable
    assert "suspect" == decode_row(engine.tables.read(VALUATIONS, KEY) or b"").body["status"]


@pytest.mark.parametrize("hook", ["exposure", "valuer", "value"])
def test_a_fault_of_a_package_in_valuing_says_nothing_against_the_account_s_row(hook: str) -> None:
    """The fault is counted as one of the package; the row was read."""
    world = World()
    world.faulty.break_by = lambda asked: FAULTS["raises its own"] if asked == hook else None
    play(world)

    assert ("suspect", {}) == (world.status(KEY), world.engine.tables.unreadable)
    assert hook in {asked for asked, _ in world.faults}


def test_a_row_that_a_package_cannot_read_is_noted_as_one() -> None:
    world = World()
    world.say(paid("2"), opened("500"))
    world.faulty.break_by = lambda asked: FAULTS["raises its own"] if asked == "read_held" else None
    world.restart()
    world.value()

    assert [(ACCOUNTS, KEY)] == list(world.engine.tables.unreadable)


def test_what_a_package_shows_of_an_account_stays_as_it_was_shown() -> None:
    world = World()
    shown: dict[str, Any] = {"rank": 1}
    world.faulty.break_by = lambda hook: _gives(shown) if hook == "view" else None
    first = world.venue.view({})
    shown["rank"] = 2

    assert ({"rank": 1}, {"rank": 2}) == (first, world.venue.view({}))


def test_what_is_said_of_a_deployment_changes_every_account_that_its_venue_can_change() -> None:
    world = World()
    world.say(paid("2"), paid("1"))
    world.say(paid("1"), key=OTHER)
    asked: list[str] = []

    def first(hook: str) -> Callable[..., Any] | None:
        asked.append(hook)
        return FAULTS["raises its own"] if hook == "doubt" and asked.count("doubt") == 1 else None

    world.faulty.break_by = first
    world.engine.account_record(b"coins", Supported((90, -1), 5, enumerated=True), NOW_MS)
    world.engine.fold("inverse")
    world.value()

    assert ("valued", "suspect") == (world.status(KEY), world.status(OTHER))
    assert ["account b'coins:7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2' stays as it was"] == [
        one.partition(": ")[0] for one in world.engine.refused
    ]
    assert (90, -1) == world.engine.partition.watermark("coins").applied


@pytest.mark.parametrize("number", [NAN, float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_told_of_no_account(number: float) -> None:
    world = World()
    world.say(paid("1"))
    events: list[dict[str, Any]] = [{"kind": "paid", "at": {"rate": [None, number]}}]
    altered(world, "events", _gives(events))
    world.say(paid("1"))
    world.value()
    assert "suspect" == world.body()["status"]
    assert "expected an event with finite numbers" in world.engine.refused[0]

    altered(world, "view", _gives({"rate": number}))
    with pytest.raises(ValueError, match="expected a view with finite numbers"):
        world.venue.view({**world.body(), "status": "valued"})


def test_what_is_not_known_may_be_null_in_what_a_package_tells() -> None:
    world = World()
    altered(world, "events", _gives([{"kind": "paid", "note": None, "rate": 0.5}]))
    world.say(paid("1"))

    assert [] == world.faults
