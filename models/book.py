"""Which accounts are to be valued anew as prices move: their exposures in float64 columns.

Floats only choose. What is served of the accounts that a book names is computed elsewhere, exactly, in integers.
"""

from __future__ import annotations

from array import array
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from models.places import Holders, Places, add_zeros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence

    from numpy.typing import NDArray

    from models.book_figures import Market, Shown

    Rows = NDArray[np.intp]

# A row has slots for as many markets as most accounts hold; one that holds more takes further rows. Wider rows would be
# stored and swept half empty, narrower ones would part more accounts.
_SLOTS = 4
# Rows come in pages. Of a page the slots lie in columns, first those that are the first of their rows: a sweep adds up
# columns in a tenth of the time that the sums of four neighbours take.
_PAGE_ROWS = 256
# A block's indices, marks and products are 0.5 MB each. Smaller blocks cost more in calls: at 4,096 rows a quarter.
_BLOCK_ROWS = 16_384
# A sweep costs 9 ns a row; a shift costs 15 ns a holder, and its calls as much as 1,500 holders.
_SHIFT_OVERHEAD_ROWS = 1_500
# A shift rounds a value by at most 3 x 2^-53 of the account's gross exposure, so 65,536 of them by 2.2e-11 if all err
# to one side. Then a sweep makes the values anew: at 500 shifts a second, 10 ms every two minutes for 1M accounts.
_SHIFTS_BEFORE_SWEEP = 65_536
# One by one a holder costs 0.6 µs; up to so many of them are done before NumPy's calls for one market are.
_NUDGE_HOLDERS = 48
# So near to liquidation, relative to the money involved, floats do not tell on which side an account is. It is 2.2e-11
# with room for an exposure that shrank to a fortieth since the last sweep.
_ROUNDING = 1e-9
# The contract truncates each quote's uPnL to 1e-18, the sum here does not; an account has far fewer than 1,000 quotes.
_TRUNCATION = 1e-15

_MOVED, _TOLD, _WATCHED, _PUBLISHED = 1, 2, 4, 8
_VALUE, _LOW, _HIGH, _FLOOR = range(4)
_STATE = 4


