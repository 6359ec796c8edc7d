"""Reads the bodies of rows as their types say (``models.row_bodies``): in one pass, without an object in between."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from models.codec import ORDER_BYTES
from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable

B = TypeVar("B", bound=msgspec.Struct)

NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders of msgspec raise at bytes that are no JSON of their type, be it for a text or for lists in lists."""


def body_reader(table: str, kind: type[B]) -> Callable[[bytes], B]:
    """Make what reads the bodies of a table.

    Columns that the type does not have are passed over: a later version may write them. So are the patterns of texts
    that are numbers, which would take longer than all else: whoever makes a number of one finds out.

    Args:
        table: The table, which errors name.
        kind: The type of its bodies.

    Returns:
        A function that reads the body of a row, its ``ORDER_BYTES`` included, and raises ``BadRow`` where it is none.
    """
    return _reader(table, cast("msgspec.json.Decoder[B]", msgspec.json.Decoder(_as_read(kind))))


def columns_reader(table: str, kind: type[B]) -> Callable[[bytes], B]:
    """Make what reads the bodies of a table as a type of its own, whose numbers may be decimal texts in the row.

    No text is made of such a number, which takes a third of the time where most columns are amounts. Whether columns
    that the type does not have are passed over is as it says.

    Args:
        table: The table, which errors name.
        kind: The type of its columns, made of ``models.column_types`` where they are no texts.

    Returns:
        As ``body_reader``.
    """
    return _reader(table, msgspec.json.Decoder(kind, strict=False))


def no_row(row: bytes, table: str, error: Exception) -> BadRow:
    """The error of a row that is none of its table's, for whoever finds that out by another error."""
    msg = f"expected a row of {table}, found {row!r:.200} ({error})"
    return BadRow(msg)


def amount_of(text: str | None) -> int | None:
    """The amount that a column says, None where it says none.

    Raises:
        ValueError: The text is no integer.
    """
    return None if text is None else int(text)


def text_of(amount: int | None) -> str | None:
    """The column that says an amount, None where there is none."""
    return None if amount is None else str(amount)


def _reader(table: str, decoder: msgspec.json.Decoder[B]) -> Callable[[bytes], B]:
    decode = decoder.decode

    def read(row: bytes) -> B:
        try:
            return decode(memoryview(row)[ORDER_BYTES:])
        except NOT_DECODED as error:
            raise no_row(row, table, error) from error

    return read


def _as_read(kind: Any) -> Any:  # noqa: ANN401 - any type
    """The type without what is only published: patterns, bounds, and that there are no other columns."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        fields = [(one.name, _as_read(hints[one.name]), *_default(one)) for one in msgspec.structs.fields(kind)]
        return msgspec.defstruct(kind.__name__, fields, kw_only=True)
    parts = [_as_read(one) for one in get_args(kind)]
    origin = get_origin(kind)
    if origin is None:
        return kind
    return reduce(or_, parts) if origin in {Union, UnionType} else origin[tuple(parts)]


def _default(column: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    """What stands for a column that a row lacks, as ``defstruct`` takes it; nothing where no row may lack it."""
    if column.required:
        return ()
    if column.default_factory is msgspec.NODEFAULT:
        return (column.default,)
    return (msgspec.field(default_factory=column.default_factory),)
