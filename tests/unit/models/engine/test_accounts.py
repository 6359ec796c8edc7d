"""What the records of one partition come to: in which stages, what a redelivery rests on, and who is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_events import (
    AccountCheckpoint,
    Final,
    OwnRecord,
    RolledBack,
    Supported,
    Transaction,
    Unfoldable,
    Unsupported,
)
from models.bookings import GAP, Booked, Unbooked, decode_booking_record
from models.codec import decode_row
from models.engine.accounts import Accounts, Folded
from models.engine.booker import Booker
from models.engine.step import RowId, Step
from models.engine.tables import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, STATEMENTS, TABLES, WATERMARKS, MemoryTables
from models.errors import BadRecord, BadRow
from models.ids import account_key
from models.symmio.account import AccountRow, advance
from models.symmio.due_states import DueStates
from models.symmio.holding import Holding, decode_holding
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark, decode_watermark
from tests.support.symmio import (
    ALICE,
    BOB,
    E18,
    HEDGER,
    allocate,
    checkpoint_of,
    fee_in,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.account_events import AccountRecord
    from models.bookings import BookingRecord
    from models.chain_records import RawLog
    from models.engine.step import Stage

PARTITION = 3
MAIN = b"main"
KEY, BOB_KEY, OTHER_KEY = account_key("main", ALICE), account_key("main", BOB), account_key("other", ALICE)
NOW_MS = 1_700_000_000_000


class World:
    """A partition's tables, and whoever owns it now."""

    def __init__(self, mode: str = "off") -> None:
        self._modes = {"main": mode, "other": mode}
        self.tables = MemoryTables()
        self.accounts = self._new()

    def take_over(self) -> None:
        """Another worker goes on from the rows."""
        self.accounts = self._new()
        for key, row in self.tables.items(ACCOUNTS):
            assert decode_holding(row, decode_row(row).version) == self.accounts.restore(key, row)
        for key, row in self.tables.items(WATERMARKS):
            self.accounts.restore_watermark(key, row)

    def apply(self, key: bytes, record: AccountRecord) -> Folded:
        return self.accounts.apply(key, record, NOW_MS)

    def write(self) -> Step:
        step = self.accounts.take()
        self.put(step)
        return step

    def put(self, step: Step) -> None:
        self.tables.take(step)
        for stage in step.stages:
            for write in stage.writes:
                if write.table == ACCOUNTS:
                    self.accounts.written(write.key)

    def fold(self, key: bytes, *records: AccountRecord) -> Folded:
        """Fold records, write what they come to, and return what became of the last one."""
        folded = Folded()
        for record in records:
            folded = self.apply(key, record)
        self.write()
        return folded

    def row(self, key: bytes = KEY) -> AccountRow:
        row = self.accounts.row(key)
        assert row is not None
        return row

    def written_watermark(self) -> DeploymentWatermark | None:
        row = self.tables.read(WATERMARKS, b"main:3")
        return None if row is None else decode_watermark(row)

    def _new(self) -> Accounts[AccountRow, Holding, OwnRecord]:
        states, booker = DueStates(self._modes, self.tables), Booker(SYMMIO)
        return Accounts(PARTITION, self.tables, lambda: self.tables.keys(ACCOUNTS), SYMMIO, states, booker=booker)


def transaction(offset: int, *logs: RawLog, index: int = 0) -> Transaction:
    """A transaction of block ``offset``."""
    return Transaction((offset, index), offset, NOW_MS // 1000, f"0x{offset:02x}{index:02x}", logs)


def sent(offset: int, quote_id: int = 1) -> Transaction:
    return transaction(offset, fee_out(0), send_quote(quote_id))


def cancelled(offset: int, quote_id: int = 1) -> Transaction:
    return transaction(offset, fee_in(0), log("RequestToCancelQuote", ALICE, HEDGER, 3, quote_id))


def final(offset: int, block: int) -> Final:
    return Final((offset, -1), block + 8, 1_000 + block, block)


def unfoldable_transaction(offset: int) -> Transaction:
    return transaction(offset, log("LockQuote", HEDGER, 99))


def checkpoint(offset: int, block: int) -> AccountCheckpoint:
    row = advance(None, transaction(block, allocate(7 * E18)))
    return AccountCheckpoint((offset, -1), checkpoint_of(ALICE, row, block))


def tables_of(step: Step) -> list[list[str]]:
    return [[write.table for write in stage.writes] for stage in step.stages]


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
