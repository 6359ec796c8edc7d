"""Who is concerned by what a chain does, which rows come of it, and what a redelivery is routed by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.account_events import AccountCheckpoint, Final, RolledBack, Supported, Transaction, Unsupported
from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, SymbolView, Watermark
from models.codec import decode_row
from models.deployments import DeploymentState, decode_deployment
from models.engine.step import Output, RowId, Stage, Step
from models.engine.tables import DEPLOYMENTS, MARKETS, QUOTES, TABLES, MemoryTables
from models.ids import account_key
from models.symmio.account import advance
from models.symmio.deployment import SymmioDeployment
from models.symmio.router import NotConfigured, Router
from tests.support.symmio import (
    ALICE,
    BOB,
    DIAMOND,
    E18,
    HEDGER,
    MULTI_ACCOUNT,
    allocate,
    block,
    checkpoint_of,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.account_events import AccountRecord
    from models.chain_records import ChainRecord, RawLog

KEY, BOB_KEY = account_key("main", ALICE), account_key("main", BOB)
DEPLOYMENTS_BY_NAME = {"main": SymmioDeployment(DIAMOND.upper().replace("0X", "0x"), frozenset({MULTI_ACCOUNT}))}
UNKNOWN_LOG = log("LockQuotes", HEDGER, [5])
BTC = SymbolView(3, "BTCUSDT", True, "1", "2", "3", "4", 14_400, 420)  # noqa: FBT003 - as getSymbols answers


class World:
    """One partition of chain-blocks, its tables, and whoever owns it now."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.router = Router(DEPLOYMENTS_BY_NAME, self.tables)
        self.offset = 0

    def take_over(self) -> None:
        """Another worker goes on from the rows."""
        self.router = Router(DEPLOYMENTS_BY_NAME, self.tables)

    def route(self, *records: ChainRecord, name: str = "main") -> Stage:
        """Route records that follow; what the last one came to."""
        stage = Stage()
        for record in records:
            stage = self.deliver(record, self.offset, name)
            self.offset += 1
        return stage

    def deliver(self, record: ChainRecord, offset: int, name: str = "main") -> Stage:
        (stage,) = self.router.apply(name, record, offset).stages or (Stage(),)
        self.tables.take(Step((stage,)))
        return stage

    def end_slice(self) -> Stage:
        (stage,) = self.router.take_deployments().stages or (Stage(),)
        self.tables.take(Step((stage,)))
        return stage

    def state(self, name: str = "main") -> DeploymentState:
        row = self.tables.read(DEPLOYMENTS, name.encode())
        assert row is not None
        return decode_deployment(row)


def sent(number: int, quote_id: int = 5, *, symbol_id: int = 3) -> Block:
    return block(number, [fee_out(1), send_quote(quote_id, symbol_id=symbol_id)])


def locked(number: int, quote_id: int = 5) -> Block:
    return block(number, [log("LockQuote", HEDGER, quote_id)])


def bob_s(quote_id: int) -> RawLog:
    """The same quote as Bob's, of another branch of the chain."""
    whitelist: list[str] = []
    return log(
        "SendQuote", BOB, quote_id, whitelist, 4, 0, 0, 100 * E18, 101 * E18, 10 * E18,
        *(value * E18 for value in (50, 20, 130, 40)), E18 // 1000, 2_000_000_000,
    )  # fmt: skip


def checkpoint(number: int) -> Checkpoint:
    logs = (allocate(5_000 * E18), fee_out(0), send_quote(5, symbol_id=3))
    return checkpoint_of(ALICE, advance(None, Transaction((1, 0), number, 1_000, "0x01", logs)), number)


def concerned(stage: Stage) -> list[bytes]:
    return [output.key for output in stage.outputs]


def sole(stage: Stage) -> AccountRecord:
    (output,) = stage.outputs
    record: AccountRecord = output.record
    return record


def written(stage: Stage) -> list[tuple[str, bytes, int]]:
    return [write[:3] for write in stage.writes]


def test_each_account_gets_its_transactions_and_the_quotes_of_the_block_are_kept() -> None:
    world = World()
    world.route(Watermark(6, 1_006, 0))
    stage = world.route(block(7, [allocate(1), allocate(2, BOB)], [fee_out(1), send_quote(5, symbol_id=3)]))

    assert [KEY, BOB_KEY, KEY] == concerned(stage)
    assert [False] * 3 == [output.is_for_all for output in stage.outputs]
    assert [(QUOTES, b"main:5", 1 + 1)] == written(stage)
    assert {"routes": [[1, ALICE, 3]]} == decode_row(world.tables.read(QUOTES, b"main:5") or b"").body


def test_a_later_event_that_names_only_a_quote_goes_to_whose_it_is() -> None:
    world = World()
    world.route(sent(1))
    world.take_over()

    assert [KEY] == concerned(world.route(locked(2)))


