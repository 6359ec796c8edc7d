"""The symbol that a quote is in, as its account's row says; rows hold only quotes that are open or pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.body_reader import body_reader
from models.engine.stored_rows import readable
from models.engine.tables import VALUATIONS
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Quote(msgspec.Struct):
    quote: int
    symbol: int


class _Quotes(msgspec.Struct):
    positions: list[_Quote]
    pending_quotes: list[_Quote]


_read_body = body_reader(VALUATIONS, _Quotes)


class QuoteSymbols:
    """Looks quotes up in the rows of their accounts.

    Args:
        rows: Of the table ``valuations``.
    """

    def __init__(self, rows: Mapping[bytes, bytes]) -> None:
        self._rows = rows
        self._read: tuple[bytes, dict[int, int]] = (b"", {})

    def of(self, key: bytes, quote_id: int) -> int | None:
        """Return the symbol id of a quote, None where it is not known."""
        row = self._rows.get(key)
        if row is None:
            return None
        # The last row read is kept, since states of one account are looked up one after another.
        if self._read[0] is not row:
            self._read = row, readable(note_unreadable, VALUATIONS, key, row, _symbols_in) or {}
        return self._read[1].get(quote_id)


def _symbols_in(row: bytes) -> dict[int, int]:
    body = _read_body(row)
    return {one.quote: one.symbol for one in (*body.positions, *body.pending_quotes)}
