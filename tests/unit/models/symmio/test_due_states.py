"""Which position states an account has, when those that wait for the engine come to stand, and what rests on a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from models.account_events import RolledBack, Transaction
from models.codec import decode_row
from models.engine.step import RowId, Write
from models.engine.tables import POSITION_STATES, MemoryTables
from models.errors import BadRecord
from models.ids import account_key
from models.position_states import shown
from models.symmio.account import advance
from models.symmio.due_states import DueStates
from models.symmio.engine_states import encode_engine_state
from models.symmio.position_states import GAP_S, pushed_since
from models.venue import ToldAt
from tests.support.positions import KEY, engine_state, standing
from tests.support.symmio import ALICE, E18, allocate, block, fee_out, send_quote

if TYPE_CHECKING:
    from models.engine.step import Step
    from models.venue import Change

NOW_MS = 1_700_000_100_000
GAP_MS = GAP_S * 1000
TOLD = ToldAt(0, 3, NOW_MS)
OTHER = f"main:0x{'0c' * 20}".encode()


class World:
    """One partition, and a chain in which Alice sent a quote in the second of ``NOW_MS``."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.tables = MemoryTables()
        self.now_ms = NOW_MS
        self.states = DueStates({"main": mode}, self.tables)

    def take_over(self) -> None:
        """Another worker goes on from the rows."""
        self.states = DueStates({"main": self.mode}, self.tables)
        for key, row in self.tables.items(POSITION_STATES):
            self.states.restore(key, row)

    def sent(self, key: bytes = KEY) -> Write | RowId | None:
        logs = tuple(block(100, [allocate(5_000 * E18), fee_out(0), send_quote(131_388)]).logs)
        transaction = Transaction((40, 0), 100, NOW_MS // 1000, logs[0].tx, logs)
        change = self.states.of_record(key, transaction, advance(None, transaction), self.now_ms)
        return None if change is None else self.fold(key, change)

    def said(self, sent_ms: int = NOW_MS) -> Write | RowId:
        return self.fold(
            KEY,
            self.states.of_engine(KEY, engine_state(modify_time=NOW_MS // 1000), ToldAt(0, 3, sent_ms), self.now_ms),
        )

    def fold(self, key: bytes, *changes: Change) -> Write | RowId:
        found = self.states.fold(key, changes)
        if isinstance(found, Write):
            self.tables.put(found)
        return found

    def release(self) -> Step:
        step = self.states.release(self.now_ms)
        self.tables.take(step)
        return step

    def body(self, key: bytes = KEY) -> dict[str, Any]:
        row = self.tables.read(POSITION_STATES, key)
        assert row is not None
        return decode_row(row).body

    def shows(self, key: bytes = KEY) -> int:
        return len(shown(self.body(key)))


def test_without_states_of_the_chain_only_the_engine_s_are_stored() -> None:
    world = World("off")
    assert world.sent() is None
    world.said()

    assert 1 == world.shows()


def test_a_deployment_that_is_not_configured_has_no_states_of_the_chain() -> None:
    world = World("on")

    assert world.sent(b"other:0xa") is None
    with pytest.raises(BadRecord, match=r"add \[deployments.other\]"):
        world.states.read(
            account_key("other", ALICE), encode_engine_state(engine_state()), ToldAt(0, 3, NOW_MS), NOW_MS
        )


def test_a_state_of_the_chain_stands_and_is_pushed_at_once_where_all_are_told() -> None:
    world = World("on")
    world.sent()

    assert 1 == world.shows()
    assert 1 == len(pushed_since(world.body(), 0))
    assert world.states.next_due_ms is None


def test_a_state_waits_for_the_engine_and_is_pushed_when_it_has_said_nothing() -> None:
    world = World("gaps")
    world.sent()
    assert 0 == world.shows()
    assert NOW_MS + GAP_MS == world.states.next_due_ms
    world.now_ms += GAP_MS - 1
    assert () == world.release().stages
    world.now_ms += 1
    world.release()

    assert 1 == world.shows()
    assert 1 == len(pushed_since(world.body(), 1))
    assert world.states.next_due_ms is None


def test_a_worker_that_takes_over_lets_those_stand_that_waited_under_another() -> None:
    world = World("gaps")
    world.sent()
    world.take_over()
    assert NOW_MS + GAP_MS == world.states.next_due_ms
    world.now_ms += GAP_MS + 1
    world.release()

    assert 1 == world.shows()
    assert 1 == len(pushed_since(world.body(), 1))


def test_rows_without_a_state_that_waits_are_restored_as_such() -> None:
    world = World("on")
    world.sent()
    world.take_over()

    assert world.states.next_due_ms is None


def test_an_engine_that_speaks_in_time_is_all_that_is_read() -> None:
    world = World("gaps")
    world.sent()
    world.said()
    world.now_ms += GAP_MS
    (stage,) = world.release().stages

    assert ["engine"] == [state["source"] for state in world.body()["states"]]
    assert ([], [RowId(POSITION_STATES, KEY)]) == (stage.writes, stage.rests_on)


def test_what_an_engine_said_long_ago_is_not_pushed() -> None:
    world = World("gaps")
    world.said(sent_ms=NOW_MS - 61_000)

    assert 1 == world.shows()
    assert [] == pushed_since(world.body(), 0)


def test_what_the_chain_did_long_ago_neither_waits_nor_is_pushed() -> None:
    world = World("gaps")
    world.now_ms += 61_000
    world.sent()

    assert 1 == world.shows()
    assert [] == pushed_since(world.body(), 0)
    assert world.states.next_due_ms is None


def test_who_folds_it_afterwards_has_the_states_of_who_saw_it_happen_with_other_numbers() -> None:
    live, afterwards = World("gaps"), World("gaps")
    live.sent()
    live.now_ms += GAP_MS
    live.release()
    afterwards.now_ms += 10 * 60_000
    afterwards.sent()

    assert standing(live.body()) == standing(afterwards.body())
    assert (2, 1) == (live.body()["count"], afterwards.body()["count"])


def test_what_is_delivered_again_rests_on_the_row_that_stands() -> None:
    world = World("on")
    first = world.sent()
    before = world.tables.read(POSITION_STATES, KEY)

    assert isinstance(first, Write)
    assert (1, RowId(POSITION_STATES, KEY)) == (first.version, world.sent())
    assert before is world.tables.read(POSITION_STATES, KEY)


def test_changes_of_one_call_are_one_version() -> None:
    world = World("on")
    world.sent()
    changes = [
        world.states.of_engine(KEY, engine_state(id=name, modify_time=NOW_MS // 1000), ToldAt(0, 3, NOW_MS), NOW_MS)
        for name in "ab"
    ]
    found = world.fold(KEY, *changes)

    assert isinstance(found, Write)
    assert (2, 3) == (found.version, world.shows())


def test_a_block_that_leaves_the_chain_takes_its_state_along() -> None:
    world = World("on")
    world.sent()
    world.fold(KEY, world.states.of_rollback(RolledBack((41, -1), 99)))

    assert 0 == world.shows()


def test_one_release_is_of_every_account_that_is_due_and_of_each_once() -> None:
    world = World("gaps")
    world.sent()
    world.now_ms += 1_000
    world.sent(OTHER)
    # The account's row changes while its state waits, so it is known to wait by two rows.
    world.fold(
        KEY, world.states.of_engine(KEY, engine_state(id="x", quote_id=9), ToldAt(0, 3, world.now_ms), world.now_ms)
    )
    world.now_ms += GAP_MS
    (stage,) = world.release().stages

    assert [KEY, OTHER] == [write.key for write in stage.writes]
    assert [] == stage.rests_on
    assert (2, 1, None) == (world.shows(KEY), world.shows(OTHER), world.states.next_due_ms)


def test_the_account_is_alice() -> None:
    assert KEY == f"main:{ALICE}".encode()


def test_every_state_names_where_its_input_stands_and_when_it_changed() -> None:
    world = World("on")
    world.sent()
    world.fold(KEY, world.states.of_engine(KEY, engine_state(id="x", quote_id=9), ToldAt(4, 17, NOW_MS), NOW_MS + 5))

    named = {one["source"]: (one.get("at"), one["made_from"]) for one in world.body()["states"]}
    assert {
        "chain": ([40, 0, 2], {"at_ms": NOW_MS}),
        "engine": (None, {"at_ms": NOW_MS + 5, "partition": 4, "offset": 17}),
    } == named


def test_a_state_that_waited_names_the_instant_at_which_it_came_to_stand() -> None:
    world = World("gaps")
    world.sent()
    world.now_ms += GAP_MS
    world.release()

    assert [{"at_ms": NOW_MS + GAP_MS}] == [one["made_from"] for one in world.body()["states"]]


def test_an_engine_s_state_names_the_record_that_changed_it_last() -> None:
    """So does one that tells another action, or the quote of a temporary id; one that was folded before does not."""
    world = World("on")

    def say(offset: int, **changes: object) -> None:
        at = ToldAt(0, offset, NOW_MS)
        world.fold(KEY, world.states.of_engine(KEY, engine_state(**changes), at, NOW_MS + offset))

    def named() -> dict[str, int]:
        return {one["id"]: one["made_from"]["offset"] for one in world.body()["states"]}

    say(1, id="a", quote_id=None, temp_quote_id=-5, version=1)
    say(2, id="b", quote_id=8)
    say(3, id="a", quote_id=None, temp_quote_id=-5, version=1)
    assert {"a": 1, "b": 2} == named()
    say(4, id="c", quote_id=5, temp_quote_id=-5)
    assert {"a": 4, "b": 2, "c": 4} == named()
    say(5, id="b", quote_id=8, version=0, last_seen_action="InstantRFQ")
    assert {"a": 4, "b": 5, "c": 4} == named()