def test_what_a_block_says_of_a_market_twice_is_one_row_over_what_was_known() -> None:
    world = World()
    world.route(block(1, [log("AddSymbol", 3, "BTCUSDT", 1, 2, 3, 4, 14_400, 420)]))
    stage = world.route(
        block(2, [log("SetSymbolTradingFee", 3, 3, 30), log("SetSymbolValidationState", 3, *(True, False))])
    )

    assert [(MARKETS, b"main:3", 1 + 1)] == written(stage)
    body = decode_row(world.tables.read(MARKETS, b"main:3") or b"").body
    assert ("BTCUSDT", False, "30", 14_400) == (
        body["name"], body["is_valid"], body["trading_fee"], body["funding_rate_epoch_duration_s"],
    )  # fmt: skip


def test_finality_goes_to_all_and_never_falls_in_the_deployment_s_row() -> None:
    world = World()
    assert (
        Output(b"main", Final((0, -1), 9, 1_009, 5), is_for_all=True) == world.route(Watermark(9, 1_009, 5)).outputs[0]
    )
    world.route(Watermark(10, 1_010, 4))
    world.end_slice()

    assert DeploymentState((1, -1), 10, 1_010, 5) == world.state()


def test_a_rollback_goes_to_all_and_says_whether_the_cause_of_a_gap_left_with_it() -> None:
    world = World()
    world.route(block(1, [allocate(1)]), block(2, [UNKNOWN_LOG]))

    assert RolledBack((2, -1), 2, supported=False) == sole(world.route(Rollback(2, "0x02")))
    assert RolledBack((3, -1), 1, supported=True) == sole(world.route(Rollback(1, "0x01")))
    assert [KEY] == concerned(world.route(block(2, [allocate(1)])))


def test_from_an_unsupported_log_on_nothing_is_routed_and_all_are_told_once() -> None:
    world = World()
    stage = world.route(block(1, [allocate(1)], [UNKNOWN_LOG], [allocate(2)]))
    told = stage.outputs[-1]

    assert [KEY, b"main"] == concerned(stage)
    assert isinstance(told.record, Unsupported)
    assert ((0, 1), 1, True) == (told.record.position, told.record.block, told.is_for_all)
    assert Stage() == world.route(block(2, [allocate(3)]))
    assert isinstance(sole(world.route(Watermark(2, 1_002, 0))), Final)
    world.end_slice()
    gap = world.state().open_gap
    assert gap is not None
    assert ((0, 1), told.record.reason) == (gap.since, gap.reason)


def test_a_join_supports_the_deployment_again_with_its_markets_and_the_routes_of_its_checkpoints() -> None:
    world = World()
    world.route(block(1, [UNKNOWN_LOG]))
    joining = world.route(Join(4, "0x04", 1_004, (BTC,), enumerated=False))
    assert [(MARKETS, b"main:3", 1 + 1)] == written(joining)
    assert Output(b"main", Supported((1, -1), 4, enumerated=False), is_for_all=True) == joining.outputs[0]

    stage = world.route(checkpoint(4))
    assert [(QUOTES, b"main:5", 2 + 1)] == written(stage)
    assert Output(KEY, AccountCheckpoint((2, -1), checkpoint(4)), is_for_all=False) == stage.outputs[0]
    assert Stage() == world.route(Joined(4, 1))
    assert [KEY] == concerned(world.route(locked(5)))
    world.end_slice()
    assert (None, 1) == (world.state().open_gap, world.state().begun_at)


def test_a_record_that_cannot_be_read_ends_support_where_it_stands() -> None:
    world = World()
    world.route(Watermark(9, 1_009, 5))
    (stage,) = world.router.skip("main", 1, "no JSON").stages

    assert Output(b"main", Unsupported((1, 0), 9, "no JSON"), is_for_all=True) == stage.outputs[0]
    world.offset = 2
    assert Stage() == world.route(block(10, [allocate(3)]))


def test_a_cut_of_the_diamond_is_its_construction_only_before_the_first_account_event() -> None:
    cut = log("DiamondCut", [], ALICE, b"")
    world = World()
    assert Stage() == world.route(block(1, [cut]))
    world.route(block(2, [allocate(1)]))
    world.end_slice()
    world.take_over()

    assert 1 == world.state().begun_at
    assert isinstance(sole(world.route(block(3, [cut]))), Unsupported)


def test_blocks_of_a_deployment_that_is_not_configured_end_the_worker() -> None:
    world = World()
    assert isinstance(sole(world.route(Watermark(9, 1_009, 5), name="other")), Final)
    with pytest.raises(NotConfigured, match=r"expected \[deployments.other\]"):
        world.route(block(1), name="other")


def test_deployments_are_apart() -> None:
    world = World()
    world.route(block(1, [UNKNOWN_LOG]))
    world.route(Watermark(9, 1_009, 5), name="other")
    stage = world.end_slice()

    assert [(DEPLOYMENTS, b"main", 0 + 1), (DEPLOYMENTS, b"other", 1 + 1)] == written(stage)
    assert (None, 9) == (world.state("other").open_gap, world.state("other").head)


