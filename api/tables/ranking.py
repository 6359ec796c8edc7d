"""All accounts, kept sorted by several figures, so that a page of them takes no longer the more accounts there are."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from enum import StrEnum
from sys import intern
from typing import TYPE_CHECKING, NamedTuple, assert_never

import msgspec

from api.tables.backlog import Backlog
from api.tables.turns import next_turn
from models.body_reader import NOT_DECODED, no_row
from models.codec import ORDER_BYTES
from models.engine.tables import VALUATIONS
from models.ids import split_key
from models.valuations import NO_ACCOUNT
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from api.tables.feeds import Feeds

UNREADABLE = "unreadable"
"""Status of an account whose row does not decode: its figures are unknown."""

# Decoding a row and sorting it in takes some 10 µs.
_ROWS_BETWEEN_YIELDS = 50
# No id is longer.
_ID_BYTES = 64
# Looking at a line takes some 0.3 µs.
_LINES_BETWEEN_YIELDS = 1_500


class Sort(StrEnum):
    """What accounts can be ordered by."""

    UPNL = "upnl"
    NOTIONAL = "notional"
    DISTANCE = "distance_bps"
    ADDRESS = "address"
    OWNER = "owner"


class Order(NamedTuple):
    """An order of accounts. Those whose figure is unknown come last, whichever the direction."""

    sort: Sort
    is_descending: bool


Entry = tuple[bool, int, bytes]
"""An account's place in an order: whether its figure is unknown, the figure, and the account's key.

The figure's sign is turned in a descending order, so that entries of every order are sorted ascending."""


# Structs that the garbage collector passes over: with 100,000 accounts it would stop everything for 100 ms.
class Line(msgspec.Struct, frozen=True, gc=False):
    """What an account is chosen and sorted by. Money is 1e18-scaled; None stands for a figure that is unknown."""

    deployment: str
    address: int
    status: str
    owner: str | None = None
    upnl_e18: int | None = None
    notional_e18: int | None = None
    distance_bps: int | None = None
    liquidatable: bool | None = None
    symbols: tuple[int | str, ...] = ()


class _Position(msgspec.Struct, gc=False):
    symbol: int | str


class _Body(msgspec.Struct):
    status: str
    upnl: str | None
    notional: str | None
    distance_bps: int | None
    liquidatable: bool | None
    positions: list[_Position]
    owner: str | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


_BY_OWNER = Order(Sort.OWNER, is_descending=False)


class Accounts:
    """The accounts of the ``valuations`` table, in every order that was asked for.

    Rows that changed are read when somebody asks, not when they come.

    Args:
        feeds: The tables.
    """

    def __init__(self, feeds: Feeds) -> None:
        self._rows = feeds.valuations.rows
        self._backlog = Backlog(feeds.valuations, _ROWS_BETWEEN_YIELDS)
        self._lines: dict[bytes, Line] = {}
        self._unreadable: set[bytes] = set()
        self._rankings: dict[Order, list[Entry]] = {}
        self._ranking_now = asyncio.Lock()

    async def unreadable(self, is_counted: Callable[[bytes, Line], bool]) -> int:
        """Count the accounts whose rows could not be read when they were last walked through.

        Args:
            is_counted: Tells by an account's key and line whether it counts.
        """
        count = 0
        for number, key in enumerate(tuple(self._unreadable), start=1):
            line = self._lines.get(key)
            count += line is not None and is_counted(key, line)
            if number % _LINES_BETWEEN_YIELDS == 0:
                await next_turn()
        return count

    async def walk(
        self,
        order: Order,
        start: Entry | None,
        is_wanted: Callable[[bytes, Line], bool],
        owner: str | None = None,
    ) -> AsyncIterator[tuple[Entry, Line]]:
        """Yield the wanted accounts in an order, as they were when the walk began.

        Args:
            order: The order.
            start: The place to begin at; None begins with the first account.
            is_wanted: Tells by an account's key and line whether it is wanted.
            owner: Where ``is_wanted`` takes only this owner's accounts; the others are then not looked at.
        """
        entries = await (self._ranked(order) if owner is None else self._of_owner(order, owner))
        lines = self._lines
        at = 0 if start is None else bisect_left(entries, start)
        for number in range(at, len(entries)):
            entry = entries[number]
            line = lines.get(entry[2])
            if line is not None and is_wanted(entry[2], line):
                yield entry, line
            if (number - at) % _LINES_BETWEEN_YIELDS == _LINES_BETWEEN_YIELDS - 1:
                await next_turn()

    async def _ranked(self, order: Order) -> list[Entry]:
        async with self._ranking_now:
            await self._backlog.catch_up(self._refresh)
            if order not in self._rankings:
                self._rankings[order] = await self._ranking(order)
            return self._rankings[order]

    async def _of_owner(self, order: Order, owner: str) -> list[Entry]:
        by_owner, number = await self._ranked(_BY_OWNER), _number(owner)
        first, last = (bisect_left(by_owner, (False, place, b"")) for place in (number, number + 1))
        if last - first > _LINES_BETWEEN_YIELDS:
            # Sorting so many at once would block the loop for longer than a walk through all accounts does.
            return await self._ranked(order)
        return sorted(_entry(order, key, self._lines[key]) for _, _, key in by_owner[first:last])

    def _refresh(self, keys: Iterable[bytes]) -> None:
        pairs = []
        for key in keys:
            before, row = self._lines.pop(key, None), self._rows.get(key)
            after = None if row is None else _line(key, row)
            self._unreadable.discard(key)
            if after is not None:
                self._lines[key] = after
                if after.status == UNREADABLE:
                    self._unreadable.add(key)
            pairs.append((key, before, after))
        for order, entries in self._rankings.items():
            gone, come = [], []
            for key, before, after in pairs:
                old = None if before is None else _entry(order, key, before)
                new = None if after is None else _entry(order, key, after)
                if old != new:
                    gone += [] if old is None else [old]
                    come += [] if new is None else [new]
            if gone or come:
                self._rankings[order] = _merged(entries, gone, come)

    async def _ranking(self, order: Order) -> list[Entry]:
        entries: list[Entry] = []
        come = []
        for key, line in list(self._lines.items()):
            come.append(_entry(order, key, line))
            if len(come) == _ROWS_BETWEEN_YIELDS:
                entries, come = _merged(entries, (), come), []
                await next_turn()
        return _merged(entries, (), come)


