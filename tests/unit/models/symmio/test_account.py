from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec
import pytest

from models.account_events import AccountCheckpoint, RolledBack, Transaction
from models.codec import decode_row, encode_body, encode_row
from models.errors import BadRow
from models.symmio.account import (
    QUOTES_MAX,
    ROW_MAX_BYTES,
    AccountRow,
    BlockUndo,
    advance,
    back_to,
    decode_account,
    decode_finished,
    doubt,
    encode_account,
    encode_finished,
    settle,
)
from models.symmio.account_columns import quote_body
from models.symmio.account_size import CAUSE_CHARACTERS_MAX, SIZE_OF_QUOTE
from models.symmio.draft import BadFold
from models.symmio.state import EMPTY, Locked, Quote, QuoteStatus
from models.symmio.undo import Undo
from tests.support.symmio import (
    ALICE,
    BOB,
    E18,
    HEDGER,
    MULTI_ACCOUNT,
    allocate,
    allocate_b,
    checkpoint_of,
    fee_in,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from models.chain_records import Checkpoint, RawLog


def _transaction(offset: int, *logs: RawLog, block: int | None = None, index: int = 0) -> Transaction:
    number = offset if block is None else block
    return Transaction((offset, index), number, 1_000 + number, f"0x{offset:02x}", logs)


def _cancelled(offset: int, quote_id: int) -> Transaction:
    return _transaction(offset, fee_in(1), log("RequestToCancelQuote", ALICE, HEDGER, 3, quote_id))


def _row(*records: Transaction) -> AccountRow:
    row = None
    for record in records:
        row = advance(row, record)
    assert row is not None
    return row


_ALLOCATED = _transaction(10, allocate(100 * E18))
_SENT = _transaction(11, fee_out(1), send_quote(1))


def test_a_transaction_makes_a_row_of_the_next_version() -> None:
    row = _row(_ALLOCATED, _SENT)

    assert ((11, 0), 2, 11, 1_011) == (row.applied, row.version, row.block, row.time_s)
    assert 100 * E18 - 1 == row.state.balances.allocated


def test_an_account_that_no_record_introduced_is_suspect_until_its_checkpoint() -> None:
    unintroduced = advance(None, _ALLOCATED, enumerated=False)

    assert unintroduced.suspect is not None
    assert "tidemark audit --repair" in unintroduced.suspect[0]
    assert 0 == unintroduced.state.balances.allocated


def test_an_account_that_a_multi_account_has_just_made_is_introduced() -> None:
    made = _transaction(10, log("AddAccount", BOB, ALICE, "first"), allocate(100 * E18))

    assert advance(None, made, enumerated=False).suspect is None


@pytest.mark.parametrize("record", [_ALLOCATED, _SENT, RolledBack((11, -1), 5), _transaction(9, fee_out(10**30))])
def test_a_record_at_or_below_the_applied_position_leaves_the_very_row(
    record: Transaction | RolledBack,
) -> None:
    row = _row(_ALLOCATED, _SENT)

    assert row is advance(row, record)
    assert (row, ()) == settle(row, 100, (11, -1))


def test_a_rollback_goes_back_to_the_ancestor_and_forward_in_version() -> None:
    before = _row(_ALLOCATED)
    row = advance(_row(_ALLOCATED, _SENT, _cancelled(12, 1)), RolledBack((13, -1), 10))

    assert (before.state, 10, 1_010) == (row.state, row.block, row.time_s)
    assert ((13, -1), 4) == (row.applied, row.version)
    assert before.undo == row.undo


def test_a_rollback_that_undoes_nothing_leaves_the_very_row() -> None:
    row = _row(_ALLOCATED)

    assert row is advance(row, RolledBack((13, -1), 10))


def test_several_transactions_of_one_block_are_undone_together() -> None:
    first = _transaction(10, allocate(5))
    both = (_transaction(11, allocate(7)), _transaction(11, fee_out(2), send_quote(1), index=1))

    row = _row(first, *both)

    assert [10, 11] == [entry.block for entry in row.undo]
    assert _row(first).state == advance(row, RolledBack((12, -1), 10)).state
    assert EMPTY == advance(row, RolledBack((12, -1), 9)).state


def test_undo_at_or_below_the_final_block_is_dropped() -> None:
    row = advance(_row(_ALLOCATED, _SENT), _cancelled(12, 1), final=11)

    assert [12] == [entry.block for entry in row.undo]


def test_a_rollback_below_what_can_be_undone_makes_the_account_suspect() -> None:
    row = advance(_row(_ALLOCATED, _SENT), _cancelled(12, 1), final=11)

    rolled = advance(row, RolledBack((13, -1), 10))

    assert rolled.suspect is not None
    assert "expected to go back to block 10" in rolled.suspect[0]
    assert rolled.suspicion is not None
    with pytest.raises(BadFold, match="without undo"):
        back_to(row, 10)


def test_what_does_not_fold_freezes_the_account() -> None:
    row = advance(_row(_ALLOCATED), _transaction(11, allocate(1), fee_out(200 * E18)))
    later = advance(row, _transaction(12, allocate(5)))

    assert row.suspect is not None
    assert "block 11, transaction 0x0b: expected party A's allocated balance" in row.suspect[0]
    assert ((11, 0), 2, row.suspect[0]) == (row.suspect[1], row.version, row.suspicion)
    assert _row(_ALLOCATED).state == row.state == later.state
    assert ((12, 0), 12, row.suspect, None) == (
        later.applied, later.block, later.suspect, later.suspicion,
    )  # fmt: skip


@pytest.mark.parametrize("bad", [log("SetCollateral", BOB), log("LockQuote", HEDGER, 5)])
def test_what_should_not_have_been_sent_freezes_a_new_account(bad: RawLog) -> None:
    row = advance(None, _transaction(1, bad))

    assert row.suspect is not None
    assert EMPTY == row.state


def test_a_rollback_of_the_block_that_did_not_fold_thaws_the_account() -> None:
    frozen = advance(_row(_ALLOCATED), _transaction(11, fee_out(200 * E18)))
    row = advance(advance(frozen, _transaction(12, allocate(5))), RolledBack((13, -1), 10))

    assert (None, 10) == (row.suspect, row.block)
    assert 100 * E18 + 7 == advance(row, _transaction(14, allocate(7), block=11)).state.balances.allocated


def test_more_quotes_than_a_row_can_hold_freeze_the_account() -> None:
    row = _row(_ALLOCATED)
    for number in range(QUOTES_MAX):
        row = advance(row, _transaction(11 + number, fee_out(1), send_quote(1 + number)), final=10 + number)
    assert row.suspect is None

    row = advance(row, _transaction(1_000, fee_out(1), send_quote(1_000)))

    assert row.suspect is not None
    assert f"at most {QUOTES_MAX} quotes" in row.suspect[0]


def test_a_row_at_its_bound_fits_into_a_record() -> None:
    row = _row(_transaction(10, allocate(10**30)))
    for number in range(QUOTES_MAX):
        row = advance(row, _transaction(11 + number, fee_out(1), send_quote(10**6 + number)), final=11 + number - 64)

    assert len(encode_body(encode_account(row))) < 600_000


def _size(row: AccountRow) -> int:
    return len(encode_body(encode_account(row)))


@cache
def _opened(quotes: int) -> AccountRow:
    row = _row(_transaction(10, allocate(10**30)))
    for number in range(quotes):
        opened = (
            fee_out(1),
            send_quote(10**6 + number),
            log("LockQuote", HEDGER, 10**6 + number),
            log("OpenPosition", 10**6 + number, ALICE, HEDGER, 10 * E18, 90 * E18),
        )
        row = advance(row, _transaction(11 + number, *opened), final=11 + number)
    assert row.suspect is None
    return row


def _funded(row: AccountRow, block: int) -> Transaction:
    quote_ids = list(row.state.quotes)
    rates = [E18 // 10_000 * (-1) ** block] * len(quote_ids)
    return _transaction(block, log("ChargeFundingRate", HEDGER, ALICE, quote_ids, rates))


def test_undo_that_no_record_holds_freezes_the_account_without_it() -> None:
    row = _opened(380)
    good = row
    for block in range(1_001, 1_065):
        good, row = row, advance(row, _funded(row, block), final=1_000)
        assert ROW_MAX_BYTES + 10_000 > _size(row)
        if row.suspect is not None:
            break

    assert row.suspect is not None
    assert f"expected a row of at most {ROW_MAX_BYTES} bytes" in row.suspect[0]
    assert ROW_MAX_BYTES * 9 // 10 < _size(good)
    assert (good.state, (), good.version + 1) == (row.state, row.undo, row.version)
    assert row == decode_account(encode_row(1, row.version, encode_account(row)))


def test_an_account_frozen_for_its_undo_stays_so_through_rollbacks_until_its_checkpoint() -> None:
    good = row = _opened(380)
    for block in range(1_001, 1_065):
        row = advance(row, _funded(row, block), final=1_000)
    frozen = row.suspect
    later = advance(row, _transaction(1_100, allocate(5)), final=1_000)

    for ancestor in (1_099, 1_064, 1_001, 1_000):
        rolled = advance(later, RolledBack((1_101, -1), ancestor))
        assert frozen == rolled.suspect is not None
    thawed = advance(later, AccountCheckpoint((1_102, -1), checkpoint_of(ALICE, good, 1_100)))
    assert (None, good.state.balances) == (thawed.suspect, thawed.state.balances)


def test_a_frozen_account_stays_small_however_long_nothing_is_final() -> None:
    frozen = doubt(_opened(380), (1_000, 0), "c" * CAUSE_CHARACTERS_MAX)
    entries = tuple(BlockUndo(block, Undo(), block - 1, block, frozen.suspect) for block in range(1_001, 1_801))
    large = msgspec.structs.replace(frozen, block=1_800, undo=entries)
    assert ROW_MAX_BYTES > _size(large) > ROW_MAX_BYTES * 9 // 10 - 100_000

    rows = [large]
    for block in range(1_801, 2_201):
        rows.append(advance(rows[-1], _transaction(block, allocate(5)), final=1_000))

    assert {frozen.suspect} == {row.suspect for row in rows}
    assert ROW_MAX_BYTES > max(map(_size, rows[::10]))
    assert 400 > len(rows[-1].undo)


def test_no_quote_of_the_chain_is_larger_than_estimated() -> None:
    quote = _row(_ALLOCATED, _SENT).state.quotes[1]
    largest = 2**256 - 1
    amounts = {name: largest for name in Quote.__struct_fields__ if type(getattr(quote, name)) is int}
    ids = dict.fromkeys(("quote_id", "symbol_id", "parent_id", "terminal_block"), 2**63 - 1)
    values = Locked(largest, largest, largest, largest)
    whole = msgspec.structs.replace(
        quote, **{**amounts, **ids}, locked=values, initial_locked=values, max_funding_rate=largest
    )

    assert SIZE_OF_QUOTE >= len(encode_body(quote_body(whole))) > SIZE_OF_QUOTE // 2


def test_a_long_whitelist_counts() -> None:
    row = _opened(1)
    quote = msgspec.structs.replace(next(iter(row.state.quotes.values())), whitelist=(HEDGER,) * 30_000)
    row = msgspec.structs.replace(row, state=msgspec.structs.replace(row.state, quotes={quote.quote_id: quote}))

    assert "expected a row of at most" in (advance(row, _transaction(1_000, allocate(5))).suspect or ("", 0))[0]


def test_a_long_cause_is_cut() -> None:
    broken = advance(None, _transaction(1, log("ChargeFundingRate", HEDGER, ALICE, [1] * 10_000, [5])))

    for row in (broken, doubt(None, (1, 0), "c" * 100_000)):
        assert row.suspect is not None
        assert len(row.suspect[0]) <= CAUSE_CHARACTERS_MAX


def _checkpoint_of_many(row: AccountRow) -> Checkpoint:
    told = checkpoint_of(ALICE, row, 500)
    quotes = tuple(msgspec.structs.replace(told.quotes[0], quote_id=number) for number in range(1, QUOTES_MAX + 2))
    return msgspec.structs.replace(told, quotes=quotes)


def _odd_checkpoint(row: AccountRow, **changes: object) -> Checkpoint:
    told = checkpoint_of(ALICE, row, 500)
    return msgspec.structs.replace(told, quotes=(msgspec.structs.replace(told.quotes[0], **changes),))


_KNOWN = _row(_ALLOCATED, _SENT)


@pytest.mark.parametrize(
    ("checkpoint", "cause"),
    [
        (_checkpoint_of_many(_KNOWN), f"at most {QUOTES_MAX} quotes"),
        (_odd_checkpoint(_KNOWN, quantity="ten"), "expected numbers in the checkpoint"),
        (_odd_checkpoint(_KNOWN, status=77), "expected numbers in the checkpoint"),
        (_odd_checkpoint(_KNOWN, quote_id=2**63), "63 bits"),
        (_odd_checkpoint(_KNOWN, symbol_id=2**80), "63 bits"),
        (_odd_checkpoint(_KNOWN, parent_id=-1), "63 bits"),
        (_odd_checkpoint(_KNOWN, whitelist=(HEDGER,) * 30_000), "expected a row of at most"),
        (msgspec.structs.replace(checkpoint_of(ALICE, _KNOWN, 500), balances=("1",)), "expected numbers"),
        (msgspec.structs.replace(checkpoint_of(ALICE, _KNOWN, 500), name="n" * 1_000_000), "expected a row of at most"),
    ],
)
@pytest.mark.parametrize("row", [None, _KNOWN])
def test_a_checkpoint_that_no_row_holds_freezes_the_account(
    row: AccountRow | None, checkpoint: Checkpoint, cause: str
) -> None:
    frozen = advance(row, AccountCheckpoint((20, -1), checkpoint))
    later = advance(frozen, _transaction(501, allocate(5)))

    assert frozen.suspect is not None
    assert cause in frozen.suspect[0]
    assert (20, -1) == frozen.suspect[1] == frozen.applied
    assert (500, checkpoint.time_s, ()) == (frozen.block, frozen.time_s, frozen.undo)
    standing = AccountRow() if row is None else row
    assert (standing.state, standing.version + 1) == (frozen.state, frozen.version)
    assert (standing.state, frozen.suspect) == (later.state, later.suspect)
    assert encode_body(encode_account(frozen))


def test_an_account_whose_every_block_was_rolled_back_is_nobody() -> None:
    row = _row(_ALLOCATED, _SENT)

    gone = advance(row, RolledBack((12, -1), 9))

    assert (False, True) == (row.is_no_account, gone.is_no_account)
    assert not advance(gone, _transaction(13, allocate(1))).is_no_account


def test_finished_quotes_leave_once_their_end_is_final() -> None:
    row = _row(_ALLOCATED, _SENT, _transaction(12, fee_out(1), send_quote(2)), _cancelled(13, 1))

    same, none = settle(row, 12, (14, -1))
    settled, finished = settle(row, 13, (14, -1))

    assert row is same
    assert () == none
    assert [(1, QuoteStatus.CANCELED, 13)] == [(q.quote_id, q.status, q.terminal_block) for q in finished]
    assert ([2], (14, -1), row.version + 1, ()) == (
        list(settled.state.quotes), settled.applied, settled.version, settled.undo,
    )  # fmt: skip
    assert (settled, ()) == settle(settled, 13, (15, -1))


def test_a_row_tells_whether_anything_of_it_can_still_change_without_a_record_of_its_own() -> None:
    row = _row(_ALLOCATED, _SENT, _cancelled(12, 1))

    assert (True, True, False) == (row.unsettled, row.unsettled_above(11), row.unsettled_above(12))
    assert not settle(row, 12, (13, -1))[0].unsettled


def test_an_event_of_a_quote_that_has_left_freezes_the_account() -> None:
    settled, _ = settle(_row(_ALLOCATED, _SENT, _cancelled(12, 1)), 12, (13, -1))

    row = advance(settled, _transaction(14, log("LockQuote", HEDGER, 1)))

    assert row.suspect is not None
    assert "long finished" in row.suspect[0]


def test_a_checkpoint_replaces_the_state_and_thaws_the_account() -> None:
    good = _row(_ALLOCATED, _SENT)
    frozen = advance(good, _transaction(12, fee_out(200 * E18)))

    row = advance(frozen, AccountCheckpoint((13, -1), checkpoint_of(ALICE, good, 12)))

    assert (good.state.balances, None, (), 12) == (row.state.balances, row.suspect, row.undo, row.block)
    assert (frozen.version + 1, (13, -1)) == (row.version, row.applied)
    assert 0 == row.state.quotes[1].max_funding_rate


def test_a_checkpoint_older_than_what_was_folded_is_refused() -> None:
    row = _row(_ALLOCATED, _SENT)

    with pytest.raises(BadFold, match="audit --repair"):
        advance(row, AccountCheckpoint((13, -1), checkpoint_of(ALICE, row, 10)))


def test_rows_come_back_from_their_bodies() -> None:
    row = _row(
        _transaction(9, log("AddAccount", BOB, ALICE, "Größe", address=MULTI_ACCOUNT)),
        _ALLOCATED,
        _transaction(11, allocate_b(9 * E18), fee_out(1), send_quote(1)),
        _transaction(12, log("LockQuote", HEDGER, 1)),
        _transaction(13, log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 90 * E18)),
        _transaction(14, log("LiquidatePartyA", ALICE, ALICE, 100 * E18 - 1, -1, -1, b"")),
        _transaction(15, log("SetSymbolsPrices", ALICE, ALICE, [1], [80 * E18], b"")),
        _transaction(16, fee_out(10**40)),
    )

    written = encode_row(1, row.version, encode_account(row))

    assert row.suspect is not None
    assert row == decode_account(written)


def test_a_deadline_beyond_64_bits_fits_into_a_row() -> None:
    endless = log("RequestToClosePosition", ALICE, HEDGER, 1, 1, 1, 0, 2**256 - 1, 5, 1)
    row = _row(
        _ALLOCATED,
        _SENT,
        _transaction(12, log("LockQuote", HEDGER, 1)),
        _transaction(13, log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 90 * E18)),
        _transaction(14, endless),
    )

    assert row.suspect is None
    assert row == decode_account(encode_row(1, row.version, encode_account(row)))


def test_finished_quotes_come_back_from_their_bodies() -> None:
    settled, finished = settle(_row(_ALLOCATED, _SENT, _cancelled(12, 1)), 12, (13, -1))

    row = encode_row(1, 1, encode_finished(finished[0], settled))

    assert finished[0] == decode_finished(row)
    assert [13, -1] == decode_row(row).body["position"]


@pytest.mark.parametrize("body", [{}, {"applied": [1, 2], "block": 1, "time_s": 1, "state": {}}])
def test_a_body_of_another_kind_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(BadRow, match="expected a row of accounts"):
        decode_account(encode_row(1, 1, body))
    with pytest.raises(BadRow, match="expected a row of quote-history"):
        decode_finished(encode_row(1, 1, body))
