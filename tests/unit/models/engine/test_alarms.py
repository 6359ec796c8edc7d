"""Each transition of an account is made once, and waits for its acknowledgement, whoever owns the partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.alerts import all_transitions
from models.codec import decode_row
from models.engine.alarms import Alarms
from models.engine.tables import ALERTS, MemoryTables
from tests.support.feed import unpriced_body, valuation_body

if TYPE_CHECKING:
    from models.engine.step import Write

ALICE, BOB = b"main:0xa", b"main:0xb"
H1, H2 = f"0x{'b1' * 20}", f"0x{'b2' * 20}"
MADE = {"at_ms": 5, "venue": "symmio/1", "settings": "0a"}
SAFE, LOST = valuation_body(), valuation_body(liquidatable=True, available_balance="-3")


class World:
    """A partition's alerts, and whoever owns it now."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.alarms = Alarms(self.tables)

    def take_over(self) -> None:
        """Another worker goes on from the rows."""
        self.alarms = Alarms(self.tables)
        for key, row in self.tables.items(ALERTS):
            self.alarms.restore(key, row)

    def value(self, body: dict[str, Any], key: bytes = ALICE) -> Write | None:
        """Value an account; a transition that comes of it is written and acknowledged."""
        write = self.alarms.transition(key, body, MADE)
        if write is not None:
            self.tables.put(write)
            self.alarms.acknowledged(key)
        return write

    def kinds(self, key: bytes = ALICE) -> list[str]:
        """The account's transitions in the order in which they came."""
        row = self.tables.read(ALERTS, key)
        return [] if row is None else [one["kind"] for one in reversed(all_transitions(decode_row(row).body))]


def test_an_account_without_an_alarm_has_no_row() -> None:
    world = World()

    assert world.value(SAFE) is None
    assert [] == list(world.tables.keys(ALERTS))


def test_a_transition_is_one_version_of_the_row_and_is_made_once() -> None:
    world = World()
    versions = [world.value(body) for body in (LOST, LOST, SAFE, SAFE, LOST)]

    assert [1, None, 2, None, 3] == [write and write.version for write in versions]
    assert ["liquidatable", "recovered", "liquidatable"] == world.kinds()


def test_a_valuation_waits_while_its_account_s_transition_is_on_its_way_and_no_other_does() -> None:
    world = World()
    write = world.alarms.transition(ALICE, LOST, MADE)

    assert write is not None
    assert (ALERTS, ALICE) == (write.table, write.key)
    assert (True, False) == (world.alarms.is_waiting(ALICE), world.alarms.is_waiting(BOB))
    world.alarms.acknowledged(ALICE)
    assert not world.alarms.is_waiting(ALICE)


def test_hedgers_come_and_go_by_themselves_also_under_another_owner() -> None:
    world = World()
    for hedgers in ([H1], [H1, H2], [H2], []):
        world.value(valuation_body(liquidatable_hedgers=hedgers))
        world.take_over()
        assert world.value(valuation_body(liquidatable_hedgers=hedgers)) is None

    assert ["hedger_liquidatable", "hedger_liquidatable", "hedger_recovered", "hedger_recovered"] == world.kinds()


def test_hedgers_are_as_they_were_while_the_account_has_no_price() -> None:
    world = World()
    world.value(valuation_body(liquidatable_hedgers=[H1]))
    world.value(unpriced_body(last_complete=None))

    assert ["hedger_liquidatable", "unpriced"] == world.kinds()


def test_several_alarms_of_one_valuation_are_one_row() -> None:
    world = World()
    write = world.value(valuation_body(liquidatable=True, stale=1))

    assert write is not None
    assert 1 == write.version
    assert {"liquidatable", "stale"} == set(world.kinds())


def test_what_cannot_be_seen_is_as_it_was() -> None:
    world = World()
    world.value(LOST)
    world.value(unpriced_body(last_complete=None))
    world.value(LOST)

    assert ["liquidatable", "unpriced", "priced"] == world.kinds()


def test_a_worker_that_takes_over_makes_no_transition_that_is_on_record() -> None:
    world = World()
    world.value(LOST)
    world.value(LOST, BOB)
    world.value(SAFE, BOB)
    world.take_over()

    assert world.value(LOST) is None
    assert world.value(SAFE, BOB) is None
    assert (["liquidatable"], ["liquidatable", "recovered"]) == (world.kinds(), world.kinds(BOB))
    world.value(SAFE)
    assert ["liquidatable", "recovered"] == world.kinds()


def test_a_transition_that_was_lost_with_its_worker_is_made_again_under_the_same_id() -> None:
    world = World()
    lost = world.alarms.transition(ALICE, LOST, MADE)
    world.take_over()

    assert not world.alarms.is_waiting(ALICE)
    assert lost is not None
    assert lost == world.value(LOST)
