"""Which keys a user wants to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyFilter:
    """Takes records of some keys, or of all where none is named.

    Args:
        texts: Keys; one that ends in ``*`` stands for all that begin so.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._exact = frozenset(text.encode() for text in texts if not text.endswith("*"))
        self._prefixes = tuple(text[:-1].encode() for text in texts if text.endswith("*"))
        self._is_open = not texts

    def takes(self, key: bytes | None) -> bool:
        """Whether a record of this key is wanted."""
        if self._is_open:
            return True
        return key is not None and (key in self._exact or key.startswith(self._prefixes))