def entry_by_address(key: bytes) -> Entry:
    """The place of an account's key in the ascending order of addresses."""
    return False, _number(split_key(key)[1]), key


def _entry(order: Order, key: bytes, line: Line) -> Entry:
    value = _figure(order.sort, line)
    if value is None:
        return True, 0, key
    return False, -value if order.is_descending else value, key


def _figure(sort: Sort, line: Line) -> int | None:
    match sort:
        case Sort.UPNL:
            return line.upnl_e18
        case Sort.NOTIONAL:
            return line.notional_e18
        case Sort.DISTANCE:
            return line.distance_bps
        case Sort.ADDRESS:
            return line.address
        case Sort.OWNER:
            return None if line.owner is None else _number(line.owner)
    assert_never(sort)


def _merged(entries: list[Entry], gone: Iterable[Entry], come: Iterable[Entry]) -> list[Entry]:
    """A new list, so that a walk through the old one goes on undisturbed."""
    merged: list[Entry] = []
    at = 0
    for entry, is_new in sorted([*((entry, False) for entry in gone), *((entry, True) for entry in come)]):
        until = bisect_left(entries, entry, at)
        merged += entries[at:until]
        if is_new:
            merged.append(entry)
        at = until if is_new else until + 1
    merged += entries[at:]
    return merged


def _line(key: bytes, row: bytes) -> Line | None:
    deployment, address = split_key(key)
    deployment, number = intern(deployment), _number(address)
    try:
        body = _decode_body(memoryview(row)[ORDER_BYTES:])
        upnl_e18, notional_e18 = (None if text is None else int(text) for text in (body.upnl, body.notional))
    except (*NOT_DECODED, ValueError) as error:
        note_unreadable(VALUATIONS, key, row, no_row(row, VALUATIONS, error))
        return Line(deployment, number, UNREADABLE)
    if body.status == NO_ACCOUNT:
        return None
    return Line(
        deployment=deployment,
        address=number,
        status=intern(body.status),
        owner=None if body.owner is None else intern(body.owner),
        upnl_e18=upnl_e18,
        notional_e18=notional_e18,
        distance_bps=body.distance_bps,
        liquidatable=body.liquidatable,
        symbols=tuple({position.symbol for position in body.positions}),
    )


def _number(address: str) -> int:
    """Turn an id into a number; ids have numbers in the order of their texts, whatever their lengths."""
    return int.from_bytes(address.encode().ljust(_ID_BYTES, b"\0"))
