"""The types of columns that are read by a reader which makes numbers of texts, so that it makes none of anything else.

msgspec reads a decimal text as a number only where it is not strict, and is generous beyond that: ``"1e3"`` and ``5.0``
are integers to it, ``"true"`` and 1 are true, ``"null"`` is null. Each of these is a float, a text or an integer before
it is made into what the column's type says, and is refused where the type has that kind too, within bounds that nothing
meets. This costs a reader nothing, since no column that was written is of such a kind.

Two things remain. ``"null"`` is null where an amount may be null: there the kinds leave no room for a text. And no
tuple of a fixed length stands in ``Unquoted``, since msgspec 0.20 loses count of its items beside bounds and ends the
process; a ``NamedTuple`` takes its place.

To type checkers these are what a column is read as.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta

_T = TypeVar("_T")

if TYPE_CHECKING:
    Amount = int
    Unquoted = Annotated[_T, None]
    Flag = bool
else:
    _NO_FLOAT = Annotated[float, Meta(gt=1, lt=0)]
    _NO_INTEGER = Annotated[int, Meta(gt=1, lt=0)]
    _NO_TEXT = Annotated[str, Meta(min_length=1, max_length=0)]

    Amount = int | _NO_FLOAT
    """An integer, of a decimal text or a number without point and exponent."""

    Unquoted = _T | _NO_FLOAT | _NO_TEXT
    """What is no text in the row: an integer, a member of an enumeration, a list, or null."""

    Flag = bool | _NO_INTEGER | _NO_TEXT
    """True or false."""
