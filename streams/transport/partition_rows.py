"""The rows of one partition, as the engine reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.errors import BadRow
    from streams.transport.stores import RowStore


class PartitionRows:
    """Reads the rows of one partition of every table.

    Args:
        stores: One for each table.
        partition: The partition.
    """

    def __init__(self, stores: Mapping[str, RowStore], partition: int) -> None:
        self._stores = stores
        self._partition = partition

    def read(self, table: str, key: bytes) -> bytes | None:
        """Read the current row of a key, None where there is none."""
        return self._stores[table].get(self._partition, key)

    def note_unreadable(self, table: str, key: bytes, row: bytes, cause: BadRow) -> None:
        """Count and log a row that cannot be read, once."""
        note_unreadable(table, key, row, cause)
