"""What a worker that takes accounts over makes of records that its predecessor may have folded, and rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_events import AccountCheckpoint, RolledBack, Supported, Unsupported
from models.codec import decode_row
from models.engine.accounts import Folded
from models.engine.step import RowId, Step
from models.engine.tables import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, STATEMENTS, TABLES, WATERMARKS
from models.errors import BadRecord
from tests.support.partition_accounts import (
    BOB_KEY,
    KEY,
    MAIN,
    OTHER_KEY,
    World,
    cancelled,
    checkpoint,
    final,
    sent,
    tables_of,
    transaction,
    unfoldable_transaction,
)
from tests.support.symmio import ALICE, BOB, E18, HEDGER, allocate, fee_in, log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.account_events import AccountRecord


def test_a_state_that_is_delivered_again_without_its_row_rests_on_the_row_of_states() -> None:
    world = World("on")
    world.apply(KEY, transaction(1, allocate(5_000 * E18)))
    world.apply(KEY, sent(2))
    states, *_ = world.accounts.take().stages
    for write in states.writes:
        world.tables.put(write)
    # The worker is killed between the stages.
    world.take_over()
    world.apply(KEY, transaction(1, allocate(5_000 * E18)))
    world.apply(KEY, sent(2))
    step = world.write()

    assert [[], [ACCOUNTS]] == tables_of(step)
    assert [RowId(POSITION_STATES, KEY)] == step.stages[0].rests_on


def test_a_quote_that_is_in_history_before_its_row_is_written_there_again_as_it_was() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(5_000 * E18)), sent(2), cancelled(3))
    world.apply(MAIN, final(4, 3))
    history, *_ = world.accounts.take().stages
    for write in history.writes:
        world.tables.put(write)
    world.take_over()
    world.apply(MAIN, final(4, 3))

    assert history == world.accounts.take().stages[0]


def test_the_first_record_after_a_takeover_rests_on_all_that_may_have_been_folded_from_it_on() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(E18)))
    world.fold(BOB_KEY, transaction(5, allocate(E18, BOB)))
    world.fold(OTHER_KEY, transaction(9, allocate(E18)))
    world.fold(MAIN, final(6, 3))
    world.take_over()

    assert (
        RowId(POSITION_STATES, BOB_KEY),
        RowId(STATEMENTS, BOB_KEY),
        RowId(ACCOUNTS, BOB_KEY),
        RowId(WATERMARKS, b"main:3"),
    ) == world.apply(BOB_KEY, transaction(5, allocate(E18, BOB), index=2)).rests_on
    assert () == world.apply(KEY, transaction(5, allocate(E18), index=3)).rests_on
    assert (
        RowId(POSITION_STATES, OTHER_KEY),
        RowId(STATEMENTS, OTHER_KEY),
        RowId(ACCOUNTS, OTHER_KEY),
    ) == world.apply(OTHER_KEY, transaction(9, allocate(E18))).rests_on


@pytest.mark.parametrize(("offset", "rests_on"), [(6, (RowId(WATERMARKS, b"main:3"),)), (7, ())])
def test_a_watermark_is_rested_on_where_it_is_of_the_record_or_a_later_one(
    offset: int, rests_on: tuple[RowId, ...]
) -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(E18)))
    world.fold(MAIN, final(6, 3))
    world.take_over()

    assert rests_on == world.apply(MAIN, final(offset, 3)).rests_on


def test_who_was_never_taken_over_rests_on_nothing() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(E18)))

    assert Folded() == world.apply(KEY, transaction(1, allocate(E18)))


def test_a_record_that_is_refused_changes_nothing_and_the_next_one_rests_on_what_it_would_have() -> None:
    world = World()
    world.fold(KEY, transaction(5, allocate(E18)))
    world.take_over()
    refused = AccountCheckpoint((5, 2), checkpoint(5, block=4).checkpoint)
    with pytest.raises(BadRecord, match=r"expected a checkpoint of .* at block 5 or later, found one at 4"):
        world.apply(KEY, refused)

    assert () == world.accounts.take().stages
    rests_on = RowId(POSITION_STATES, KEY), RowId(STATEMENTS, KEY), RowId(ACCOUNTS, KEY)
    assert rests_on == world.apply(MAIN, final(5, -1)).rests_on


def test_finality_reaches_accounts_of_before_a_takeover_that_are_unsettled() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(5_000 * E18)), sent(2), cancelled(3))
    world.take_over()
    world.apply(MAIN, final(4, 3))

    assert [[QUOTE_HISTORY], [ACCOUNTS], [WATERMARKS]] == tables_of(world.write())


HISTORY: Sequence[tuple[bytes, AccountRecord]] = (
    (KEY, transaction(1, allocate(5_000 * E18))),
    (BOB_KEY, transaction(1, allocate(E18, BOB), index=1)),
    (KEY, sent(2)),
    (MAIN, final(3, 1)),
    (KEY, cancelled(4)),
    (BOB_KEY, transaction(5, allocate(E18, BOB))),
    (MAIN, RolledBack((6, -1), 3)),
    (KEY, sent(7, 2)),
    (KEY, transaction(8, fee_in(0), log("RequestToCancelQuote", ALICE, HEDGER, 3, 2))),
    (MAIN, final(9, 8)),
    (KEY, unfoldable_transaction(10)),
    (MAIN, Unsupported((11, 0), 11, "an unknown log")),
    (MAIN, Supported((12, -1), 12, enumerated=True)),
    (KEY, checkpoint(13, block=12)),
    (KEY, transaction(14, allocate(E18))),
    (MAIN, final(15, 14)),
)


def rows_of(world: World) -> dict[tuple[str, bytes], object]:
    """All rows; those of position states without their versions, which count the slices in which anything happened."""
    return {
        (table, key): decode_row(row).body if table == POSITION_STATES else row
        for table in TABLES
        for key, row in world.tables.items(table)
    }


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_rows_are_the_same_wherever_slices_are_cut_and_workers_are_killed(data: st.DataObject) -> None:
    undisturbed, world = World("on"), World("on")
    for key, record in HISTORY:
        undisturbed.fold(key, record)
    committed, kills = 0, 0
    while committed < len(HISTORY):
        until = data.draw(st.integers(committed + 1, len(HISTORY)), label="the slice ends")
        for key, record in HISTORY[committed:until]:
            world.apply(key, record)
        stages = world.accounts.take().stages
        kept = data.draw(st.integers(0, len(stages)), label="stages that are durable") if kills < 8 else len(stages)
        world.put(Step(stages[:kept]))
        if kept < len(stages) or (kills < 8 and data.draw(st.booleans(), label="killed before the commit")):
            kills += 1
            world.take_over()
        else:
            committed = until

    assert rows_of(undisturbed) == rows_of(world)
