"""The storage of the simulated contracts: immutable records, of which each block's state is kept for views."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from tidemark.demo.versions import Reader, Versioned

ZERO_ADDRESS = "0x" + "00" * 20


class PositionType(IntEnum):
    """The direction in which a quote gains."""

    LONG = 0
    SHORT = 1


class OrderType(IntEnum):
    """Whether a quote waits for its price."""

    LIMIT = 0
    MARKET = 1


class Status(IntEnum):
    """The state of a quote, with the contract's own numbers."""

    PENDING = 0
    LOCKED = 1
    CANCEL_PENDING = 2
    CANCELED = 3
    OPENED = 4
    CLOSE_PENDING = 5
    CANCEL_CLOSE_PENDING = 6
    CLOSED = 7
    LIQUIDATED = 8
    EXPIRED = 9
    LIQUIDATED_PENDING = 10


WAITING = frozenset(
    {Status.PENDING, Status.LOCKED, Status.CANCEL_PENDING, Status.CLOSE_PENDING, Status.CANCEL_CLOSE_PENDING}
)
OPEN = frozenset({Status.OPENED, Status.CLOSE_PENDING, Status.CANCEL_CLOSE_PENDING})


class Severity(IntEnum):
    """How far below zero a liquidated account was."""

    NONE = 0
    NORMAL = 1
    LATE = 2
    OVERDUE = 3


class Locked(NamedTuple):
    """The four locked amounts of a quote or a sum of them, in 1e18ths of the collateral."""

    cva: int = 0
    lf: int = 0
    party_a_mm: int = 0
    party_b_mm: int = 0

    def plus(self, other: Locked) -> Locked:
        """Add each amount."""
        return Locked(self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3])

    def minus(self, other: Locked) -> Locked:
        """Subtract each amount."""
        return Locked(self[0] - other[0], self[1] - other[1], self[2] - other[2], self[3] - other[3])

    def scaled(self, numerator: int, denominator: int) -> Locked:
        """Multiply each amount by ``numerator / denominator``, rounded down."""
        return Locked(
            self[0] * numerator // denominator,
            self[1] * numerator // denominator,
            self[2] * numerator // denominator,
            self[3] * numerator // denominator,
        )

    @property
    def for_party_a(self) -> int:
        """What party A must set aside."""
        return self.cva + self.lf + self.party_a_mm

    @property
    def for_party_b(self) -> int:
        """What party B must set aside."""
        return self.cva + self.lf + self.party_b_mm


class Symbol(NamedTuple):
    """A market as ``getSymbols`` answers it, with the fields in the contract's order."""

    symbol_id: int
    name: str
    is_valid: bool
    min_acceptable_quote_value: int
    min_acceptable_portion_lf: int
    trading_fee: int
    max_leverage: int
    funding_epoch_s: int
    funding_window_s: int


class Quote(NamedTuple):
    """A quote; the fields up to ``affiliate`` are those of ``getQuote``. Prices and amounts in 1e18ths."""

    quote_id: int
    whitelist: tuple[str, ...]
    symbol_id: int
    position_type: PositionType
    order_type: OrderType
    opened_price: int
    initial_opened_price: int
    requested_open_price: int
    market_price: int
    quantity: int
    closed_amount: int
    initial_locked: Locked
    locked: Locked
    max_funding_rate: int
    party_a: str
    party_b: str
    status: Status
    avg_closed_price: int
    requested_close_price: int
    quantity_to_close: int
    parent_id: int
    created_s: int
    modified_s: int
    last_funding_s: int
    deadline_s: int
    trading_fee: int
    affiliate: str
    close_id: int

    @property
    def open_amount(self) -> int:
        """The quantity that is not closed yet."""
        return self.quantity - self.closed_amount

    @property
    def fee(self) -> int:
        """The platform's fee for the quantity that is not closed yet, rounded down."""
        price = self.requested_open_price if self.order_type is OrderType.LIMIT else self.market_price
        return self.open_amount * price * self.trading_fee // 10**36

    def profit(self, price: int, amount: int) -> int:
        """Return party A's gain on ``amount`` at ``price``, negative for a loss, truncated toward zero."""
        size = abs(price - self.opened_price) * amount // 10**18
        gains = (price > self.opened_price) == (self.position_type is PositionType.LONG)
        return size if gains else -size


class PartyA(NamedTuple):
    """A trading account's bookkeeping. ``quotes_sent`` counts every quote it ever had, children included."""

    allocated: int = 0
    locked: Locked = Locked()
    pending: Locked = Locked()
    reimbursement: int = 0
    liquidated: bool = False
    nonce: int = 0
    quotes_sent: int = 0
    pending_quotes: tuple[int, ...] = ()
    open_quotes: tuple[int, ...] = ()


