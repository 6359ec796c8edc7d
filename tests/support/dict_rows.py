"""Rows in a dict by table and key, as the engine reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.errors import BadRow


class DictRows:
    """Reads rows of a dict; ``unreadable`` are those that could not be read."""

    def __init__(self, rows: Mapping[tuple[str, bytes], bytes]) -> None:
        self._rows = rows
        self.unreadable: list[tuple[str, bytes]] = []

    def read(self, table: str, key: bytes) -> bytes | None:
        return self._rows.get((table, key))

    def note_unreadable(self, table: str, key: bytes, row: bytes, cause: BadRow) -> None:  # noqa: ARG002 - all are noted
        self.unreadable.append((table, key))