def test_a_deployment_is_written_once_a_slice_and_not_without_a_record_of_it() -> None:
    world = World()
    world.route(*(Watermark(number, 1_000, 0) for number in range(5)))

    assert [(DEPLOYMENTS, b"main", 4 + 1)] == written(world.end_slice())
    assert Stage() == world.end_slice()


def test_what_is_delivered_again_is_sent_again_and_rests_on_the_rows_that_are() -> None:
    world = World()
    first = world.route(sent(1))
    world.end_slice()
    world.take_over()
    again = world.deliver(sent(1), 0)

    assert (first.outputs, [RowId(QUOTES, b"main:5")], ()) == (again.outputs, again.rests_on, again.writes)


def test_the_row_of_a_deployment_is_rested_on_where_nothing_new_was_routed() -> None:
    world = World()
    world.route(sent(1), Watermark(1, 1_001, 0))
    world.end_slice()
    world.take_over()
    world.deliver(sent(1), 0)

    assert Stage([], [RowId(DEPLOYMENTS, b"main")]) == world.end_slice()
    assert (1, -1) == world.state().position


def test_a_quote_that_another_account_sent_on_another_branch_is_routed_as_of_each_record() -> None:
    world = World()
    world.route(block(1, [allocate(1)]), sent(2), locked(3), Rollback(1, "0x01"))
    world.route(block(2, [fee_out(1, BOB), bob_s(5)]))
    assert [BOB_KEY] == concerned(world.route(locked(3)))
    world.take_over()

    assert [KEY] == concerned(world.deliver(locked(3), 2))
    assert [BOB_KEY] == concerned(world.deliver(locked(3), 5))


def test_of_a_quote_the_last_four_routes_are_kept() -> None:
    world = World()
    for number in range(3):
        world.route(sent(2), block(2, [fee_out(1, BOB), bob_s(5)]))
        assert [BOB_KEY] == concerned(world.route(locked(3))), number

    routes = decode_row(world.tables.read(QUOTES, b"main:5") or b"").body["routes"]
    assert [[3, ALICE, 3], [4, BOB, 4], [6, ALICE, 3], [7, BOB, 4]] == routes


def test_a_market_that_a_later_record_changed_is_not_set_back_by_a_redelivery() -> None:
    world = World()
    added = block(1, [log("AddSymbol", 3, "BTCUSDT", 1, 2, 3, 4, 14_400, 420)])
    world.route(added, block(2, [log("SetSymbolTradingFee", 3, 3, 30)]))
    world.take_over()
    before = world.tables.read(MARKETS, b"main:3")
    again = world.deliver(added, 0)

    assert ([RowId(MARKETS, b"main:3")], before) == (again.rests_on, world.tables.read(MARKETS, b"main:3"))


HISTORY: Sequence[ChainRecord] = (
    block(1, [log("DiamondCut", [], ALICE, b""), log("AddSymbol", 3, "BTCUSDT", 1, 2, 3, 4, 14_400, 420)]),
    block(2, [allocate(1)], [allocate(2, BOB)]),
    sent(3),
    Watermark(3, 1_003, 1),
    locked(4),
    Rollback(2, "0x02"),
    block(3, [fee_out(1, BOB), bob_s(5)], [log("SetSymbolTradingFee", 3, 3, 30)]),
    locked(4),
    block(5, [allocate(1)], [UNKNOWN_LOG]),
    block(6, [allocate(1)]),
    Rollback(4, "0x04"),
    block(5, [allocate(3)]),
    block(6, [UNKNOWN_LOG]),
    Join(8, "0x08", 1_008, (BTC,)),
    checkpoint(8),
    Joined(8, 1),
    locked(9),
    Watermark(9, 1_009, 8),
)


@settings(deadline=None)
@given(st.data())
def test_whatever_is_delivered_again_outputs_and_rows_are_those_of_one_delivery(data: st.DataObject) -> None:
    once = World()
    expected = [list(once.route(record).outputs) for record in HISTORY]
    once.end_slice()
    world, committed, kills = World(), 0, 0
    while committed < len(HISTORY):
        until = data.draw(st.integers(committed + 1, len(HISTORY)), label="the slice ends")
        for offset in range(committed, until):
            assert expected[offset] == list(world.deliver(HISTORY[offset], offset).outputs)
        is_killed = kills < 8 and data.draw(st.booleans(), label="killed before its end")
        if not is_killed:
            world.end_slice()
        if is_killed or (kills < 8 and data.draw(st.booleans(), label="killed before the commit")):
            kills += 1
            world.take_over()
        else:
            committed = until

    for table in TABLES:
        assert dict(once.tables.items(table)) == dict(world.tables.items(table)), table
