"""The bodies of SYMMIO's own rows as types, table by table, and what it adds to rows of ``valuations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from models.row_bodies import E18, Address, Amount, Position, UnixMs, ValuationBody

UnixSText = Annotated[str, Meta(pattern="^[0-9]+$", description="The decimal text of an integer >= 0, Unix s.")]
"""Contracts take any 256 bits for a deadline."""

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
    deadline_s: UnixSText
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

    class _Cells(msgspec.Struct):
        def __init__(self, **cells: object) -> None: ...

    class QuoteCells(_Cells):
        """Columns of ``QuoteBody``, any of which may be absent."""

    class AccountCells(_Cells):
        """The same of ``AccountColumnsBody``."""

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


class StateMadeFrom(msgspec.Struct, forbid_unknown_fields=True):
    """When a state last changed, and by which record of ``position-states-in``; those of the chain have ``at``."""

    at_ms: UnixMs
    partition: int | UnsetType = UNSET
    offset: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class PositionStateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A state as clients are told it; what is not known of it is absent. Times are Unix s, amounts plain decimals."""

    source: Annotated[str, Meta(description="chain or engine.")]
    id: str
    version: int
    at: Annotated[tuple[int, int, int], Meta(description="Of chain-blocks: offset, transaction, log.")] | UnsetType = (
        UNSET
    )
    block: int | UnsetType = UNSET
    create_time: int
    modify_time: int
    quote_id: int | UnsetType = UNSET
    temp_quote_id: int | UnsetType = UNSET
    symbol_id: int | UnsetType = UNSET
    filled_amount_open: str | UnsetType = UNSET
    filled_amount_close: str | UnsetType = UNSET
    avg_price_open: str | UnsetType = UNSET
    avg_price_close: str | UnsetType = UNSET
    last_seen_action: str
    action_status: str
    failure_type: str | UnsetType = UNSET
    failure_message: str | UnsetType = UNSET
    error_code: int | UnsetType = UNSET
    order_type: int | UnsetType = UNSET
    state_type: str
    said: Annotated[dict[str, list[int]], Meta(description="When the engine said which action.")] | UnsetType = UNSET
    seq: Annotated[int, Meta(description="The account's changes are numbered; this is the state's last.")]
    push: Annotated[bool, Meta(description="Whether it was news.")]
    due_ms: Annotated[int, Meta(description="Until then it waits, and is shown to nobody, Unix ms.")] | UnsetType = (
        UNSET
    )
    made_from: StateMadeFrom | UnsetType = UNSET


class StatesBody(msgspec.Struct, forbid_unknown_fields=True):
    """An account's newest position states (``models.symmio.position_states``), and quotes by their temporary ids."""

    applied: tuple[int, int, int]
    count: int
    quotes: dict[str, int]
    states: list[PositionStateBody]


BODIES: dict[str, type[msgspec.Struct]] = {
    "quotes": QuoteRoutesBody,
    "markets": MarketBody,
    "accounts": AccountBody,
    "quote-history": FinishedQuoteBody,
    "valuations": SymmioValuationBody,
    "position-states": StatesBody,
}
"""The type of each table's bodies."""
