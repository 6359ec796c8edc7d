"""The values that were put in last, up to a number of them."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps the values that were put in last.

    Args:
        most: How many, >= 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[bytes, T] = {}

    def get(self, key: bytes) -> T | None:
        """The value of a key, None where it is not kept."""
        return self._values.get(key)

    def put(self, key: bytes, value: T) -> None:
        """Keep a value, and drop the one that was put in first where there are too many."""
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def drop(self, key: bytes) -> None:
        """Forget a key's value."""
        self._values.pop(key, None)
