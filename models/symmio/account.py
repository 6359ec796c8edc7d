"""The row of an account: its state, the last record folded into it, and the undo back to the last final block.

A row is a pure function of the records folded into it, in order of their log offsets. A record at or below ``applied``
changes nothing, so a record that is delivered again leaves the row as it is. A row's version counts the changes that
made it, so it is the same after the same records, however often they were delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from models.account_events import AccountCheckpoint, RolledBack, Transaction
from models.codec import decode_order, encode_body
from models.errors import BadRecord
from models.symmio.abi import BadLog, decode_log
from models.symmio.account_columns import (
    Suspect,
    quote_body,
    read_account_columns,
    read_finished_columns,
    state_body,
    undo_body,
)
from models.symmio.account_size import CAUSE_CHARACTERS_MAX, size_at_most
from models.symmio.draft import BadFold
from models.symmio.events import AddAccount, MarketSettings, OtherEvent
from models.symmio.fold import fold
from models.symmio.holding import Holding, OpenPosition, PendingQuote
from models.symmio.state import EMPTY, ZERO_ADDRESS, AccountState, Quote, state_of_checkpoint
from models.symmio.symmio_row_bodies import AccountBody, FinishedQuoteBody
from models.symmio.undo import Undo, diff, revert

if TYPE_CHECKING:
    from models.chain_records import Checkpoint, LogOffset, RawLog
    from models.symmio.events import AccountEvent

QUOTES_MAX = 400
"""How many quotes an account may have, with those that are finished but not final. A state of so many takes some 400
kB. Undo may take more where many quotes change in many blocks: ``ROW_MAX_BYTES`` bounds both together."""

ROW_MAX_BYTES = 900_000
"""The greatest size of a row's body. The broker takes records of 1 MB: the rest is for the key, the head, and the cause
that makes a row of this size suspect. A larger row could never be written, and its partition would not go on."""

_replace = msgspec.structs.replace


class BlockUndo(msgspec.Struct, frozen=True):
    """The undo of one block: the former cells of the state, and the row's own fields as they were before the block."""

    block: int
    undo: Undo
    row_block: int
    row_time_s: int
    row_suspect: Suspect | None


class AccountRow(msgspec.Struct, frozen=True):
    """An account as of ``applied``, the log offset of the last record folded.

    ``block`` and ``time_s`` are those of the last block that touched the account, -1 and 0 where none did. ``undo``
    has an entry for each block that touched the account and was not final, oldest first. Where ``suspect`` is set,
    ``state`` is the last good one.
    """

    applied: LogOffset = (-1, -1)
    version: int = 0
    block: int = -1
    time_s: int = 0
    state: AccountState = EMPTY
    undo: tuple[BlockUndo, ...] = ()
    suspect: Suspect | None = None

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""
        return self.suspect[0] if self.suspect is not None and self.suspect[1] == self.applied else None

    @property
    def is_no_account(self) -> bool:
        """Whether there is no such account: every block that touched it was rolled back."""
        return self.block == -1 and self.state == EMPTY

    @property
    def holding(self) -> Holding:
        """The part of the row that a valuation needs; ``decode_holding`` reads the same out of the encoded row."""
        state = self.state
        return Holding(
            applied=self.applied,
            version=self.version,
            block=self.block,
            time_s=self.time_s,
            is_suspect=self.suspect is not None,
            is_no_account=self.is_no_account,
            unsettled=self.unsettled,
            owner=state.owner,
            multi_account=state.multi_account,
            name=state.name,
            liquidating=state.liquidating,
            balances=state.balances,
            buckets={party_b: state.party_b[party_b] for party_b in sorted(state.party_b)},
            positions=tuple(
                OpenPosition(
                    quote.quote_id,
                    quote.symbol_id,
                    quote.position_type,
                    quote.party_b,
                    quote.opened_price,
                    quote.open_amount,
                )
                for quote in state.open_quotes
            ),
            pending_quotes=tuple(
                PendingQuote(
                    quote.quote_id,
                    quote.symbol_id,
                    quote.position_type,
                    None if quote.party_b == ZERO_ADDRESS else quote.party_b,
                    quote.whitelist,
                    quote.requested_open_price,
                    quote.quantity,
                )
                for quote in state.pending_quotes
            ),
        )

    @property
    def unsettled(self) -> bool:
        """Whether a rollback can still change the row, or a watermark still remove one of its finished quotes."""
        return self.unsettled_above(-1)

    def unsettled_above(self, final: int) -> bool:
        """Whether the row is still ``unsettled`` once every block up to ``final`` is final."""
        return any(entry.block > final for entry in self.undo) or any(
            quote.terminal_block is not None and quote.terminal_block > final for quote in self.state.quotes.values()
        )


