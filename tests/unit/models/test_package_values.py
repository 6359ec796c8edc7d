"""What core cannot use of what a package gives makes its account suspect, and what only looks strange is taken."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from models.account_events import Final, Progress, Unsupported
from models.book_figures import Exposure, Shown
from models.bookings import OPEN, Booked, Booking, Unbooked
from models.codec import decode_row
from models.engine.tables import ACCOUNTS, SUBTOTALS
from models.money import E18
from models.venue import Settled, Valued
from tests.support.faulty_package import KEY, NOW_MS, Faulty, World, altered, gives, heal, opened, paid, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAN = float("nan")


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
    faulty.booking_names, faulty.bookings = (OPEN,), gives(booked)
    world = World(faulty)
    world.say(paid("1"))
    world.value()

    assert "suspect" == world.body()["status"]
    assert ["fold"] == [hook for hook, _ in world.faults]


def having(**columns: object) -> Callable[[Valued], Valued]:
    return lambda valued: Valued({**valued.body, **columns}, valued.shown)


def of_each_position(**columns: object) -> Callable[[Valued], Valued]:
    return lambda valued: Valued(
        {**valued.body, "positions": [{**one, **columns} for one in valued.body["positions"]]}, valued.shown
    )


def showing(shown_of: Callable[[Shown], Any]) -> Callable[[Valued], Valued]:
    return lambda valued: valued._replace(shown=None if valued.shown is None else shown_of(valued.shown))


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
        altered(world, "decode", gives(said))
        assert not isinstance(world.venue.decode(b"{}", (7, -1)), Progress)
    altered(world, "decode", gives(sound))
    assert sound == world.venue.decode(b"{}", (7, -1))


@pytest.mark.parametrize("number", [NAN, float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_told_of_no_account(number: float) -> None:
    world = World()
    world.say(paid("1"))
    events: list[dict[str, Any]] = [{"kind": "paid", "at": {"rate": [None, number]}}]
    altered(world, "events", gives(events))
    world.say(paid("1"))
    world.value()
    assert "suspect" == world.body()["status"]
    assert "expected an event with finite numbers" in world.engine.refused[0]

    altered(world, "view", gives({"rate": number}))
    with pytest.raises(ValueError, match="expected a view with finite numbers"):
        world.venue.view({**world.body(), "status": "valued"})


def test_what_is_not_known_may_be_null_in_what_a_package_tells() -> None:
    world = World()
    altered(world, "events", gives([{"kind": "paid", "note": None, "rate": 0.5}]))
    world.say(paid("1"))

    assert [] == world.faults
