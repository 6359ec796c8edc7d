"""What is open and pending with the solver's own hedgers, by symbol, and which sub-accounts each owner has.

It follows the ``valuations`` rows. The ``subtotals`` table cannot serve for caps: its sums are over all hedgers, and at
the marks of each row's moment, while a cap concerns one solver's hedgers at the current mark. So quantities are summed
here. These change only with an account's own blocks: a row of which only figures changed is not decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import Gauge

from api.tables.backlog import Backlog
from models.body_reader import NOT_DECODED, no_row
from models.codec import ORDER_BYTES
from models.engine.tables import VALUATIONS
from models.errors import BadRow
from models.ids import split_key
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from prometheus_client import CollectorRegistry

    from api.tables.feeds import Feeds
    from streams.settings import SymmioSettings

# Reading the row of an account that changed takes some 15 µs: the loop is given to others after a few ms.
_ROWS_BETWEEN_YIELDS = 250


@dataclass(slots=True)
class Tally:
    """The number and the size of several quotes of one symbol.

    ``cost_e36`` is the sum of quantity x price: the opened price, or the requested one where none is opened yet.
    """

    quotes: int = 0
    quantity_e18: int = 0
    cost_e36: int = 0

    def add(self, sign: int, quantity_e18: int, price_e18: int) -> None:
        """Count one quote in or out.

        Args:
            sign: 1 counts it in, -1 out.
            quantity_e18: How much of it is not closed yet, 1e18-scaled, at least 0.
            price_e18: Its opened price, or the requested one while it is pending, 1e18-scaled.
        """
        self.quotes += sign
        self.quantity_e18 += sign * quantity_e18
        self.cost_e36 += sign * quantity_e18 * price_e18

    def worth_e36(self, mark_e18: int | None) -> int:
        """Value the quantity at the mark; where there is no mark, at what it cost."""
        return self.cost_e36 if mark_e18 is None else self.quantity_e18 * mark_e18


@dataclass(slots=True)
class Book:
    """One deployment's tallies of its own hedgers' quotes by symbol id, and its sub-accounts.

    ``sub_accounts`` maps (MultiAccount, owner) to addresses; all are in lower case.
    """

    open: dict[int, Tally] = field(default_factory=dict)
    pending: dict[int, Tally] = field(default_factory=dict)
    sub_accounts: dict[tuple[str, str], set[str]] = field(default_factory=dict)


class SubAccounts(NamedTuple):
    """An owner's sub-accounts, and why which rows of the deployment cannot be read, by key: they may be the owner's.

    Addresses are in lower case. A sub-account whose row was once read is in both.
    """

    known: Collection[str]
    unreadable: Mapping[bytes, str]

    def expect_all_read(self, may_read: Callable[[str], bool]) -> None:
        """Refuse to say that there is no other sub-account.

        Args:
            may_read: Whether the client may read an account, by its key; others are none to the client.

        Raises:
            BadRow: The row of an account that may be one cannot be read.
        """
        for key, cause in self.unreadable.items():
            if may_read(key.decode()):
                raise BadRow(cause)


# Structs that the garbage collector passes over: with 100,000 accounts it would stop everything for 100 ms.
class _Quote(msgspec.Struct, gc=False):
    symbol: int
    party_b: str | None
    quantity: str
    opened_price: str = "0"
    price: str = "0"
    whitelist: tuple[str, ...] = ()


class _Body(msgspec.Struct, gc=False):
    positions: list[_Quote]
    pending_quotes: list[_Quote]
    owner: str | None
    multi_account: str | None


class _Account(msgspec.Struct, frozen=True, gc=False):
    """One account's owner, and its quotes with the solver's hedgers.

    Quotes are (symbol id, quantity, price), the amounts 1e18-scaled.
    """

    order: bytes
    owned_by: tuple[str, str] | None
    open: tuple[tuple[int, int, int], ...]
    pending: tuple[tuple[int, int, int], ...]


_decode = msgspec.json.Decoder(_Body).decode


class Holdings:
    """Keeps each deployment's book up to date with the rows, whenever somebody asks for it.

    Args:
        deployments: Name the solver's own hedgers; where a deployment names none, every hedger counts as its own.
        feeds: The tables.
        registry: Takes the metric of open quotes without a price, which is set where a cap's use is worked out.
    """

    def __init__(self, deployments: Mapping[str, SymmioSettings], feeds: Feeds, registry: CollectorRegistry) -> None:
        self.unpriced = Gauge(
            "tidemark_api_unpriced_quotes",
            "Open quotes of the solver's hedgers that count at their opened price, for want of a mark",
            ["deployment"],
            registry=registry,
        )
        self._hedgers = {name: frozenset(one.hedgers) for name, one in deployments.items()}
        self._rows = feeds.valuations.rows
        self._books = {name: Book() for name in deployments}
        self._unreadable: dict[str, dict[bytes, str]] = {name: {} for name in deployments}
        self._accounts: dict[bytes, _Account] = {}
        self._backlog = Backlog(feeds.valuations, _ROWS_BETWEEN_YIELDS)

    async def of(self, deployment: str) -> Book:
        """Return a deployment's book as its rows are now; it is not to be changed.

        Raises:
            BadRow: A row of this deployment does not decode: what it has of any symbol is missing in the tallies.
        """
        book = await self._book(deployment)
        unreadable = self._unreadable[deployment]
        if unreadable:
            raise BadRow(next(iter(unreadable.values())))
        return book

    async def sub_accounts(self, deployment: str, multi_account: str, owner: str) -> SubAccounts:
        """Return an owner's sub-accounts, as far as rows can be read.

        Args:
            deployment: The deployment.
            multi_account: The contract that made them, in lower case.
            owner: The owner, in lower case.
        """
        book = await self._book(deployment)
        return SubAccounts(book.sub_accounts.get((multi_account, owner), ()), self._unreadable[deployment])

    async def _book(self, deployment: str) -> Book:
        await self._backlog.catch_up(self._refresh_all)
        return self._books[deployment]

    def _refresh_all(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            unreadable = self._unreadable.get(split_key(key)[0], {})
            unreadable.pop(key, None)
            try:
                self._refresh(key)
            except BadRow as error:
                # The other deployments' books are as good as before, and so is the backlog.
                unreadable[key] = str(error)
                note_unreadable(VALUATIONS, key, self._rows[key], error)

    def _refresh(self, key: bytes) -> None:
        deployment, address = split_key(key)
        book = self._books.get(deployment)
        if book is None:
            return
        row, before = self._rows.get(key), self._accounts.get(key)
        if row is not None and before is not None and row.startswith(before.order, ORDER_BYTES):
            return
        after = None if row is None else self._read(deployment, row)
        if before is not None:
            _count(book, before, -1)
            if before.owned_by is not None:
                _disown(book, before.owned_by, address)
            del self._accounts[key]
        if after is not None:
            _count(book, after, 1)
            if after.owned_by is not None:
                book.sub_accounts.setdefault(after.owned_by, set()).add(address)
            self._accounts[key] = after

    def _read(self, deployment: str, row: bytes) -> _Account:
        try:
            body = _decode(memoryview(row)[ORDER_BYTES:])
            open_quotes = tuple(
                (one.symbol, int(one.quantity), int(one.opened_price))
                for one in body.positions
                if self._is_own(deployment, one)
            )
            pending = tuple(
                (one.symbol, int(one.quantity), int(one.price))
                for one in body.pending_quotes
                if self._is_own(deployment, one)
            )
        except (*NOT_DECODED, ValueError) as error:
            raise no_row(row, VALUATIONS, error) from error
        owned_by = None if body.multi_account is None or body.owner is None else (body.multi_account, body.owner)
        # A row begins with the order of the account's own row; while that is the same, so are its quotes and its owner.
        return _Account(row[ORDER_BYTES : row.index(b"]", ORDER_BYTES) + 1], owned_by, open_quotes, pending)

    def _is_own(self, deployment: str, quote: _Quote) -> bool:
        hedgers = self._hedgers[deployment]
        if not hedgers:
            return True
        if quote.party_b is not None:
            return quote.party_b in hedgers
        return not quote.whitelist or not hedgers.isdisjoint(map(str.lower, quote.whitelist))


def _count(book: Book, account: _Account, sign: int) -> None:
    _add(book.open, account.open, sign)
    _add(book.pending, account.pending, sign)


def _add(tallies: dict[int, Tally], quotes: Iterable[tuple[int, int, int]], sign: int) -> None:
    for symbol_id, quantity_e18, price_e18 in quotes:
        tally = tallies.setdefault(symbol_id, Tally())
        tally.add(sign, quantity_e18, price_e18)
        if not tally.quotes:
            del tallies[symbol_id]


def _disown(book: Book, owned_by: tuple[str, str], address: str) -> None:
    addresses = book.sub_accounts[owned_by]
    addresses.discard(address)
    if not addresses:
        del book.sub_accounts[owned_by]
