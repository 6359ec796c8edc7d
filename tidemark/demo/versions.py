"""A mapping that remembers what it held at the end of every block, so that views can be answered for old blocks."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")
V = TypeVar("V")
K_contra = TypeVar("K_contra", contravariant=True)
V_co = TypeVar("V_co", covariant=True)
_block_of = itemgetter(0)


class Reader(Protocol[K_contra, V_co]):
    """A mapping at one block; a key that was never set reads as the contract's zero value."""

    def __getitem__(self, key: K_contra, /) -> V_co:
        """Return the value of ``key``."""
        ...


class Versioned(Generic[K, V]):
    """Immutable values by key. A key that was never set holds ``default``, as in a contract's storage."""

    def __init__(self, default: V) -> None:
        self._default = default
        self._block = 0
        self._now: dict[K, V] = {}
        self._past: dict[K, list[tuple[int, V]]] = {}
        self._touched: set[K] = set()

    def begin(self, block: int) -> None:
        """Start a block, to which all that is set from now on belongs."""
        self._block = block
        self._touched.clear()

    def __getitem__(self, key: K) -> V:
        return self._now.get(key, self._default)

    def __setitem__(self, key: K, value: V) -> None:
        self._now[key] = value
        past = self._past.setdefault(key, [])
        if key in self._touched:
            past[-1] = (self._block, value)
        else:
            self._touched.add(key)
            past.append((self._block, value))

    def __iter__(self) -> Iterator[K]:
        return iter(self._now)

    def undo(self) -> None:
        """Return to the end of the block before the current one."""
        for key in self._touched:
            past = self._past[key]
            past.pop()
            if past:
                self._now[key] = past[-1][1]
            else:
                del self._past[key], self._now[key]
        self._touched.clear()

    def at(self, block: int) -> Reader[K, V]:
        """Return the mapping as it was at the end of ``block``."""
        return _Past(self._past, block, self._default)


class _Past(Generic[K, V]):
    def __init__(self, past: dict[K, list[tuple[int, V]]], block: int, default: V) -> None:
        self._past = past
        self._block = block
        self._default = default

    def __getitem__(self, key: K) -> V:
        past = self._past.get(key, ())
        after = bisect_right(past, self._block, key=_block_of)
        return past[after - 1][1] if after else self._default