class ExposureBook:
    """The exposures of many accounts, and which of their published rows no longer say what they should.

    An account has moved when a mark of one of its markets did, or it was put, since it was published: then its row is
    out of date, for as long as it has moved. One that has moved is due if it is watched; if its uPnL is further than
    the deadband from the published one; if its liquidatable flag may be another; if one of its markets became known or
    unknown; or if it was put. It is told once, and not again until it is published or put: who is told keeps it until
    then. Times are those of one clock, in s.

    An account's value is its sum of signed amount x mark. That is uPnL plus the cost of opening, which only ``put``
    changes. An unknown mark counts as 0.

    An account of four markets takes about 260 bytes beside its key. A call of ``reprice`` costs 25 µs beside what it
    does for holders, so one book for all partitions of a process is cheaper than one for each.

    Args:
        deadband: Share of its notional by which an account's uPnL may move unseen, such as 0.0005; >= 0.
    """

    def __init__(self, deadband: float) -> None:
        self._deadband = deadband
        self._watched: set[bytes] = set()
        # Market 0 is that of empty slots: nobody holds it, and at its mark, 0, what stood in a slot before is nothing.
        self._index_of: dict[Market, int] = {}
        self._marks = array("d", (0.0,))
        self._holders = [Holders()]
        self._places = Places()
        # Columns of slots. The place is where the market's holders have the account.
        self._slot_market = array("i")
        self._slot_signed = array("d")
        self._slot_place = array("i")
        # Columns of rows. Value, low, high and floor lie side by side: a holder costs one cache miss, not four. Outside
        # of low to high the account is due; below the floor it can be liquidated.
        self._state = array("d")
        self._moved_s = array("d")  # since when it has moved, -inf of one that was put; of one that has not, anything
        self._flags = bytearray()
        self._first_row = array("i")  # the row of the account that a further row belongs to; 0 for all other rows
        self._further_rows: dict[int, list[int]] = {}
        self._row_of: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._free_rows: list[int] = []
        self._shifts = 0
        self._grow()
        self._free_rows.pop()  # row 0 is nobody's

    def __len__(self) -> int:
        return len(self._row_of)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._row_of)

    def keys(self) -> KeysView[bytes]:
        """Every account."""
        return self._row_of.keys()

    @property
    def markets(self) -> KeysView[Market]:
        """Every market that any account held, or whose mark was given."""
        return self._index_of.keys()

    def mark(self, market: Market) -> float:
        """The mark of a market as it was given last, 0 where it was not."""
        return self._marks[self._index_of.get(market, 0)]

    def put(
        self, key: bytes, signed: Mapping[Market, float], cost: float, margin: float, *, slack: float = 0.0
    ) -> None:
        """Set or replace an account, at the marks that stand; it has moved, and is due at its markets' next move.

        It is overdue at any time: how long it has waited is not known here.

        Args:
            key: The account.
            signed: Sum of open amounts by market, longs less shorts, in whole units; 0 where they cancel out, for the
                account's row still shows that market's mark.
            cost: Sum of open amount x opened price, longs less shorts.
            margin: What is left before liquidation at a uPnL of 0: allocated less locked cva and liquidation fee.
            slack: How far the account's true value may lie below its sum of signed amount x mark, >= 0.
        """
        row = self._row_of.get(key)
        if row is None:
            row = self._row_of[key] = self._take_row()
            self._keys[row] = key
        at = row * _STATE
        self._state[at + _VALUE] = self._fill(row, signed)
        self._state[at + _LOW] = inf
        self._state[at + _HIGH] = -inf
        self._state[at + _FLOOR] = cost - margin + slack
        self._moved_s[row] = -inf
        self._flags[row] = self._flags[row] & _PUBLISHED | (_MOVED | _WATCHED if key in self._watched else _MOVED)

    def watch(self, key: bytes) -> bool:
        """Let every move of an account make it due from now on; it need not be in the book yet.

        Returns:
            Whether it has moved: then its row is not what a watcher should see first.
        """
        self._watched.add(key)
        row = self._row_of.get(key)
        if row is None:
            return False
        self._flags[row] |= _WATCHED
        return bool(self._flags[row] & _MOVED)

    def unwatch(self, key: bytes) -> None:
        """Let an account move within its deadband unseen again."""
        self._watched.discard(key)
        row = self._row_of.get(key)
        if row is not None:
            self._flags[row] &= ~_WATCHED

    def published(self, key: bytes, shown: Shown | None, slack: float = 0.0) -> None:
        """Say what an account's row shows, at the marks of the last ``reprice``; it has not moved since.

        Args:
            key: The account.
            shown: None where the row has no figures, so that a move of marks would not be seen in it.
            slack: That with which it was put.

        Raises:
            KeyError: The account is not in the book.
        """
        row = self._row_of[key]
        low, high = -inf, inf
        if shown is not None:
            floor = self._state[row * _STATE + _FLOOR]
            value, band = floor - slack + shown.available, self._deadband * shown.notional
            rounding = _ROUNDING * (shown.notional + abs(floor)) + _TRUNCATION
            low, high = value - band, value + band
            if shown.available < 0:
                high = min(high, floor - rounding)
            else:
                low = max(low, floor + rounding)
        self._state[row * _STATE + _LOW] = low
        self._state[row * _STATE + _HIGH] = high
        self._flags[row] = self._flags[row] & _WATCHED | _PUBLISHED

    def reprice(self, marks: Mapping[Market, float], at_s: float) -> list[bytes]:
        """Take marks in.

        Args:
            marks: In whole units, 0 where unknown. A mark that stands already moves nobody.
            at_s: Since when they stand.

        Returns:
            The accounts that are due, each once. All are looked at where much moved, else only the holders of markets
            that moved.
        """
        moved: list[tuple[int, float]] = []
        moved_holders = 0
        for market, mark in marks.items():
            index = self._index_of.get(market) or self._add_market(market)
            before, self._marks[index] = self._marks[index], mark
            holders = self._holders[index].count
            if mark == before or not holders:
                continue
            if not mark or not before:
                self._void_bands(index)
            moved.append((index, mark - before))
            moved_holders += holders
        self._shifts += len(moved)
        is_rounded = self._shifts > _SHIFTS_BEFORE_SWEEP
        if moved_holders <= _NUDGE_HOLDERS and not is_rounded:
            return self._nudge(moved, at_s)
        if is_rounded or moved_holders + _SHIFT_OVERHEAD_ROWS * len(moved) > len(self._flags):
            suspects = self._sweep([index for index, _ in moved], at_s)
        else:
            suspects = [rows for index, delta in moved for rows in self._shift(index, delta, at_s)]
        return [key for rows in suspects for key in self._tell(rows)]

    def touch(self, market: Market, at_s: float) -> list[bytes]:
        """Say that what rows show of a market's mark changed, though not the mark: its source, or that it is stale.

        Args:
            market: The market.
            at_s: Since when.

        Returns:
            The holders that are due.
        """
        rows = self._rows_holding(self._index_of.get(market, 0))
        self._move(rows[self._flags_view()[rows] & _MOVED == 0], at_s)
        return self._tell(rows)

    def tell(self, keys: Iterable[bytes]) -> list[bytes]:
        """Tell accounts whatever their values are, and return those that were not told before."""
        told = []
        for key in keys:
            row = self._row_of[key]
            if not self._flags[row] & _TOLD:
                if not self._flags[row] & _MOVED:
                    self._moved_s[row] = -inf
                self._flags[row] |= _MOVED | _TOLD
                told.append(key)
        return told

    def is_pressing(self, key: bytes) -> bool:
        """Whether an account that is due should not wait: it is watched, or may have become liquidatable or recovered.

        The latter nobody knows of one that was never published, as all are after a takeover: that one can wait.

        Raises:
            KeyError: The account is not in the book.
        """
        row = self._row_of[key]
        if self._flags[row] & _WATCHED:
            return True
        value, _, high, floor = self._state[row * _STATE : row * _STATE + _STATE]
        return bool(self._flags[row] & _PUBLISHED) and high < inf and (value < floor) != (high < floor)

    def pressing(self) -> list[bytes]:
        """The accounts that were told and not published since, and should not wait any longer; looks at all."""
        state, flags = self._state_view(), self._flags_view()
        presses = (state[:, _VALUE] < state[:, _FLOOR]) != (state[:, _HIGH] < state[:, _FLOOR])
        presses &= state[:, _HIGH] < inf
        presses &= flags & _PUBLISHED != 0
        presses |= flags & _WATCHED != 0
        presses &= flags & (_MOVED | _TOLD) == _MOVED | _TOLD
        return [self._keys[row] for row in np.flatnonzero(presses).tolist()]

    def forget_published(self) -> None:
        """Take every account for one of which nothing was ever published."""
        self._flags_view()[:] &= 0xFF ^ _PUBLISHED

    def was_published(self, key: bytes) -> bool:
        """Whether ``published`` was called for an account since it was put first.

        Raises:
            KeyError: The account is not in the book.
        """
        return bool(self._flags[self._row_of[key]] & _PUBLISHED)

    def oldest_s(self) -> float | None:
        """Since when the row is out of date that has been so for longest; None where none is. Looks at all.

        Accounts that were put are not among them: nobody knows since when.
        """
        moved_s = np.frombuffer(self._moved_s)
        is_late = (self._flags_view() & _MOVED == _MOVED) & (moved_s > -inf)
        return float(moved_s[is_late].min()) if is_late.any() else None

    def overdue(self, before_s: float) -> list[bytes]:
        """Tell the accounts that have moved since before a time, or were put; looks at all."""
        is_overdue = np.frombuffer(self._moved_s) < before_s
        is_overdue &= self._flags_view() & (_MOVED | _TOLD) == _MOVED
        return self._told(np.flatnonzero(is_overdue))

    def _nudge(self, moved: Sequence[tuple[int, float]], at_s: float) -> list[bytes]:
        """Do one by one, for few holders, what ``_shift`` does for many."""
        state, flags = self._state, self._flags
        touched: dict[int, None] = {}
        for index, delta in moved:
            for row, signed in self._places.each(self._holders[index]):
                state[row * _STATE] += signed * delta
                if not flags[row] & _MOVED:
                    flags[row] |= _MOVED
                    self._moved_s[row] = at_s
                touched[row] = None
        due = []
        for row in touched:
            value, low, high, _ = state[row * _STATE : row * _STATE + _STATE]
            if not flags[row] & _TOLD and (flags[row] & _WATCHED or not low <= value <= high):
                flags[row] |= _TOLD
                due.append(self._keys[row])
        return due

    def _shift(self, index: int, delta: float, at_s: float) -> Iterator[Rows]:
        """Move the values of a market's holders by what its mark moved; yield those that may be due."""
        state, values, flags = self._state_view(), np.frombuffer(self._state), self._flags_view()
        rows = self._rows_holding(index)
        moves = self._places.signed(self._holders[index]) * delta
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            found, seen = state.take(block, axis=0, mode="clip"), flags.take(block, mode="clip")
            value = found[:, _VALUE] + moves[start : start + _BLOCK_ROWS]
            values[block * _STATE + _VALUE] = value
            self._move(block[seen & _MOVED == 0], at_s)
            seen |= _MOVED
            yield block[_are_due(value, found, seen)]

    def _sweep(self, moved: Sequence[int], at_s: float) -> list[Rows]:
        """Make all values anew from all marks; return the rows that may be due."""
        self._shifts = 0
        state, flags, marks = self._state_view(), self._flags_view(), np.array(self._marks)
        slot_market = np.frombuffer(self._slot_market, np.intc).reshape(-1, _SLOTS, _PAGE_ROWS)
        slot_signed = np.frombuffer(self._slot_signed).reshape(-1, _SLOTS, _PAGE_ROWS)
        has_moved = np.zeros(len(marks), np.bool_)
        has_moved[moved] = True
        suspects = []
        for start in range(0, len(flags), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            pages = slice(start // _PAGE_ROWS, (start + _BLOCK_ROWS) // _PAGE_ROWS)
            market = slot_market[pages]
            product = marks.take(market, mode="clip")
            product *= slot_signed[pages]
            product[:, 0::2] += product[:, 1::2]
            value = (product[:, 0] + product[:, 2]).ravel()
            state[rows, _VALUE] = value
            # The others have moved already. One that has not was published since, at a thousand times this cost.
            fresh = np.flatnonzero(flags[rows] & _MOVED == 0)
            if fresh.size:
                held = market[fresh // _PAGE_ROWS, :, fresh % _PAGE_ROWS]
                self._move(start + fresh[has_moved.take(held, mode="clip").any(axis=1)], at_s)
            suspects.append(start + np.flatnonzero(_are_due(value, state[rows], flags[rows])))
        first_row = np.frombuffer(self._first_row, np.intc)
        further = np.flatnonzero(first_row)
        first = first_row[further].astype(np.intp)
        np.add.at(state[:, _VALUE], first, state[further, _VALUE])
        moved_first = first[flags[further] & _MOVED != 0]
        self._move(moved_first[flags[moved_first] & _MOVED == 0], at_s)
        flags[further] = 0
        return [*suspects, np.unique(first)]

    def _move(self, fresh: Rows, at_s: float) -> None:
        """Let rows have moved that had not."""
        if fresh.size:
            np.frombuffer(self._moved_s)[fresh] = at_s
            self._flags_view()[fresh] |= _MOVED

    def _tell(self, rows: Rows) -> list[bytes]:
        # Due after one of its markets moved, an account may not be so after the last. One of several rows was looked at
        # before they were added up.
        state, flags = self._state_view().take(rows, axis=0), self._flags_view().take(rows)
        return self._told(rows[_are_due(state[:, _VALUE], state, flags)])

    def _told(self, rows: Rows) -> list[bytes]:
        self._flags_view()[rows] |= _TOLD
        return [self._keys[row] for row in rows.tolist()]

    def _void_bands(self, index: int) -> None:
        rows, state = self._rows_holding(index), self._state_view()
        state[rows, _LOW] = inf
        state[rows, _HIGH] = -inf

    # An array cannot grow while a view of it lives, so views end with the call that makes them.
    def _state_view(self) -> NDArray[np.float64]:
        return np.frombuffer(self._state).reshape(-1, _STATE)

    def _flags_view(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._flags, np.uint8)

    def _rows_holding(self, index: int) -> Rows:
        return self._places.rows(self._holders[index])

    def _add_market(self, market: Market) -> int:
        index = self._index_of[market] = len(self._marks)
        self._marks.append(0.0)
        self._holders.append(Holders())
        return index

    def _fill(self, row: int, signed: Mapping[Market, float]) -> float:
        """Make an account's slots say what it holds, in further rows where it holds much; return its value."""
        if len(signed) <= len(self._further_rows.get(row, ())) * _SLOTS:
            self._clear(row)
        value = 0.0
        left: dict[int, float] = {}
        for market, amount in signed.items():
            index = self._index_of.get(market) or self._add_market(market)
            left[index] = amount
            value += amount * self._marks[index]
        empty: list[int] = []
        for slot in self._slots_of(row):
            index = self._slot_market[slot]
            if index in left:
                amount = left.pop(index)
                self._slot_signed[slot] = amount
                self._places.set_signed(self._slot_place[slot], amount)
                continue
            if index:
                self._leave(slot)
            empty.append(slot)
        for index, amount in left.items():
            if not empty:
                empty.extend(self._take_further_row(row))
            slot = empty.pop()
            self._slot_market[slot] = index
            self._slot_signed[slot] = amount
            self._slot_place[slot] = self._places.add(self._holders[index], row, amount)
        return value

    def _clear(self, row: int) -> None:
        """Empty an account's slots, and give its further rows back."""
        for slot in self._slots_of(row):
            if self._slot_market[slot]:
                self._leave(slot)
        for further in self._further_rows.pop(row, ()):
            self._first_row[further] = 0
            self._free_rows.append(further)

    def _leave(self, slot: int) -> None:
        index, place = self._slot_market[slot], self._slot_place[slot]
        self._slot_market[slot] = 0
        successor = self._places.remove(self._holders[index], place)
        if successor is not None:
            self._slot_place[next(at for at in self._slots_of(successor) if self._slot_market[at] == index)] = place

    def _slots_of(self, row: int) -> Sequence[int]:
        if row not in self._further_rows:
            return _slots_of_row(row)
        return [at for one in (row, *self._further_rows[row]) for at in _slots_of_row(one)]

    def _take_further_row(self, row: int) -> Sequence[int]:
        further = self._take_row()
        self._further_rows.setdefault(row, []).append(further)
        self._first_row[further] = row
        return self._slots_of(further)

    def _take_row(self) -> int:
        if not self._free_rows:
            self._grow()
        return self._free_rows.pop()

    def _grow(self) -> None:
        first, rows = len(self._flags), _PAGE_ROWS
        add_zeros(self._slot_market, rows * _SLOTS)
        add_zeros(self._slot_signed, rows * _SLOTS)
        add_zeros(self._slot_place, rows * _SLOTS)
        add_zeros(self._state, rows * _STATE)
        add_zeros(self._moved_s, rows)
        add_zeros(self._first_row, rows)
        self._flags.extend(bytes(rows))
        self._keys.extend([b""] * rows)
        self._free_rows.extend(range(first + rows - 1, first - 1, -1))


def _slots_of_row(row: int) -> range:
    page, at = divmod(row, _PAGE_ROWS)
    first = page * _PAGE_ROWS * _SLOTS + at
    return range(first, first + _PAGE_ROWS * _SLOTS, _PAGE_ROWS)


def _are_due(value: NDArray[np.float64], state: NDArray[np.float64], flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
    is_due = value < state[:, _LOW]
    is_due |= value > state[:, _HIGH]
    is_due |= flags & _WATCHED != 0
    is_due &= flags & (_MOVED | _TOLD) == _MOVED
    return is_due
