"""The bodies of SYMMIO's own rows as types, table by table, and what it adds to rows of ``valuations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from models.row_bodies import E18, Address, Amount, Position, ValuationBody

Four = tuple[Amount, Amount, Amount, Amount]
"""cva, lf, amm and bmm."""

Balances = tuple[Amount, Four, Four]
"""Allocated, locked and pending."""


def some_columns(name: str, kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Make a type of the columns of another, of which any may be absent.

    Args:
        name: What the type is called.
        kind: The other; whether more columns are refused is as it says.
    """
    hints = get_type_hints(kind, include_extras=True)
    return msgspec.defstruct(
        name,
        [(one, hints[one] | UnsetType, UNSET) for one in kind.__struct_fields__],
        module=kind.__module__,
        namespace={"__doc__": f"Columns of ``{kind.__name__}``, any of which may be absent."},
        forbid_unknown_fields=kind.__struct_config__.forbid_unknown_fields,
    )


class QuoteRoutesBody(msgspec.Struct, forbid_unknown_fields=True):
    """To whom a quote's logs go: [log offset from which on, account, symbol id], the last four."""

    routes: list[tuple[int, Address, int]]


class MarketBody(msgspec.Struct, forbid_unknown_fields=True):
    """A market's settings on chain; null where no log said them."""

    name: str
    is_valid: bool | None
    min_acceptable_quote_value: Amount | None
    min_acceptable_portion_lf: Amount | None
    trading_fee: Amount | None
    max_leverage: Amount | None
    funding_rate_epoch_duration_s: int | None
    funding_rate_window_s: int | None


class QuoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """One quote, named as the contract's struct names it (``models.symmio.state.Quote``)."""

    quote_id: int
    symbol_id: int
    position_type: int
    order_type: int
    status: int
    party_b: Address
    whitelist: list[Address]
    requested_open_price: Amount
    market_price: Amount
    opened_price: E18
    initial_opened_price: E18
    quantity: Amount
    closed_amount: Amount
    avg_closed_price: Amount
    avg_closed_known: bool
    requested_close_price: Amount
    quantity_to_close: Amount
    locked: Four
    initial_locked: Four
    trading_fee: Amount
    deadline_s: Amount
    parent_id: int
    max_funding_rate: Amount | None
    terminal_block: int | None


class AccountColumnsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The columns of a state that are of the account alone."""

    owner: Address | None
    multi_account: Address | None
    name: str | None
    balances: Balances
    reimbursement: Amount
    liquidating: bool
    liquidation_prices: dict[str, Amount]


class StateBody(AccountColumnsBody, forbid_unknown_fields=True):
    """An account as of a block: its balances, those with each party B, and its quotes by id."""

    party_b: dict[Address, Balances]
    quotes: list[QuoteBody]


if TYPE_CHECKING:
    QuoteCells = AccountCells = msgspec.Struct
else:
    QuoteCells = some_columns("QuoteCells", QuoteBody)
    AccountCells = some_columns("AccountCells", AccountColumnsBody)


class UndoBody(msgspec.Struct, forbid_unknown_fields=True):
    """What takes one block back: the cells that it changed, as they were before."""

    block: int
    row_block: int
    row_time_s: int
    row_suspect: tuple[str, Position] | None
    account: AccountCells | UnsetType = UNSET
    party_b: dict[Address, Balances | None] | UnsetType = UNSET
    quotes: dict[str, QuoteCells] | UnsetType = UNSET
    removed: list[QuoteBody] | UnsetType = UNSET
    added: list[int] | UnsetType = UNSET


class AccountBody(msgspec.Struct, forbid_unknown_fields=True):
    """An account as of the last record folded (``models.symmio.account.AccountRow``)."""

    applied: Position
    block: int
    time_s: int
    state: StateBody
    undo: list[UndoBody]
    suspect: tuple[str, Position] | None


class FinishedQuoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """The last state of a quote that ended, and the log offset at which it was final."""

    quote: QuoteBody
    position: Position


class SymmioValuationBody(ValuationBody, kw_only=True):
    """A row of ``valuations`` of a SYMMIO account (``models.symmio.valuation``)."""

    block: int
    time_s: int
    upnl_capped: E18 | None
    notional_opened: Amount | None
    available_for_quote: E18 | None
    allocated: Amount | None
    locked: Four | None
    pending: Four | None
    liquidating: bool
    pending_quotes: list[dict[str, Any]]
    party_b: dict[Address, Balances]
    multi_account: Address | None
    name: str | None


class StatesBody(msgspec.Struct, forbid_unknown_fields=True):
    """An account's newest position states (``models.symmio.position_states``); absent columns are not known."""

    applied: tuple[int, int, int]
    count: int
    quotes: dict[str, int]
    states: list[dict[str, Any]]


BODIES: dict[str, type[msgspec.Struct]] = {
    "quotes": QuoteRoutesBody,
    "markets": MarketBody,
    "accounts": AccountBody,
    "quote-history": FinishedQuoteBody,
    "valuations": SymmioValuationBody,
    "position-states": StatesBody,
}
"""The type of each table's bodies."""
