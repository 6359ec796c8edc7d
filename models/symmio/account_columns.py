"""The columns of SYMMIO's rows of ``accounts`` and ``quote-history``, between rows and the model.

They are written as the published types (``models.symmio.symmio_row_bodies``), whose amounts are decimal texts. They are
read as the model's own: msgspec makes the numbers of these texts as it parses, so that no text is ever made of one.
Equal states are written as equal bytes, whatever events led to them.

A row of an account that has other columns is refused: a later version wrote it, and they would be lost when the row is
written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from models.body_reader import columns_reader, text_of
from models.chain_records import LogOffset
from models.column_types import Amount, Flag, Unquoted
from models.symmio.state import AccountState, Balances, Locked, Quote
from models.symmio.symmio_row_bodies import (
    AccountCells,
    QuoteBody,
    QuoteCells,
    StateBody,
    UndoBody,
    some_columns,
)
from models.symmio.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.symmio.symmio_row_bodies import Balances as BalancesBody
    from models.symmio.symmio_row_bodies import Four
    from models.symmio.undo import Cells

Suspect = tuple[str, LogOffset]
"""Why an account is frozen, and the log offset of the record that could not be folded."""

Offset = tuple[Unquoted[int], Unquoted[int]]
"""A log offset as it is read."""

Bucket = tuple[Amount, Locked, Locked]
"""Balances as they are read."""


class SuspectColumns(NamedTuple):
    """A ``Suspect`` as it is read."""

    cause: str
    position: Offset


class FormerBucket(NamedTuple):
    """Balances with a party B as they are read of an undo, which may say that there were none."""

    allocated: Amount
    locked: Locked
    pending: Locked


class _OwnColumns(msgspec.Struct, forbid_unknown_fields=True):
    owner: str | None
    multi_account: str | None
    name: str | None
    balances: Bucket
    reimbursement: Amount
    liquidating: Flag
    liquidation_prices: dict[Amount, Amount]


if TYPE_CHECKING:

    class _SomeOfAccount(msgspec.Struct): ...

    class _SomeOfQuote(msgspec.Struct): ...

else:
    _SomeOfAccount = some_columns("_SomeOfAccount", _OwnColumns)
    _SomeOfQuote = some_columns("_SomeOfQuote", Quote)


class StateColumns(_OwnColumns, forbid_unknown_fields=True):
    """A state as it is read."""

    party_b: dict[str, Bucket]
    quotes: list[Quote]

    def state(self) -> AccountState:
        """The state that they say."""
        return AccountState(
            owner=self.owner,
            multi_account=self.multi_account,
            name=self.name,
            balances=Balances(*self.balances),
            reimbursement=self.reimbursement,
            liquidating=self.liquidating,
            party_b={party_b: Balances(*bucket) for party_b, bucket in self.party_b.items()},
            quotes=_by_id(self.quotes),
            liquidation_prices=self.liquidation_prices,
        )


class UndoColumns(msgspec.Struct, forbid_unknown_fields=True):
    """What takes a block back as it is read: parts without a cell are absent."""

    block: Unquoted[int]
    row_block: Unquoted[int]
    row_time_s: Unquoted[int]
    row_suspect: Unquoted[SuspectColumns | None]
    account: _SomeOfAccount | UnsetType = UNSET
    party_b: dict[str, Unquoted[FormerBucket | None]] = {}
    quotes: dict[Amount, _SomeOfQuote] = {}
    removed: list[Quote] = []
    added: tuple[Unquoted[int], ...] = ()

    def undo(self) -> Undo:
        """The undo that they say."""
        account: dict[str, Any] = {} if self.account is UNSET else _cells(self.account)
        if "balances" in account:
            account["balances"] = Balances(*account["balances"])
        return Undo(
            account=account,
            party_b={
                party_b: None if bucket is None else Balances(*bucket) for party_b, bucket in self.party_b.items()
            },
            quotes={quote_id: _cells(cells) for quote_id, cells in self.quotes.items()},
            removed=_by_id(self.removed),
            added=self.added,
        )


class AccountColumns(msgspec.Struct, forbid_unknown_fields=True):
    """A row of ``accounts`` as it is read."""

    applied: Offset
    block: Unquoted[int]
    time_s: Unquoted[int]
    state: StateColumns
    undo: list[UndoColumns]
    suspect: Unquoted[SuspectColumns | None]


class FinishedColumns(msgspec.Struct):
    """A row of ``quote-history`` as it is read."""

    quote: Quote


read_account_columns = columns_reader("accounts", AccountColumns)
read_finished_columns = columns_reader("quote-history", FinishedColumns)


def state_body(state: AccountState) -> StateBody:
    """What is written of a state; buckets and quotes are in order of their keys."""
    return StateBody(
        owner=state.owner,
        multi_account=state.multi_account,
        name=state.name,
        balances=bucket_body(state.balances),
        reimbursement=str(state.reimbursement),
        liquidating=state.liquidating,
        liquidation_prices=_prices_body(state.liquidation_prices),
        party_b={party_b: bucket_body(state.party_b[party_b]) for party_b in sorted(state.party_b)},
        quotes=[quote_body(state.quotes[quote_id]) for quote_id in sorted(state.quotes)],
    )


def quote_body(quote: Quote) -> QuoteBody:
    """What is written of a quote."""
    return QuoteBody(
        quote_id=quote.quote_id,
        symbol_id=quote.symbol_id,
        position_type=quote.position_type,
        order_type=quote.order_type,
        status=quote.status,
        party_b=quote.party_b,
        whitelist=list(quote.whitelist),
        requested_open_price=str(quote.requested_open_price),
        market_price=str(quote.market_price),
        opened_price=str(quote.opened_price),
        initial_opened_price=str(quote.initial_opened_price),
        quantity=str(quote.quantity),
        closed_amount=str(quote.closed_amount),
        avg_closed_price=str(quote.avg_closed_price),
        avg_closed_known=quote.avg_closed_known,
        requested_close_price=str(quote.requested_close_price),
        quantity_to_close=str(quote.quantity_to_close),
        locked=_four(quote.locked),
        initial_locked=_four(quote.initial_locked),
        trading_fee=str(quote.trading_fee),
        deadline_s=str(quote.deadline_s),
        parent_id=quote.parent_id,
        max_funding_rate=text_of(quote.max_funding_rate),
        terminal_block=quote.terminal_block,
    )


def bucket_body(bucket: Balances) -> BalancesBody:
    """What is written of balances."""
    return str(bucket.allocated), _four(bucket.locked), _four(bucket.pending)


def undo_body(block: int, undo: Undo, row_block: int, row_time_s: int, row_suspect: Suspect | None) -> UndoBody:
    """What is written of a block's undo; parts without a cell are absent.

    Args:
        block: The block that it takes back.
        undo: What it takes back of the state.
        row_block: The row's own ``block`` before that block.
        row_time_s: Its ``time_s``, Unix s.
        row_suspect: Its ``suspect``.
    """
    buckets = {party_b: None if bucket is None else bucket_body(bucket) for party_b, bucket in undo.party_b.items()}
    quotes = {str(quote_id): _some_of_quote(undo.quotes[quote_id]) for quote_id in sorted(undo.quotes)}
    return UndoBody(
        block=block,
        row_block=row_block,
        row_time_s=row_time_s,
        row_suspect=row_suspect,
        account=_some_of_account(undo.account) if undo.account else UNSET,
        party_b=buckets or UNSET,
        quotes=quotes or UNSET,
        removed=[quote_body(undo.removed[quote_id]) for quote_id in sorted(undo.removed)] or UNSET,
        added=list(undo.added) or UNSET,
    )


def _some_of_quote(cells: Cells) -> QuoteCells:
    return QuoteCells(**{name: _quote_column(name, value) for name, value in cells.items()})


def _quote_column(name: str, value: object) -> object:
    match value:
        case Locked():
            return _four(value)
        case int() if name in _AMOUNTS_OF_QUOTE:
            return str(value)
        case _:
            return value


def _some_of_account(cells: Cells) -> AccountCells:
    return AccountCells(**{name: _account_column(name, value) for name, value in cells.items()})


def _account_column(name: str, value: Any) -> object:  # noqa: ANN401 - a cell of any type
    match name:
        case "balances":
            return bucket_body(value)
        case "reimbursement":
            return str(value)
        case "liquidation_prices":
            return _prices_body(value)
        case _:
            return value


def _four(locked: Locked) -> Four:
    cva, lf, party_amm, party_bmm = locked
    return str(cva), str(lf), str(party_amm), str(party_bmm)


def _prices_body(prices: Mapping[int, int]) -> dict[str, str]:
    return {str(symbol_id): str(prices[symbol_id]) for symbol_id in sorted(prices)}


def _cells(columns: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(columns).items() if value is not UNSET}


def _by_id(quotes: list[Quote]) -> dict[int, Quote]:
    return {quote.quote_id: quote for quote in quotes}


_AMOUNTS_OF_QUOTE = frozenset(name for name, kind in get_type_hints(QuoteBody).items() if kind in {str, str | None})
