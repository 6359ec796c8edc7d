"""The part of an account's row that a valuation needs: balances, buckets with parties B, open and pending quotes.

A valuation reads it straight out of the encoded row, without what only the fold needs: undo, and most of a quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.body_reader import columns_reader
from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.column_types import Amount, Flag, Unquoted  # noqa: TC001 - msgspec resolves the annotations at run time
from models.symmio.account_columns import Bucket, Offset, SuspectColumns, UndoColumns, read_account_columns
from models.symmio.state import EMPTY, OPEN_STATUSES, PENDING_STATUSES, ZERO_ADDRESS, Balances, PositionType

if TYPE_CHECKING:
    from collections.abc import Mapping


class OpenPosition(NamedTuple):
    """A position: what a valuation needs of a quote of status 4, 5 or 6.

    ``open_amount`` is what is not closed of it.
    """

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_b: str
    opened_price: int
    open_amount: int


class PendingQuote(NamedTuple):
    """A quote of status 0, 1 or 2.

    ``party_b`` is None before a lock. ``whitelist`` names the parties B that may lock the quote; where it is empty, all
    may.
    """

    quote_id: int
    symbol_id: int
    position_type: PositionType
    party_b: str | None
    whitelist: tuple[str, ...]
    requested_open_price: int
    quantity: int


class Holding(NamedTuple):
    """What an account holds as of ``applied``. Amounts and prices are 1e18-scaled.

    ``owner``, ``multi_account`` and ``name`` are those of its AddAccount event. ``buckets`` has the bucket of each
    party B with the account, in order of the parties' addresses. ``positions`` and ``pending_quotes`` are in order of
    their quote ids. ``unsettled`` says whether a rollback can still change the row, or a watermark still remove one of
    its finished quotes.
    """

    applied: LogOffset
    version: int
    block: int
    time_s: int
    is_suspect: bool
    is_no_account: bool
    unsettled: bool
    owner: str | None
    multi_account: str | None
    name: str | None
    liquidating: bool
    balances: Balances
    buckets: Mapping[str, Balances]
    positions: tuple[OpenPosition, ...]
    pending_quotes: tuple[PendingQuote, ...]


# What is not needed is named all the same and not parsed: a column that no version so far has is not passed over, since
# the account cannot be folded any more, so that its figures would be those of before for ever. So undo is read too.
class _QuoteCells(msgspec.Struct, forbid_unknown_fields=True):
    quote_id: Unquoted[int]
    symbol_id: Unquoted[int]
    position_type: Unquoted[PositionType]
    status: Unquoted[int]
    party_b: str
    whitelist: tuple[str, ...]
    requested_open_price: Amount
    opened_price: Amount
    quantity: Amount
    closed_amount: Amount
    terminal_block: Unquoted[int | None]
    order_type: msgspec.Raw
    market_price: msgspec.Raw
    initial_opened_price: msgspec.Raw
    avg_closed_price: msgspec.Raw
    avg_closed_known: msgspec.Raw
    requested_close_price: msgspec.Raw
    quantity_to_close: msgspec.Raw
    locked: msgspec.Raw
    initial_locked: msgspec.Raw
    trading_fee: msgspec.Raw
    deadline_s: msgspec.Raw
    parent_id: msgspec.Raw
    max_funding_rate: msgspec.Raw


class _StateCells(msgspec.Struct, forbid_unknown_fields=True):
    owner: str | None
    multi_account: str | None
    name: str | None
    liquidating: Flag
    balances: Bucket
    party_b: dict[str, Bucket]
    quotes: list[_QuoteCells]
    reimbursement: msgspec.Raw
    liquidation_prices: msgspec.Raw


class _RowCells(msgspec.Struct, forbid_unknown_fields=True):
    applied: Offset
    block: Unquoted[int]
    time_s: Unquoted[int]
    state: _StateCells
    undo: list[UndoColumns]
    suspect: Unquoted[SuspectColumns | None]


_read_cells = columns_reader("accounts", _RowCells)


def decode_holding(value: bytes, version: int) -> Holding:
    """Read a holding out of a row of the ``accounts`` table.

    Args:
        value: The row, its ``ORDER_BYTES`` included.
        version: The row's version.

    Raises:
        BadRow: ``value`` is not a row of an account.
    """
    cells = _read_cells(value)
    state = cells.state
    return Holding(
        applied=cells.applied,
        version=version,
        block=cells.block,
        time_s=cells.time_s,
        is_suspect=cells.suspect is not None,
        # A row of no block is rare enough to be read as a whole.
        is_no_account=cells.block == -1 and read_account_columns(value).state.state() == EMPTY,
        unsettled=bool(cells.undo) or any(quote.terminal_block is not None for quote in state.quotes),
        owner=state.owner,
        multi_account=state.multi_account,
        name=state.name,
        liquidating=state.liquidating,
        balances=Balances(*state.balances),
        buckets={party_b: Balances(*bucket) for party_b, bucket in state.party_b.items()},
        positions=tuple(_position(quote) for quote in state.quotes if quote.status in OPEN_STATUSES),
        pending_quotes=tuple(_pending(quote) for quote in state.quotes if quote.status in PENDING_STATUSES),
    )


def _position(quote: _QuoteCells) -> OpenPosition:
    return OpenPosition(
        quote.quote_id,
        quote.symbol_id,
        quote.position_type,
        quote.party_b,
        quote.opened_price,
        quote.quantity - quote.closed_amount,
    )


def _pending(quote: _QuoteCells) -> PendingQuote:
    return PendingQuote(
        quote.quote_id,
        quote.symbol_id,
        quote.position_type,
        None if quote.party_b == ZERO_ADDRESS else quote.party_b,
        quote.whitelist,
        quote.requested_open_price,
        quote.quantity,
    )