def advance(
    row: AccountRow | None,
    record: Transaction | AccountCheckpoint | RolledBack,
    *,
    final: int = -1,
    enumerated: bool = True,
) -> AccountRow:
    """Fold a record into an account's row.

    Args:
        row: The row so far, None for a new account.
        record: The next record, or one that was folded before.
        final: The newest final block; undo of blocks up to it is dropped. For a record that is delivered again it has
            to be the block that was final when the record was first folded (docs/adr/0012).
        enumerated: False where an account without a row may have a past that is in no record. Such an account becomes
            suspect, unless a MultiAccount has just made it.

    Returns:
        The new row, its version one higher; ``row`` itself where the record was folded before or changes nothing. The
        row is suspect where a transaction does not fold, a checkpoint cannot be read, or the row would not fit into a
        record.

    Raises:
        BadFold: A checkpoint is older than what was folded; make a new one with ``tidemark audit --repair``.
    """
    current = AccountRow() if row is None else row
    if row is not None and record.position <= row.applied:
        return row
    match record:
        case Transaction():
            return _transaction(current, record, final, is_unintroduced=row is None and not enumerated)
        case AccountCheckpoint():
            return _checkpoint(current, record)
        case RolledBack():
            return _rollback(current, record)
        case _:
            assert_never(record)


def settle(row: AccountRow, final: int, position: LogOffset) -> tuple[AccountRow, tuple[Quote, ...]]:
    """Take the quotes out of the row that are finished for good.

    Args:
        row: The account's row.
        final: Nothing at or below this block will be rolled back.
        position: Log offset of the watermark that names ``final``.

    Returns:
        The row without the quotes that ended at or before ``final``, and those quotes in order of their ids. It is
        ``row`` itself, and no quotes, where none ended, the record was folded before, or the account is suspect.
    """
    if position <= row.applied or row.suspect is not None:
        return row, ()
    quotes = row.state.quotes
    finished = {
        quote_id
        for quote_id, quote in quotes.items()
        if quote.terminal_block is not None and quote.terminal_block <= final
    }
    if not finished:
        return row, ()
    left = {quote_id: quote for quote_id, quote in quotes.items() if quote_id not in finished}
    settled = _replace(
        row,
        applied=position,
        version=row.version + 1,
        state=_replace(row.state, quotes=left),
        undo=_above(row.undo, final),
    )
    return settled, tuple(quotes[quote_id] for quote_id in sorted(finished))


def doubt(row: AccountRow | None, position: LogOffset, cause: str) -> AccountRow:
    """Freeze an account whose state can no longer be relied on.

    Args:
        row: The account's row, None where it has none yet.
        position: Log offset of the record that made the account suspect.
        cause: Why, in words; at most ``CAUSE_CHARACTERS_MAX`` characters of it are kept.

    Returns:
        A suspect row; ``row`` itself where the record was applied before.
    """
    current = AccountRow() if row is None else row
    if row is not None and position <= row.applied:
        return row
    return _replace(current, applied=position, version=current.version + 1, suspect=_suspicion(cause, position))


def back_to(row: AccountRow, ancestor: int) -> AccountRow:
    """Undo the blocks above ``ancestor``; ``applied`` and ``version`` stay as they are.

    Quotes that were taken out of the row do not come back. Returns ``row`` itself where no block above ``ancestor``
    touched it.

    Raises:
        BadFold: A block above ``ancestor`` was folded, but its undo was dropped.
    """
    undone = [entry for entry in row.undo if entry.block > ancestor]
    if undone:
        state = row.state
        for entry in reversed(undone):
            state = revert(state, entry.undo)
        first = undone[0]
        row = _replace(
            row,
            state=state,
            block=first.row_block,
            time_s=first.row_time_s,
            suspect=first.row_suspect,
            undo=row.undo[: -len(undone)],
        )
    if row.block > ancestor:
        msg = f"expected to go back to block {ancestor}, found the account at {row.block} without undo"
        raise BadFold(msg)
    return row


def _transaction(row: AccountRow, record: Transaction, final: int, *, is_unintroduced: bool) -> AccountRow:
    state, suspect = row.state, row.suspect
    if suspect is None:
        try:
            events = [_event(log) for log in record.logs]
            if is_unintroduced and not any(isinstance(event, AddAccount) for event in events):
                msg = "expected a checkpoint of the account, found none in the join: run tidemark audit --repair"
                raise BadFold(msg)
            state = fold(state, events, record.block)
            _expect_bounded(state)
        except BadRecord as error:
            state = row.state
            suspect = _suspicion(f"block {record.block}, transaction {record.tx}: {error}", record.position)
    folded = AccountRow(
        applied=record.position,
        version=row.version + 1,
        block=record.block,
        time_s=record.time_s,
        state=state,
        undo=_above(_with_undo(row, state, record.block), final),
        suspect=suspect,
    )
    try:
        _expect_record(folded)
    except BadFold as error:
        # A rollback below this block finds no undo, so the account stays suspect.
        cause = f"block {record.block}, transaction {record.tx}: {error}"
        return _replace(folded, state=row.state, undo=(), suspect=suspect or _suspicion(cause, record.position))
    return folded