class Pair(NamedTuple):
    """A hedger's bookkeeping towards one trading account."""

    allocated: int = 0
    locked: Locked = Locked()
    pending: Locked = Locked()
    nonce: int = 0
    pending_quotes: tuple[int, ...] = ()
    open_quotes: tuple[int, ...] = ()


class Settlement(NamedTuple):
    """What a liquidated account and one hedger owe each other; ``actual`` is positive where the hedger pays."""

    actual: int = 0
    expected: int = 0
    cva: int = 0


class Liquidation(NamedTuple):
    """A liquidation under way. ``prices`` by symbol id; ``settlements`` by hedger; amounts in 1e18ths."""

    liquidation_id: bytes = b""
    severity: Severity = Severity.NONE
    upnl: int = 0
    total_unrealized_loss: int = 0
    deficit: int = 0
    fee: int = 0
    time_s: int = 0
    accumulated_upnl: int = 0
    liquidators: tuple[str, ...] = ()
    prices: tuple[tuple[int, int], ...] = ()
    settlements: tuple[tuple[str, Settlement], ...] = ()


class SubAccount(NamedTuple):
    """One entry of a MultiAccount's list for a user."""

    address: str
    name: str


class Ledger:
    """The storage of the Diamond and the MultiAccounts, at the newest block and at every block before it.

    Attributes:
        waiting: Quotes that wait for a hedger or for their deadline.
        liquidating: Accounts in liquidation.
    """

    def __init__(self) -> None:
        self.counters: Versioned[str, int] = Versioned(0)
        self.symbols: Versioned[int, Symbol | None] = Versioned(None)
        self.quotes: Versioned[int, Quote | None] = Versioned(None)
        self.party_as: Versioned[str, PartyA] = Versioned(PartyA())
        self.pairs: Versioned[tuple[str, str], Pair] = Versioned(Pair())
        self.balances: Versioned[str, int] = Versioned(0)
        self.liquidations: Versioned[str, Liquidation] = Versioned(Liquidation())
        self.sub_accounts: Versioned[tuple[str, str], tuple[SubAccount, ...]] = Versioned(())
        self.owners: Versioned[tuple[str, str], str] = Versioned(ZERO_ADDRESS)
        self.waiting: set[int] = set()
        self.liquidating: set[str] = set()

        self._tables: tuple[Versioned[Any, Any], ...] = (
            self.counters,
            self.symbols,
            self.quotes,
            self.party_as,
            self.pairs,
            self.balances,
            self.liquidations,
            self.sub_accounts,
            self.owners,
        )

    def begin(self, block: int) -> None:
        """Start a block, to which all that is written from now on belongs."""
        for table in self._tables:
            table.begin(block)

    def undo(self) -> None:
        """Return to the end of the block before the current one."""
        for table in self._tables:
            table.undo()
        self.waiting = {i for i in self.quotes if (q := self.quotes[i]) is not None and q.status in WAITING}
        self.liquidating = {a for a in self.party_as if self.party_as[a].liquidated}

    def quote(self, quote_id: int) -> Quote:
        """Return a quote that exists."""
        quote = self.quotes[quote_id]
        if quote is None:
            raise KeyError(quote_id)
        return quote

    def symbol(self, symbol_id: int) -> Symbol:
        """Return a symbol that exists."""
        symbol = self.symbols[symbol_id]
        if symbol is None:
            raise KeyError(symbol_id)
        return symbol

    def put_quote(self, quote: Quote) -> None:
        """Store a quote."""
        self.quotes[quote.quote_id] = quote
        if quote.status in WAITING:
            self.waiting.add(quote.quote_id)
        else:
            self.waiting.discard(quote.quote_id)

    def put_party_a(self, account: str, party: PartyA) -> None:
        """Store an account."""
        self.party_as[account] = party
        if party.liquidated:
            self.liquidating.add(account)
        else:
            self.liquidating.discard(account)

    def next_id(self, counter: str) -> int:
        """Count one up and return the count."""
        self.counters[counter] += 1
        return self.counters[counter]


class Past:
    """The ledger at the end of ``block``."""

    def __init__(self, ledger: Ledger, block: int) -> None:
        self.counters: Reader[str, int] = ledger.counters.at(block)
        self.symbols: Reader[int, Symbol | None] = ledger.symbols.at(block)
        self.quotes: Reader[int, Quote | None] = ledger.quotes.at(block)
        self.party_as: Reader[str, PartyA] = ledger.party_as.at(block)
        self.pairs: Reader[tuple[str, str], Pair] = ledger.pairs.at(block)
        self.balances: Reader[str, int] = ledger.balances.at(block)
        self.liquidations: Reader[str, Liquidation] = ledger.liquidations.at(block)
        self.sub_accounts: Reader[tuple[str, str], tuple[SubAccount, ...]] = ledger.sub_accounts.at(block)
        self.owners: Reader[tuple[str, str], str] = ledger.owners.at(block)
