"""Which keys a table can have. Whatever has access to a changelog can write others, which nobody can take apart.

Records of other topics that are about a key of a table have such a key too.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from models.engine.tables import DEPLOYMENTS, MARKETS, QUOTE_HISTORY, QUOTES, SUBTOTALS, WATERMARKS
from models.errors import BadRecord
from models.subtotals import HEDGER, SYMBOL, UNHEDGED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# A deployment or source, and what is called so there, which may have colons of its own.
_OF_TWO = re.compile(r"[^:]+:.+", re.DOTALL)
_NUMBERED = re.compile(r"[^:]+:[0-9]+", re.ASCII)
_SHAPES: Mapping[str, re.Pattern[str]] = {
    DEPLOYMENTS: re.compile(r"[^:]+"),
    WATERMARKS: _NUMBERED,
    MARKETS: _NUMBERED,
    QUOTES: _NUMBERED,
    QUOTE_HISTORY: re.compile(r"[^:]+:.+:[0-9]+", re.DOTALL | re.ASCII),
    SUBTOTALS: re.compile(rf"({HEDGER}|{SYMBOL}|{UNHEDGED}):[^:]+:.*:[0-9]+", re.DOTALL | re.ASCII),
}


@cache
def key_test(table: str) -> Callable[[bytes], bool]:
    """Make the test of whether a key is one that a table can have; a key that is no text is none.

    A replica that starts asks it of every key that there is.

    Args:
        table: The table.
    """
    fits = _SHAPES.get(table, _OF_TWO).fullmatch

    def is_key(key: bytes) -> bool:
        try:
            return fits(key.decode()) is not None
        except UnicodeDecodeError:
            return False

    return is_key


def expect_key(table: str, key: bytes) -> None:
    """Refuse a record whose key is none that a table can have, before anything takes the key apart.

    Args:
        table: The table that the record's key is one of.
        key: The record's key.

    Raises:
        BadRecord: It is none.
    """
    if not key_test(table)(key):
        msg = f"expected a key of {table}, found {key!r:.200}"
        raise BadRecord(msg)
