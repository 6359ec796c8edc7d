"""Whatever the package of a venue raises or gives, only its own accounts are unknown, and until it is mended alone."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from tidemark_options import PACKAGE

from models.account_events import Supported
from models.book_figures import Exposure
from models.bookings import OPEN
from models.codec import decode_row
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS, STATEMENTS, VALUATIONS
from models.errors import BadRecord, BadRow
from models.guarded_venue import GuardedVenue
from models.money import E18
from models.views import AccountViews
from tests.support.faulty_package import (
    HOOKS,
    KEY,
    NOW_MS,
    OTHER,
    Faulty,
    World,
    gives,
    heal,
    opened,
    paid,
    play,
    raises,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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


FAULTS: dict[str, Callable[..., Any]] = {
    "raises its own": raises(OwnFault("no")),
    "raises an assertion": raises(AssertionError("no")),
    "raises what stops a loop": raises(StopIteration("no")),
    "leaves the process": raises(SystemExit(3)),
    "raises what ends a task": raises(CancelledError("no")),
    "panics in a language below": raises(Panic("no")),
    "gives None": gives(None),
    "gives a text": gives("nonsense"),
    "gives a number": gives(7),
    "gives a list": gives([{1: object()}]),
    "gives NaN": gives(Exposure({("coins", "BTCUSD"): NAN}, NAN, NAN)),
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
    world.faulty.break_by = lambda asked: raises(OwnFault("no")) if asked == hook else None
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


@pytest.mark.parametrize("hook", ["statement", "events", "bookings"])
def test_a_record_that_was_folded_is_missed_where_what_it_did_cannot_be_said_whatever_is_raised(hook: str) -> None:
    faulty: Any = Faulty()
    if hook == "bookings":
        faulty.booking_names, faulty.bookings = (OPEN,), raises(BadRecord("no"))
    world = World(faulty)
    world.faulty.break_by = lambda asked: raises(BadRecord("no")) if asked == hook else None
    world.say(paid("1"))
    world.value()

    assert ("suspect", ["no"]) == (world.body()["status"], world.engine.refused)


def test_what_its_own_fold_calls_no_record_changes_nothing() -> None:
    world = World()
    world.say(paid("2"))
    world.faulty.break_by = lambda asked: raises(BadRecord("no")) if asked == "fold" else None
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
    world.faulty.break_by = lambda asked: raises(error()) if asked == hook else None

    def work() -> None:
        world.say(paid("1"))
        world.value()

    with pytest.raises(error):
        work()
    assert [] == world.faults


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
    world.faulty.break_by = lambda asked: raises(error) if asked == hook else None
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
    faulty.break_by = lambda asked: raises(BadRow("no sense in it")) if asked == hook else None
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
    world.faulty.break_by = lambda hook: gives(shown) if hook == "view" else None
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
