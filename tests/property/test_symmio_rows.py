"""Whatever is delivered again, rolled back, or joined in the middle: the rows come out the same."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.account_events import AccountCheckpoint, Transaction
from models.chain_records import Block, RawLog
from models.codec import encode_body, encode_row, join_row
from models.engine.tables import ACCOUNTS
from models.errors import BadRecord
from models.ids import account_key
from models.symmio.abi import CATALOGUE, decode_log
from models.symmio.account import AccountRow, decode_account, encode_account
from models.symmio.holding import decode_holding
from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES, Quote
from models.symmio.undo import diff, revert
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_blocks
from tests.support.symmio import ALICE, NAME, Chain, Keyed, Partition, allocate, checkpoint_of, fee_out, send_quote

if TYPE_CHECKING:
    from models.symmio.state import AccountState

_DEPTH = 8
_bounded = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def _blocks() -> tuple[Block, ...]:
    return tuple(recorded_blocks(read_json(GOLDEN_LOGS)))


def _chain() -> Chain:
    return Chain(diamond=_diamond(), depth=_DEPTH)


@cache
def _diamond() -> str:
    diamond: str = read_json(GOLDEN_LOGS)["diamond"]
    return diamond


@cache
def _records() -> tuple[Keyed, ...]:
    chain = _chain()
    for block in _blocks():
        chain.add(block)
    return tuple(chain.records)


@cache
def _undisturbed() -> Partition:
    return Partition().apply(_records())


@cache
def _row_history() -> tuple[AccountRow, ...]:
    """Every row that any account ever had."""
    rows: list[AccountRow] = []
    partition = Partition()
    for record in _records():
        for stage in partition.fold([record]).stages:
            partition.write(stage.writes)
            rows += (
                decode_account(join_row(1, write.version, write.body))
                for write in stage.writes
                if write.table == ACCOUNTS
            )
    return tuple(rows)


def _bodies(rows: dict[str, AccountRow]) -> dict[str, tuple[int, bytes]]:
    return {account: (row.version, encode_body(encode_account(row))) for account, row in rows.items()}


def test_a_holding_read_out_of_the_encoded_row_is_that_of_the_decoded_one() -> None:
    rows = [*_row_history(), AccountRow(), msgspec.structs.replace(AccountRow(), suspect=("because", (4, 2)))]

    for row in rows:
        assert row.holding == decode_holding(encode_row(7, row.version, encode_account(row)), row.version)


@_bounded
@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 400)), max_size=6))
def test_records_delivered_again_from_any_point_leave_the_same_rows(cuts: list[tuple[int, int]]) -> None:
    """At each cut a worker goes back by some records, with the rows it has written by then."""
    records, partition, at = _records(), Partition(), 0
    for cut, back in sorted(cuts):
        end = min(max(cut, at), len(records))
        partition.apply(records[at:end])
        at = max(end - back, 0)
    partition.apply(records[at:])

    assert _bodies(_undisturbed().rows) == _bodies(partition.rows)
    assert _undisturbed().finished == partition.finished


@_bounded
@given(st.data())
def test_rows_lost_with_a_crash_come_about_again(data: st.DataObject) -> None:
    """Of its last slice a worker wrote some stages and some rows of the next; all since the commit come again."""
    records = _records()
    committed = data.draw(st.integers(0, len(records) - 1))
    died = data.draw(st.integers(committed, min(committed + 300, len(records))))
    partition = Partition().apply(records[:committed])
    partition.apply(records[committed:died], data.draw(st.integers(1, 60)))
    stages = partition.fold(records[died : died + data.draw(st.integers(1, 60))]).stages
    reached = data.draw(st.integers(0, len(stages)))
    for stage in stages[:reached]:
        partition.write(stage.writes)
    if reached < len(stages):
        partition.write(write for write in stages[reached].writes if data.draw(st.booleans()))
    again = Partition(partition.tables).apply(records[committed:])

    assert _bodies(_undisturbed().rows) == _bodies(again.rows)
    assert _undisturbed().finished == again.finished


def _abandoned(block: Block, seed: int) -> Block:
    """Another block of the same number: some of its transactions, and one that the surviving branch never has."""
    kept = [log for log in block.logs if (seed >> 2 + log.tx_index % 3) & 1]
    match seed % 4:
        case 0:
            made_up: tuple[RawLog, ...] = ()
        case 1:
            made_up = (allocate(seed),)
        case 2:
            made_up = (fee_out(10**30),)
        case _:
            made_up = (allocate(1), fee_out(0), send_quote(10**9 + block.number))
    diamond = _diamond().lower()
    placed = [RawLog(diamond, log.topics, log.data, f"0x{seed:x}", 90, 900 + at) for at, log in enumerate(made_up)]
    return Block(block.number, f"0x{seed:x}", block.parent, block.time_s, (*kept, *placed))


@_bounded
@given(
    st.lists(
        st.tuples(st.integers(0, len(_blocks()) - 1), st.lists(st.none() | st.integers(0, 99), min_size=1)), max_size=6
    )
)
# The Diamond is constructed again after a block that already moved money has left the chain.
@example([(0, [1])])
def test_forks_end_in_the_rows_of_the_surviving_branch(forks: list[tuple[int, list[int | None]]]) -> None:
    """Before a block, up to ``_DEPTH`` blocks are built and abandoned: None is the very block, a number another one.

    A branch ends early where it is no longer supported; accounts that it made suspect are known again without it.
    """
    blocks, chain, branches = _blocks(), _chain(), dict(forks)
    for at, block in enumerate(blocks):
        for seed, one in zip(branches.get(at, ()), blocks[at:], strict=False):
            other = one if seed is None else _abandoned(one, seed)
            if one.number >= block.number + _DEPTH or not chain.add_abandoned(other):
                break
        if at in branches:
            chain.roll_back(block.number - 1)
        chain.add(block)

    partition = Partition().apply(chain.records)

    expected = _undisturbed()
    rows = expected.rows
    for account, row in partition.rows.items():
        standing = rows.get(account, AccountRow())
        assert (standing.state, None, standing.block) == (row.state, row.suspect, row.block)
    assert expected.finished == partition.finished


def _comparable(state: AccountState) -> tuple[object, ...]:
    """What a checkpoint and the logs after it tell: balances, and quotes that are not finished."""
    quotes = {
        quote.quote_id: msgspec.structs.replace(quote, max_funding_rate=None)
        for quote in state.quotes.values()
        if quote.status in OPEN_STATUSES | PENDING_STATUSES
    }
    return state.balances, dict(state.party_b), quotes, state.liquidating, state.reimbursement


@_bounded
@given(st.integers(0, len(_blocks()) - 1))
def test_a_checkpoint_at_any_block_and_the_later_logs_give_the_same_state(at: int) -> None:
    number = _blocks()[at].number
    before = Partition().apply(
        [(key, record) for key, record in _records() if isinstance(record, Transaction) and record.block <= number]
    )
    joined = Partition().apply(
        [
            (account_key(NAME, account), AccountCheckpoint((0, -1), checkpoint_of(account, row, number)))
            for account, row in before.rows.items()
        ]
    )
    joined.apply(
        [(key, record) for key, record in _records() if not isinstance(record, Transaction) or record.block > number]
    )

    rows = joined.rows
    for account, row in _undisturbed().rows.items():
        assert rows[account].suspect is None
        assert _comparable(row.state) == _comparable(rows[account].state)


@_bounded
@given(st.data())
def test_rows_come_back_from_their_bodies(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(_row_history()))

    assert row == decode_account(encode_row(1, row.version, encode_account(row)))


@_bounded
@given(st.data())
def test_a_difference_leads_back_between_any_two_states(data: st.DataObject) -> None:
    before, after = (data.draw(st.sampled_from(_row_history())).state for _ in range(2))

    assert before == revert(after, diff(before, after))
    assert diff(after, after).is_empty


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.binary(max_size=700),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3),
)
def test_no_data_whatever_is_more_than_a_bad_record(topic0: str, data: bytes, topics: list[bytes]) -> None:
    log = RawLog(ALICE, (topic0, *(f"0x{topic.hex()}" for topic in topics)), f"0x{data.hex()}", "0x", 0, 0)
    with suppress(BadRecord):
        decode_log(log)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_recorded_data_with_a_word_changed_is_read_or_refused(data: st.DataObject) -> None:
    logs = [log for block in _blocks() for log in block.logs]
    log = data.draw(st.sampled_from(logs))
    raw = bytearray.fromhex(log.data[2:])
    if raw:
        at = 32 * data.draw(st.integers(0, len(raw) // 32 - 1))
        raw[at : at + 32] = data.draw(st.binary(min_size=32, max_size=32))
    with suppress(BadRecord):
        decode_log(RawLog(log.address, log.topics, f"0x{raw.hex()}", log.tx, 0, 0))


def test_a_quotes_every_field_is_kept_in_its_body() -> None:
    rows = [row for row in _row_history() if row.state.quotes]

    body = encode_account(rows[0]).state.quotes[0]

    assert set(Quote.__struct_fields__) == set(body.__struct_fields__)
