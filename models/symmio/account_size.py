"""How large a row of an account is at most, without encoding it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.symmio.account import AccountRow, BlockUndo
    from models.symmio.state import Quote

CAUSE_CHARACTERS_MAX = 500
"""How much is kept of a suspect row's cause, which every later block's undo repeats. A cause may quote a log, and a log
may be of any length."""

# Upper bounds of encoded sizes, with amounts of 256 bits; true sizes are about half. Lower bounds would let a row that
# is too large pass unmeasured, higher ones would measure rows that are far from the limit.
SIZE_OF_QUOTE = 2_400
_SIZE_OF_ADDRESS = 45
_SIZE_OF_BALANCES = 900
_SIZE_OF_CELL = 110
_SIZE_OF_CHANGED_QUOTE = 260  # its id, and what locked values take more than another cell
_SIZE_OF_ADDED = 20
_SIZE_OF_PRICE = 170
_SIZE_OF_CHARACTER = 6
_SIZE_OF_CELLS = 1_400
_SIZE_OF_ENTRY = 300
_SIZE_OF_HEAD = _SIZE_OF_ENTRY + _SIZE_OF_CELLS + _SIZE_OF_CHARACTER * CAUSE_CHARACTERS_MAX


def size_at_most(row: AccountRow) -> int:
    """Estimate the encoded size from above, without encoding the row."""
    return (
        _SIZE_OF_HEAD
        + _SIZE_OF_CHARACTER * len(row.state.name or "")
        + _SIZE_OF_BALANCES * len(row.state.party_b)
        + _SIZE_OF_PRICE * len(row.state.liquidation_prices)
        + _size_of_quotes(row.state.quotes)
        + sum(map(_size_of_entry, row.undo))
    )


def _size_of_quotes(quotes: Mapping[int, Quote]) -> int:
    whitelisted = sum(len(quote.whitelist) for quote in quotes.values())
    return SIZE_OF_QUOTE * len(quotes) + _SIZE_OF_ADDRESS * whitelisted


def _size_of_entry(entry: BlockUndo) -> int:
    undo = entry.undo
    cause = "" if entry.row_suspect is None else entry.row_suspect[0]
    name = cast("str | None", undo.account.get("name")) or ""
    prices = cast("Mapping[int, int]", undo.account.get("liquidation_prices", {}))
    return (
        _SIZE_OF_ENTRY
        + _SIZE_OF_CHARACTER * (len(cause) + len(name))
        + (_SIZE_OF_CELLS if undo.account else 0)
        + _SIZE_OF_PRICE * len(prices)
        + _SIZE_OF_BALANCES * len(undo.party_b)
        + _SIZE_OF_CHANGED_QUOTE * len(undo.quotes)
        + _SIZE_OF_CELL * sum(map(len, undo.quotes.values()))
        + _size_of_quotes(undo.removed)
        + _SIZE_OF_ADDED * len(undo.added)
    )
