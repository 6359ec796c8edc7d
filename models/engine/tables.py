"""The tables by name, and tables in dicts for whoever has no Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.codec import join_row
from models.engine.step import RowId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.engine.step import Step, Write
    from models.errors import BadRow

MARKS = "marks"
INSTRUMENTS = "instruments"
QUOTES = "quotes"
MARKETS = "markets"
DEPLOYMENTS = "deployments"
ACCOUNTS = "accounts"
WATERMARKS = "watermarks"
QUOTE_HISTORY = "quote-history"
VALUATIONS = "valuations"
SUBTOTALS = "subtotals"
ALERTS = "alerts"
POSITION_STATES = "position-states"
REFERENCES = "references"
STATEMENTS = "statements"
TABLES = (
    MARKS,
    INSTRUMENTS,
    QUOTES,
    MARKETS,
    DEPLOYMENTS,
    ACCOUNTS,
    WATERMARKS,
    QUOTE_HISTORY,
    VALUATIONS,
    SUBTOTALS,
    ALERTS,
    POSITION_STATES,
    REFERENCES,
    STATEMENTS,
)

SERVED_TABLES = (
    VALUATIONS,
    DEPLOYMENTS,
    MARKS,
    WATERMARKS,
    MARKETS,
    SUBTOTALS,
    INSTRUMENTS,
    ALERTS,
    POSITION_STATES,
    REFERENCES,
    STATEMENTS,
)
"""The tables that an api replica follows, in the order of the fields of ``api.tables.feeds.Feeds``."""


class MemoryTables:
    """Every table in a dict; all rows are of term 0. ``unreadable`` says of rows why they could not be read."""

    def __init__(self) -> None:
        self.unreadable: dict[RowId, str] = {}
        self._rows: dict[str, dict[bytes, bytes]] = {name: {} for name in TABLES}
        self._on_row: Callable[[str, bytes, bytes], None] | None = None

    def listen(self, on_row: Callable[[str, bytes, bytes], None]) -> None:
        """Call ``on_row`` with table, key and row of each row that is written from now on."""
        self._on_row = on_row

    def copy(self) -> MemoryTables:
        """The same rows, so that what is written to either does not change the other."""
        copied = MemoryTables()
        copied._rows = {name: dict(rows) for name, rows in self._rows.items()}
        return copied

    def read(self, table: str, key: bytes) -> bytes | None:
        """Read the current row of a key, None where there is none."""
        return self._rows[table].get(key)

    def note_unreadable(self, table: str, key: bytes, row: bytes, cause: BadRow) -> None:  # noqa: ARG002 - it is here
        """Take note of a row that cannot be read."""
        self.unreadable[RowId(table, key)] = str(cause)

    def items(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Every key of a table with its row."""
        return iter(self._rows[table].items())

    def keys(self, table: str) -> Iterator[bytes]:
        """Every key of a table."""
        return iter(self._rows[table])

    def put(self, write: Write) -> None:
        """Write one row."""
        row = self._rows[write.table][write.key] = join_row(0, write.version, write.body)
        if self._on_row is not None:
            self._on_row(write.table, write.key, row)

    def take(self, step: Step) -> None:
        """Write the rows of a step, stage after stage."""
        for stage in step.stages:
            for write in stage.writes:
                self.put(write)
