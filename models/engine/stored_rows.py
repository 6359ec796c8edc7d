"""Rows as the engine reads them: one that cannot be read concerns its key alone, and ends nothing.

A worker that ended at such a row would find it again when it is started, and so would every other: no account of any
venue would be valued. So whoever reads a row says what its key is without one: a mark is unknown, an account suspect, a
row that follows from the next record is made anew. The new row goes on from the version of the one that it replaces,
whose first bytes say it even then, so that it stands above it wherever both are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from models.codec import decode_order
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# What a row counts is made of a record, which takes two bytes for each at least and has less than a megabyte; or of a
# valuation, which has less too. At a version a millisecond, the versions last for 30 years.
_COUNTED_OF_A_ROW_MAX = 1_000_000
_VERSIONS_MAX = 10**12


class NoteUnreadable(Protocol):
    """Is told of each row that was found not to be readable, as often as it is read."""

    def __call__(self, table: str, key: bytes, row: bytes, cause: BadRow, /) -> None:
        """Take note.

        Args:
            table: The row's table.
            key: Its key.
            row: The row, its order included.
            cause: Why it cannot be read.
        """


class StoredRows(Protocol):
    """The current rows of one partition of every table."""

    def read(self, table: str, key: bytes, /) -> bytes | None:
        """Read the row of a key as ``models.codec`` encodes it; None where there is none."""

    def note_unreadable(self, table: str, key: bytes, row: bytes, cause: BadRow, /) -> None:
        """Take note of a row that cannot be read; arguments are those of ``NoteUnreadable``."""


class Stored(NamedTuple, Generic[T]):
    """What a key's row says.

    ``version`` is that of the row, 0 where there is none. ``value`` is None where there is none, and where it cannot be
    read.
    """

    version: int
    value: T | None

    @property
    def is_unreadable(self) -> bool:
        """Whether there is a row that cannot be read."""
        return self.value is None and self.version > 0


def stored(rows: StoredRows, table: str, key: bytes, decode: Callable[[bytes], T]) -> Stored[T]:
    """Read and decode the row of a key.

    Args:
        rows: The tables; they are told of a row that cannot be read.
        table: The table.
        key: The key.
        decode: Decodes a row; it raises ``BadRow`` where it cannot.
    """
    row = rows.read(table, key)
    if row is None:
        return Stored(0, None)
    version = decode_order(row)[1]
    try:
        # Each tick comes by here, so that this is ``readable`` without a call.
        return Stored(version, decode(row))
    except BadRow as error:
        rows.note_unreadable(table, key, row, error)
        return Stored(max(1, version), None)


def readable(note: NoteUnreadable, table: str, key: bytes, row: bytes, decode: Callable[[bytes], T]) -> T | None:
    """Decode a row; None where it cannot be read, of which ``note`` is told then.

    Args:
        note: Is told.
        table: The row's table.
        key: Its key.
        row: The row.
        decode: Decodes it; it raises ``BadRow`` where it cannot.
    """
    try:
        return decode(row)
    except BadRow as error:
        note(table, key, row, error)
        return None


def count_beyond(version: int) -> int:
    """A count that no row of a key up to a version had come to.

    Rows that number something are made anew with it, so that readers see that they missed some, and no number is given
    twice.

    Args:
        version: The version, >= 0.
    """
    return min(version, _VERSIONS_MAX) * _COUNTED_OF_A_ROW_MAX
