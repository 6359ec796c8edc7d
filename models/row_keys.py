"""Which keys a table can have. Whatever has access to a changelog can write others, which nobody can take apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from models.engine.tables import DEPLOYMENTS, MARKETS, QUOTE_HISTORY, QUOTES, SUBTOTALS, WATERMARKS
from models.errors import BadRow
from models.subtotals import HEDGER, SYMBOL, UNHEDGED

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def expect_key(table: str, key: bytes) -> None:
    """Expect a key to be one that the table can have.

    Args:
        table: The table.
        key: The key.

    Raises:
        BadRow: It is none, or no text at all.
    """
    try:
        is_key = _SHAPES.get(table, _OF_TWO).fullmatch(key.decode()) is not None
    except UnicodeDecodeError:
        is_key = False
    if not is_key:
        msg = f"expected a key of {table}, found {key!r:.200}; delete it from the changelog"
        raise BadRow(msg)
