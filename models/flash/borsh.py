"""Borsh, the form of Solana accounts: what a class of annotated fields says is read from bytes, and written to them.

A layout is a ``NamedTuple`` whose annotations say the bytes: ``U64``, ``bool``, ``str``, an ``IntEnum`` of one byte,
another such class, ``tuple[X, ...]`` for as many as a count before them says. Nothing is read or made room for before
it is known to be there, so a hostile account costs no more than its own bytes.
"""

from __future__ import annotations

import typing
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, get_args, get_origin

from models.errors import BadRecord

_COUNT_BYTES = 4

T = TypeVar("T")


class Kind(Protocol):
    """How values of one kind stand in bytes."""

    @property
    def least(self) -> int:
        """The fewest bytes that one takes."""

    @property
    def fixed(self) -> bool:
        """Whether each takes exactly ``least`` bytes."""

    def read(self, reader: Reader) -> Any:  # noqa: ANN401 - of whatever kind it is
        """Read one.

        Raises:
            BadRecord: What stands there is none, or is cut off.
        """

    def write(self, value: Any) -> bytes:  # noqa: ANN401 - the same
        """The bytes of one."""


class Reader:
    """Bytes of an account, and how far they are read.

    Attributes:
        at: Where the next value begins.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return len(self._data) - self.at

    def take(self, size: int) -> bytes:
        """Read as many bytes.

        Raises:
            BadRecord: There are fewer.
        """
        if size > self.left:
            msg = f"expected {size} bytes from byte {self.at} on, found {self.left}: the account is cut off"
            raise BadRecord(msg)
        taken = self._data[self.at : self.at + size]
        self.at += size
        return taken


class Integer(NamedTuple):
    """A number of ``least`` bytes, the lowest first."""

    least: int
    signed: bool
    fixed: bool = True

    def read(self, reader: Reader) -> int:
        """As of ``Kind``."""
        return int.from_bytes(reader.take(self.least), "little", signed=self.signed)

    def write(self, value: int) -> bytes:
        """As of ``Kind``."""
        return value.to_bytes(self.least, "little", signed=self.signed)


class Raw(NamedTuple):
    """So many bytes as they are."""

    least: int
    fixed: bool = True

    def read(self, reader: Reader) -> bytes:
        """As of ``Kind``."""
        return reader.take(self.least)

    def write(self, value: bytes) -> bytes:
        """As of ``Kind``."""
        if len(value) != self.least:
            msg = f"expected {self.least} bytes, found {len(value)}"
            raise ValueError(msg)
        return value


class Times(NamedTuple):
    """So many values of ``of``, with no count before them."""

    times: int
    of: Kind
    fixed: bool = True

    @property
    def least(self) -> int:
        """As of ``Kind``."""
        return self.times * self.of.least

    def read(self, reader: Reader) -> tuple[Any, ...]:
        """As of ``Kind``."""
        return tuple(self.of.read(reader) for _ in range(self.times))

    def write(self, value: tuple[Any, ...]) -> bytes:
        """As of ``Kind``."""
        if len(value) != self.times:
            msg = f"expected {self.times} values, found {len(value)}"
            raise ValueError(msg)
        return b"".join(map(self.of.write, value))


U8 = Annotated[int, Integer(1, signed=False)]
U16 = Annotated[int, Integer(2, signed=False)]
U32 = Annotated[int, Integer(4, signed=False)]
U64 = Annotated[int, Integer(8, signed=False)]
U128 = Annotated[int, Integer(16, signed=False)]
I32 = Annotated[int, Integer(4, signed=True)]
I64 = Annotated[int, Integer(8, signed=True)]
PublicKey = Annotated[bytes, Raw(32)]


class _Flag(NamedTuple):
    least: int = 1
    fixed: bool = True

    def read(self, reader: Reader) -> bool:
        at = reader.at
        byte = reader.take(1)[0]
        if byte > 1:
            msg = f"expected 0 or 1 at byte {at}, found {byte}"
            raise BadRecord(msg)
        return byte == 1

    def write(self, value: bool) -> bytes:  # noqa: FBT001 - it is the value that is written
        return b"\x01" if value else b"\x00"


class _Choice(NamedTuple):
    of: type[IntEnum]
    least: int = 1
    fixed: bool = True

    def read(self, reader: Reader) -> IntEnum:
        at = reader.at
        byte = reader.take(1)[0]
        try:
            return self.of(byte)
        except ValueError as error:
            msg = f"expected one of {[int(one) for one in self.of]} at byte {at} ({self.of.__name__}), found {byte}"
            raise BadRecord(msg) from error

    def write(self, value: IntEnum) -> bytes:
        return bytes([value])


class _Text(NamedTuple):
    least: int = _COUNT_BYTES
    fixed: bool = False

    def read(self, reader: Reader) -> str:
        size = int.from_bytes(reader.take(_COUNT_BYTES), "little")
        at = reader.at
        try:
            return reader.take(size).decode()
        except UnicodeDecodeError as error:
            msg = f"expected {size} bytes of UTF-8 from byte {at} on, found others"
            raise BadRecord(msg) from error

    def write(self, value: str) -> bytes:
        text = value.encode()
        return len(text).to_bytes(_COUNT_BYTES, "little") + text


class _Many(NamedTuple):
    of: Kind
    least: int = _COUNT_BYTES
    fixed: bool = False

    def read(self, reader: Reader) -> tuple[Any, ...]:
        at = reader.at
        count = int.from_bytes(reader.take(_COUNT_BYTES), "little")
        if count * self.of.least > reader.left:
            msg = (
                f"expected room for {count} values of at least {self.of.least} bytes, as byte {at} says, "
                f"found {reader.left} bytes: the account is cut off or its count is wrong"
            )
            raise BadRecord(msg)
        return tuple(self.of.read(reader) for _ in range(count))

    def write(self, value: tuple[Any, ...]) -> bytes:
        return len(value).to_bytes(_COUNT_BYTES, "little") + b"".join(map(self.of.write, value))


class Layout(NamedTuple):
    """A class and, in the order of the bytes, its fields."""

    of: type[Any]
    kinds: tuple[tuple[str, Kind], ...]
    least: int
    fixed: bool

    def read(self, reader: Reader) -> Any:  # noqa: ANN401 - an ``of``
        """As of ``Kind``."""
        return self.of(*[kind.read(reader) for _, kind in self.kinds])

    def write(self, value: Any) -> bytes:  # noqa: ANN401 - an ``of``
        """As of ``Kind``."""
        return b"".join(kind.write(getattr(value, name)) for name, kind in self.kinds)

    def offset(self, name: str) -> int | None:
        """Where a field begins, None where that is not the same in all accounts.

        Raises:
            KeyError: There is no such field.
        """
        at = 0
        movable = False
        for other, kind in self.kinds:
            if other == name:
                return None if movable else at
            at += kind.least
            movable = movable or not kind.fixed
        raise KeyError(name)


@cache
def layout(of: type[Any]) -> Layout:
    """The layout that a class's annotations say.

    Args:
        of: A ``NamedTuple``.

    Raises:
        TypeError: An annotation says no bytes.
    """
    kinds = tuple((name, _kind(hint)) for name, hint in typing.get_type_hints(of, include_extras=True).items())
    return Layout(of, kinds, sum(kind.least for _, kind in kinds), all(kind.fixed for _, kind in kinds))


def _kind(hint: Any) -> Kind:  # noqa: ANN401 - an annotation
    if get_origin(hint) is Annotated:
        said: Kind = hint.__metadata__[0]
        return said
    if get_origin(hint) is tuple:
        return _Many(_kind(get_args(hint)[0]))
    if hint is bool:
        return _Flag()
    if hint is str:
        return _Text()
    if isinstance(hint, type):
        if issubclass(hint, IntEnum):
            return _Choice(hint)
        if issubclass(hint, tuple):
            return layout(hint)
    msg = f"expected an annotation that says bytes, found {hint!r}"
    raise TypeError(msg)
