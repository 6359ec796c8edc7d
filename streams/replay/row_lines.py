"""Rows of an export as NDJSON, of which their digest is made whatever format they are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.exported_rows import Column, Schema

_encoder = msgspec.json.Encoder()


class RowLines:
    """Writes rows as lines: money is decimal text of the 1e18-scaled int, times are ns since 1970.

    Whole numbers are written out however long they are.

    Args:
        schema: The rows'.
    """

    def __init__(self, schema: Schema) -> None:
        # The names of its fields are no more than names, so that they may be words of Python too.
        fields = [(f"c{number}", Any, msgspec.field(name=name)) for number, name in enumerate(schema.columns)]
        self._line = msgspec.defstruct("Line", fields, gc=False)

    def encode(self, columns: Sequence[Column]) -> bytes:
        """Write rows, a line for each.

        Args:
            columns: Their cells, as ``by_column`` makes them.
        """
        return _encoder.encode_lines(list(map(self._line, *columns)))