def _checkpoint(row: AccountRow, record: AccountCheckpoint) -> AccountRow:
    checkpoint = record.checkpoint
    if row.block > checkpoint.block:
        msg = (
            f"expected a checkpoint of {checkpoint.account} at block {row.block} or later, found one at "
            f"{checkpoint.block}: run tidemark audit --repair again later"
        )
        raise BadFold(msg)
    joined = AccountRow(record.position, row.version + 1, checkpoint.block, checkpoint.time_s)
    try:
        state = _state_of(checkpoint)
        _expect_bounded(state)
        known = _replace(joined, state=state)
        _expect_record(known)
    except BadFold as error:
        # Without a row the account's next transaction would be folded into a state that is not its own.
        return _replace(joined, state=row.state, suspect=_suspicion(str(error), record.position))
    return known


def _rollback(row: AccountRow, record: RolledBack) -> AccountRow:
    if row.block <= record.ancestor:
        return row
    try:
        undone = back_to(row, record.ancestor)
    except BadFold as error:
        undone = _replace(row, suspect=row.suspect or _suspicion(str(error), record.position))
    return _replace(undone, applied=record.position, version=row.version + 1)


def _state_of(checkpoint: Checkpoint) -> AccountState:
    try:
        return state_of_checkpoint(checkpoint)
    except ValueError as error:
        msg = f"expected numbers in the checkpoint of {checkpoint.account} at block {checkpoint.block}: {error}"
        raise BadFold(msg) from error


def _suspicion(cause: str, position: LogOffset) -> Suspect:
    return cause[:CAUSE_CHARACTERS_MAX], position


def _event(log: RawLog) -> AccountEvent:
    event = decode_log(log)
    match event:
        case MarketSettings() | OtherEvent():
            msg = f"expected events that are folded, found {event} in log {log.log_index}"
            raise BadLog(msg)
        case _:
            return event


def _expect_bounded(state: AccountState) -> None:
    if len(state.quotes) > QUOTES_MAX:
        msg = f"expected at most {QUOTES_MAX} quotes in one account, found {len(state.quotes)}"
        raise BadFold(msg)


def _expect_record(row: AccountRow) -> None:
    if size_at_most(row) <= ROW_MAX_BYTES:
        return
    size = len(encode_body(encode_account(row)))
    if size > ROW_MAX_BYTES:
        msg = (
            f"expected a row of at most {ROW_MAX_BYTES} bytes with {len(row.state.quotes)} quotes and what undoes "
            f"{len(row.undo)} blocks, found {size}"
        )
        raise BadFold(msg)


def _with_undo(row: AccountRow, state: AccountState, block: int) -> tuple[BlockUndo, ...]:
    if row.undo and row.undo[-1].block == block:
        last = row.undo[-1]
        before = revert(row.state, last.undo)
        return (*row.undo[:-1], _replace(last, undo=diff(before, state)))
    return (*row.undo, BlockUndo(block, diff(row.state, state), row.block, row.time_s, row.suspect))


def _above(undo: tuple[BlockUndo, ...], final: int) -> tuple[BlockUndo, ...]:
    return undo if not undo or undo[0].block > final else tuple(entry for entry in undo if entry.block > final)


def encode_account(row: AccountRow) -> AccountBody:
    """Make the body of a row of the ``accounts`` table; the version is not part of it."""
    return AccountBody(
        applied=row.applied,
        block=row.block,
        time_s=row.time_s,
        state=state_body(row.state),
        undo=[
            undo_body(entry.block, entry.undo, entry.row_block, entry.row_time_s, entry.row_suspect)
            for entry in row.undo
        ],
        suspect=row.suspect,
    )


def decode_account(row: bytes) -> AccountRow:
    """Read a row of the ``accounts`` table.

    Raises:
        BadRow: It is none.
    """
    columns = read_account_columns(row)
    return AccountRow(
        applied=columns.applied,
        version=decode_order(row)[1],
        block=columns.block,
        time_s=columns.time_s,
        state=columns.state.state(),
        undo=tuple(
            BlockUndo(entry.block, entry.undo(), entry.row_block, entry.row_time_s, entry.row_suspect)
            for entry in columns.undo
        ),
        suspect=columns.suspect,
    )


def encode_finished(quote: Quote, row: AccountRow) -> FinishedQuoteBody:
    """Make the body of a row of ``quote-history``: the quote's last state, and the log offset at which it ended."""
    return FinishedQuoteBody(quote_body(quote), row.applied)


def decode_finished(row: bytes) -> Quote:
    """Read the quote out of a row of ``quote-history``.

    Raises:
        BadRow: It is none.
    """
    return read_finished_columns(row).quote
