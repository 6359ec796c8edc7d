"""Reads the rows of an export, past records that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import BadRecord, BadRow
from streams.replay.exported_rows import TIME_NS, WHOLE
from streams.replay.unreadable_records import UnreadableRecords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.bounded_log import LogRecord
    from streams.replay.exported_rows import Row, Schema

# What columns of these kinds hold in Parquet and Arrow.
_NUMBERS = {WHOLE, TIME_NS}
_NUMBERS_END = 2**63


class RowReading:
    """Reads the rows of records, and takes note of each record that cannot be read: it has no rows, and ends nothing.

    Whether a record can be read does not depend on the format of the export, so that all formats have the same rows.

    Args:
        schema: The rows'.

    Attributes:
        unreadable: The records that could not be read.
    """

    def __init__(self, schema: Schema) -> None:
        self._read = schema.read
        self._numbers = [(at, name) for at, (name, kind) in enumerate(schema.columns.items()) if kind in _NUMBERS]
        self.unreadable = UnreadableRecords()

    def rows_of(self, record: LogRecord) -> Sequence[Row]:
        """The rows of a record; none of one that is of something else, or cannot be read."""
        try:
            rows = self._read(record)
            for row in rows:
                self._expect_numbers(row)
        except (BadRecord, BadRow) as error:
            self.unreadable.note(record, error)
            return ()
        return rows

    def _expect_numbers(self, row: Row) -> None:
        for at, name in self._numbers:
            cell = row[at]
            if cell is not None and not -_NUMBERS_END <= cell < _NUMBERS_END:
                msg = f"expected {name} within 63 bits and a sign, found {cell}"
                raise BadRow(msg)
