"""Records that an export could not read: counted, and named with their cause, so that no part passes for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.errors import BadRecord, BadRow
from streams.replay.exported_rows import TIME_NS, WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.bounded_log import LogRecord
    from streams.replay.exported_rows import Row, Schema

NAMED_MAX = 1_000
"""So many are named, the first of the log; others are only counted."""

_CAUSE_MAX = 300
# What columns of these kinds hold in Parquet and Arrow.
_NUMBERS = {WHOLE, TIME_NS}
_NUMBERS_END = 2**63


class UnreadableRecord(msgspec.Struct, frozen=True):
    """Where a record stands that could not be read, and why it could not."""

    topic: str
    partition: int
    offset: int
    cause: str


class RowReading:
    """Reads the rows of records, and takes note of each record that cannot be read: it has no rows, and ends nothing.

    Whether a record can be read does not depend on the format of the export, so that all formats have the same rows.

    Args:
        schema: The rows'.
    """

    def __init__(self, schema: Schema) -> None:
        self._read = schema.read
        self._numbers = [(at, name) for at, (name, kind) in enumerate(schema.columns.items()) if kind in _NUMBERS]
        self.unreadable = 0
        self.named: list[UnreadableRecord] = []

    def rows_of(self, record: LogRecord) -> Sequence[Row]:
        """The rows of a record; none of one that is of something else, or cannot be read."""
        try:
            rows = self._read(record)
            for row in rows:
                self._expect_numbers(row)
        except (BadRecord, BadRow) as error:
            self._note(record, str(error))
            return ()
        return rows

    def _expect_numbers(self, row: Row) -> None:
        for at, name in self._numbers:
            cell = row[at]
            if cell is not None and not -_NUMBERS_END <= cell < _NUMBERS_END:
                msg = f"expected {name} within 63 bits and a sign, found {cell}"
                raise BadRow(msg)

    def _note(self, record: LogRecord, cause: str) -> None:
        self.unreadable += 1
        if len(self.named) < NAMED_MAX:
            place = record.topic, record.partition, record.offset
            self.named.append(UnreadableRecord(*place, cause[:_CAUSE_MAX]))
