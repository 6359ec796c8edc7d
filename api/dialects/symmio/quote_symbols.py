"""The symbol that a quote is in, as its account's row says; rows hold only quotes that are open or pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.codec import decode_row

if TYPE_CHECKING:
    from collections.abc import Mapping


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
            body = decode_row(row).body
            quotes = [*body["positions"], *body["pending_quotes"]]
            self._read = row, {quote["quote"]: quote["symbol"] for quote in quotes}
        return self._read[1].get(quote_id)
