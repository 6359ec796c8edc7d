"""The holders of each market: the accounts' rows in one column and their amounts in another, for all markets."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Rows = NDArray[np.intp]

# A market takes places in the columns page by page. A column for each of 500 markets would cost 20 to 70 MB more for 1M
# accounts, since arrays that grow leave holes in the heap. Larger pages would stay half empty in markets that few hold.
_PAGE_PLACES = 64


class Holders:
    """The pages on which a market's ``count`` holders are; only the last page may be partly filled."""

    __slots__ = ("count", "pages")

    def __init__(self) -> None:
        self.count = 0
        self.pages = array("i")


class Places:
    """The holders of all markets. A place holds an account's row and its signed amount."""

    def __init__(self) -> None:
        self._rows = array("i")
        self._signed = array("d")
        self._free_pages: list[int] = []

    def rows(self, holders: Holders) -> Rows:
        """Copy the rows of a market's holders, in the order of their places."""
        pages = np.frombuffer(self._rows, np.intc).reshape(-1, _PAGE_PLACES).take(holders.pages, axis=0)
        return pages.ravel()[: holders.count].astype(np.intp)

    def signed(self, holders: Holders) -> NDArray[np.float64]:
        """Copy the signed amounts of a market's holders, in the same order as ``rows``."""
        pages = np.frombuffer(self._signed).reshape(-1, _PAGE_PLACES).take(holders.pages, axis=0)
        return pages.ravel()[: holders.count]

    def each(self, holders: Holders) -> Iterator[tuple[int, float]]:
        """Yield row and signed amount of each of a market's holders."""
        for at in range(holders.count):
            page, place = divmod(at, _PAGE_PLACES)
            where = holders.pages[page] * _PAGE_PLACES + place
            yield self._rows[where], self._signed[where]

    def set_signed(self, place: int, signed: float) -> None:
        """Change the amount at a place."""
        self._signed[place] = signed

    def add(self, holders: Holders, row: int, signed: float) -> int:
        """Give one more holder of a market a place.

        Args:
            holders: The market's holders.
            row: The account's row in the book, 0 or more.
            signed: The account's amount in whole units, negative where it is short.

        Returns:
            The place, which is an index into the columns.
        """
        page, at = divmod(holders.count, _PAGE_PLACES)
        if not at:
            holders.pages.append(self._take_page())
        place = holders.pages[page] * _PAGE_PLACES + at
        self._rows[place] = row
        self._signed[place] = signed
        holders.count += 1
        return place

    def remove(self, holders: Holders, place: int) -> int | None:
        """Free a place by moving the last holder into it; return that holder's row, None where none had to move."""
        holders.count -= 1
        page, at = divmod(holders.count, _PAGE_PLACES)
        last = holders.pages[page] * _PAGE_PLACES + at
        if not at:
            self._free_pages.append(holders.pages.pop())
        if last == place:
            return None
        self._rows[place], self._signed[place] = self._rows[last], self._signed[last]
        return self._rows[place]

    def _take_page(self) -> int:
        if self._free_pages:
            return self._free_pages.pop()
        page = len(self._rows) // _PAGE_PLACES
        add_zeros(self._rows, _PAGE_PLACES)
        add_zeros(self._signed, _PAGE_PLACES)
        return page


def add_zeros(column: array[int] | array[float], count: int) -> None:
    """Lengthen a column by ``count`` zeros."""
    column.frombytes(bytes(count * column.itemsize))
