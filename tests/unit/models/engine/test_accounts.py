"""What the records of one partition come to: in which stages, and who is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.account_events import RolledBack, Supported, Unfoldable, Unsupported
from models.bookings import GAP, Booked, Unbooked, decode_booking_record
from models.codec import decode_row
from models.engine.accounts import Accounts, Folded
from models.engine.tables import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, WATERMARKS, MemoryTables
from models.errors import BadRow
from models.symmio.due_states import DueStates
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark
from tests.support.partition_accounts import (
    BOB_KEY,
    KEY,
    MAIN,
    NOW_MS,
    OTHER_KEY,
    PARTITION,
    World,
    cancelled,
    checkpoint,
    final,
    sent,
    tables_of,
    transaction,
    unfoldable_transaction,
)
from tests.support.symmio import BOB, E18, allocate

if TYPE_CHECKING:
    from models.bookings import BookingRecord
    from models.engine.step import Stage


def test_states_are_written_before_the_rows_that_have_what_made_them() -> None:
    world = World("on")
    world.apply(KEY, transaction(1, allocate(5_000 * E18)))
    world.apply(KEY, sent(2))

    assert [[POSITION_STATES], [ACCOUNTS]] == tables_of(world.write())


def test_a_quote_is_in_history_before_the_row_without_it_and_the_watermark_follows_the_rows() -> None:
    world = World()
    for record in (transaction(1, allocate(5_000 * E18)), sent(2), cancelled(3)):
        world.apply(KEY, record)
    world.apply(MAIN, final(4, 3))
    step = world.write()

    assert [[QUOTE_HISTORY], [ACCOUNTS], [WATERMARKS]] == tables_of(step)
    (history,) = step.stages[0].writes
    assert (KEY + b":1", world.row().version) == (history.key, history.version)
    assert {} == world.row().state.quotes


def test_what_concerns_no_account_is_a_watermark_alone() -> None:
    world = World()
    world.apply(MAIN, final(4, 3))
    (stage,) = world.write().stages

    assert [(WATERMARKS, b"main:3", 4 + 1)] == [write[:3] for write in stage.writes]
    assert DeploymentWatermark((4, -1), 11, 1_003, 3) == world.written_watermark()
    assert world.written_watermark() == world.accounts.watermark("main")
    assert [("main", world.written_watermark())] == list(world.accounts.watermarks)


def test_each_account_is_written_once_whatever_happened_to_it() -> None:
    world = World()
    for offset in range(1, 6):
        world.apply(KEY, transaction(offset, allocate(E18)))
        world.apply(BOB_KEY, transaction(offset, allocate(2 * E18, BOB), index=1))
    _, stage = world.write().stages

    assert [(KEY, 5), (BOB_KEY, 5)] == [(write.key, write.version) for write in stage.writes]
    assert (10, 0) == (world.accounts.folded, world.accounts.repeated)


def test_what_was_taken_is_not_taken_again() -> None:
    world = World("on")
    world.fold(KEY, transaction(1, allocate(5_000 * E18)), sent(2), cancelled(3))
    world.fold(MAIN, final(4, 3))

    assert () == world.accounts.take().stages


def test_an_account_s_newest_row_is_known_before_it_is_written_and_after() -> None:
    world = World()
    assert world.accounts.row(KEY) is None
    world.apply(KEY, transaction(1, allocate(E18)))
    assert 1 == world.row().version
    assert world.tables.read(ACCOUNTS, KEY) is None
    world.write()
    assert 1 == world.row().version
    world.take_over()
    assert 1 == world.row().version


def test_records_that_follow_while_a_step_is_being_written_are_folded_into_the_newest_row() -> None:
    world = World()
    world.apply(KEY, transaction(1, allocate(E18)))
    first = world.accounts.take()
    world.tables.take(first)
    written = world.accounts.written(KEY)
    assert written is not None
    assert 1 == written.version
    world.fold(KEY, transaction(2, allocate(E18)))

    assert (2, 2 * E18) == (world.row().version, world.row().state.balances.allocated)


def test_what_is_delivered_again_changes_nothing_and_says_nothing() -> None:
    world = World("on")
    records = (transaction(1, allocate(5_000 * E18)), sent(2), cancelled(3))
    world.fold(KEY, *records)
    for record in records:
        assert Folded() == world.apply(KEY, record)

    assert (3, 3) == (world.accounts.folded, world.accounts.repeated)
    assert () == world.accounts.take().stages
    world.fold(MAIN, final(4, 2), final(5, 2))
    assert Folded() == world.apply(MAIN, final(4, 2))
    assert [] == tables_of(world.write())


def test_what_is_final_is_dropped_from_the_undo_of_the_next_transaction() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(E18)), transaction(2, allocate(E18)))
    world.fold(MAIN, final(3, 1))
    world.fold(KEY, transaction(4, allocate(E18)))

    assert [2, 4] == [entry.block for entry in world.row().undo]


def test_a_rollback_undoes_accounts_that_it_concerns_and_withdraws_their_states() -> None:
    world = World("on")
    world.fold(KEY, transaction(1, allocate(5_000 * E18)), sent(2))
    world.fold(BOB_KEY, transaction(1, allocate(E18, BOB), index=1))
    world.fold(OTHER_KEY, transaction(2, allocate(E18)))
    before = {key: world.row(key) for key in (BOB_KEY, OTHER_KEY)}
    assert not world.apply(MAIN, RolledBack((3, -1), 1)).is_deployment_touched
    step = world.write()

    assert [[POSITION_STATES], [ACCOUNTS], [WATERMARKS]] == tables_of(step)
    assert [KEY] == [write.key for write in step.stages[1].writes]
    assert ({}, 5_000 * E18) == (world.row().state.quotes, world.row().state.balances.allocated)
    assert [] == decode_row(world.tables.read(POSITION_STATES, KEY) or b"").body["states"]
    assert before == {key: world.row(key) for key in (BOB_KEY, OTHER_KEY)}


def test_an_unsupported_deployment_is_touched_and_a_rollback_of_the_cause_supports_it_again() -> None:
    world = World()
    assert world.fold(MAIN, Unsupported((3, 0), 40, "an unknown log")).is_deployment_touched
    assert (40, "an unknown log") == (
        world.accounts.watermark("main").unsupported_since,
        world.accounts.watermark("main").reason,
    )
    assert not world.fold(MAIN, RolledBack((4, -1), 45)).is_deployment_touched
    assert 40 == world.accounts.watermark("main").unsupported_since
    assert world.fold(MAIN, RolledBack((5, -1), 39, supported=True)).is_deployment_touched
    assert (None, "") == (
        world.accounts.watermark("main").unsupported_since,
        world.accounts.watermark("main").reason,
    )


def test_a_join_doubts_every_account_of_its_deployment_until_its_checkpoint_comes() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(E18)))
    world.fold(OTHER_KEY, transaction(1, allocate(E18)))
    world.apply(BOB_KEY, transaction(2, allocate(E18, BOB)))
    world.apply(MAIN, Unsupported((3, 0), 40, "an unknown log"))
    assert world.apply(MAIN, Supported((4, -1), 50, enumerated=False)).is_deployment_touched

    suspects = [world.row(key).suspect for key in (KEY, BOB_KEY)]
    assert [("no checkpoint of the join at block 50: run tidemark audit --repair", (4, -1))] * 2 == suspects
    assert world.row(OTHER_KEY).suspect is None
    assert DeploymentWatermark(applied=(4, -1), enumerated=False) == world.accounts.watermark("main")
    world.write()
    assert Folded() == world.fold(KEY, checkpoint(5, block=50))
    assert (None, 7 * E18) == (world.row().suspect, world.row().state.balances.allocated)


def test_where_a_join_was_not_enumerated_an_account_without_a_checkpoint_is_suspect() -> None:
    world = World()
    world.fold(MAIN, Supported((4, -1), 50, enumerated=False))

    assert "expected a checkpoint of the account" in (
        world.apply(KEY, transaction(5, allocate(E18))).suspicion or "nothing"
    )


def test_an_account_is_called_suspect_by_the_record_that_made_it_so_and_by_no_other() -> None:
    world = World("on")
    world.fold(KEY, transaction(1, allocate(5_000 * E18)))
    cause = world.apply(KEY, unfoldable_transaction(2)).suspicion or ""
    assert cause.startswith("block 2, transaction 0x0200: ")
    assert world.apply(BOB_KEY, transaction(2, allocate(E18, BOB), index=1)).suspicion is None
    assert world.apply(KEY, sent(3)).suspicion is None

    # What does not fold makes no states.
    assert [[], [ACCOUNTS, ACCOUNTS]] == tables_of(world.write())
    assert "too large" == world.fold(BOB_KEY, Unfoldable((4, 0), "too large")).suspicion
    assert world.apply(BOB_KEY, Unfoldable((4, 0), "too large")).suspicion is None


def booked_of(stage: Stage) -> list[tuple[bytes, BookingRecord]]:
    return [(kept.key, decode_booking_record(kept.value)) for kept in stage.bookings]


def test_bookings_are_durable_before_the_rows_that_have_what_made_them_and_the_same_after_a_kill() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(5 * E18)))
    world.apply(KEY, transaction(2, allocate(2 * E18)))
    world.apply(MAIN, RolledBack((3, -1), 1))
    first, *later = world.accounts.take().stages
    # The worker is killed before anything of that is written.
    world.take_over()
    world.apply(KEY, transaction(2, allocate(2 * E18)))
    world.apply(MAIN, RolledBack((3, -1), 1))
    again = world.write().stages[0]

    (key, booked), unbooked = booked_of(first)
    assert isinstance(booked, Booked)
    assert (KEY, (2, 0), 2, str(2 * E18)) == (key, booked.position, booked.block, booked.bookings[0].balance)
    assert (MAIN, Unbooked((3, -1), 1)) == unbooked
    assert not [stage for stage in later if stage.bookings]
    assert [ACCOUNTS, WATERMARKS] == [write.table for stage in later for write in stage.writes]
    assert booked_of(first) == booked_of(again)
    # What is delivered again, with its rows written, is booked already.
    world.apply(KEY, transaction(2, allocate(2 * E18)))
    world.apply(MAIN, RolledBack((3, -1), 1))
    assert not [stage for stage in world.write().stages if stage.bookings]


def test_from_where_on_an_account_is_not_known_is_booked() -> None:
    world = World()
    world.fold(KEY, transaction(1, allocate(5 * E18)))
    world.apply(KEY, unfoldable_transaction(2))
    world.apply(BOB_KEY, transaction(2, allocate(E18, BOB), index=1))
    world.apply(MAIN, Supported((3, -1), 50, enumerated=True))
    found = [one for stage in world.write().stages for one in booked_of(stage)]

    booked = [(key, record) for key, record in found if isinstance(record, Booked)]
    gaps = [(key, record.position) for key, record in booked if record.bookings[0].name == GAP]
    assert (KEY, (2, 0)) in gaps
    assert (BOB_KEY, (3, -1)) in gaps


def test_an_account_that_the_partition_names_and_the_table_lacks_is_an_error() -> None:
    tables = MemoryTables()
    accounts = Accounts(PARTITION, tables, lambda: (KEY,), SYMMIO, DueStates({}, tables))

    with pytest.raises(BadRow, match=r"expected a row of b'main:0x0a.*', which the partition's accounts name"):
        accounts.apply(MAIN, Supported((4, -1), 50, enumerated=True), NOW_MS)
