"""However it came about that an account is not known, sums of its deployment are unknown, and known again with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from models.engine.tables import ACCOUNTS, SUBTOTALS
from models.money import E18
from tests.support.faulty_package import KEY, OTHER, WHOLE, World, opened, paid

if TYPE_CHECKING:
    from collections.abc import Callable

UNHEDGED_KEY = b"unhedged:coins::0"


def its_venue_cannot_value_it(world: World) -> None:
    world.faulty.break_by = lambda hook: _raising if hook == "value" else None
    world.say(paid("1"))


def its_venue_cannot_say_its_exposure(world: World) -> None:
    world.faulty.break_by = lambda hook: _raising if hook == "exposure" else None
    world.restart()


def its_row_cannot_be_read(world: World) -> None:
    row = world.engine.tables.read(ACCOUNTS, KEY) or b""
    world.engine.tables._rows[ACCOUNTS][KEY] = row[:16] + b"{}"
    world.restart()


def its_first_record_cannot_be_read(world: World) -> None:
    world.say({"kind": "nonsense"}, key=OTHER)


def one_of_its_records_cannot_be_read(world: World) -> None:
    world.say({"kind": "nonsense"})


def _raising(*_: object, **__: object) -> object:
    msg = "no"
    raise AssertionError(msg)


def sums(world: World) -> dict[str, Any]:
    world.value()
    return {
        name: value
        for name, value in world.body(UNHEDGED_KEY, SUBTOTALS).items()
        if name not in {"made_from", "as_of_ms"}
    }


@pytest.mark.parametrize(
    ("happens", "positions", "unpriced", "unknown"),
    [
        (its_venue_cannot_value_it, 0, 0, 1),
        (its_venue_cannot_say_its_exposure, 0, 0, 1),
        (its_row_cannot_be_read, 0, 0, 1),
        (its_first_record_cannot_be_read, 1, 0, 1),
        (one_of_its_records_cannot_be_read, 1, 1, None),
    ],
)
def test_an_account_that_is_not_known_makes_the_sums_of_its_deployment_unknown(
    happens: Callable[[World], None], positions: int, unpriced: int, unknown: int | None
) -> None:
    world = World()
    world.say(paid("2"), opened("500"))
    world.tick("BTCUSD", "100")
    assert (1, str(5 * E18)) == tuple(sums(world)[name] for name in ("positions", "upnl"))
    happens(world)

    counted = {} if unknown is None else {"unknown_accounts": unknown}
    assert {"positions": positions, "unpriced": unpriced, "upnl": None, "notional": None, **counted} == sums(world)


def test_sums_are_known_again_when_the_last_account_is() -> None:
    world = World()
    world.say(paid("2"), opened("500"))
    world.say(paid("2"), opened("500"), key=OTHER)
    world.tick("BTCUSD", "100")
    before = sums(world)
    its_venue_cannot_value_it(world)
    world.say(paid("1"), key=OTHER)
    assert 2 == sums(world)["unknown_accounts"]

    world.faulty.break_by = lambda _hook: None
    world.say(WHOLE)
    assert (1, None) == tuple(sums(world)[name] for name in ("unknown_accounts", "upnl"))
    world.say(WHOLE, key=OTHER)
    assert before == sums(world)
