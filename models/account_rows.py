"""Rows of accounts that are folded directly: venue and schema, the last record, and then the columns of the venue."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from models.body_reader import NOT_DECODED
from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import ORDER_BYTES
from models.errors import BadRow


class AccountColumns(msgspec.Struct):
    """What the row of every such account begins with; a venue's own columns follow.

    Attributes:
        venue: The venue's kind.
        schema: Of these columns; it rises whenever rows of before can no longer be read as they are.
        applied: The log offset of the last record folded.
    """

    venue: str
    schema: int
    applied: LogOffset


class _Named(msgspec.Struct):
    venue: str
    schema: int


C = TypeVar("C", bound=AccountColumns)

_encoder = msgspec.json.Encoder()
_named_decoder = msgspec.json.Decoder(_Named)


class AccountRows(Generic[C]):
    """Reads and writes the rows of one venue's accounts.

    Args:
        kind: The venue's kind.
        schema: Of its columns.
        columns: Their type.
    """

    def __init__(self, kind: str, schema: int, columns: type[C]) -> None:
        self._kind = kind
        self._schema = schema
        self._decoder = msgspec.json.Decoder(columns)

    def read(self, row: bytes) -> C:
        """Read a row, its ``ORDER_BYTES`` included.

        Raises:
            BadRow: It is another venue's, of another schema, or no row.
        """
        body = memoryview(row)[ORDER_BYTES:]
        try:
            found = self._decoder.decode(body)
        except NOT_DECODED as error:
            self._expect_own(body)
            msg = f"expected a row of a {self._kind} account, found {row!r:.200} ({error})"
            raise BadRow(msg) from error
        self._expect(found.venue, found.schema)
        return found

    def write(self, columns: C) -> bytes:
        """Encode the body of a row."""
        return _encoder.encode(columns)

    def _expect_own(self, body: memoryview) -> None:
        """Columns that cannot be read may be those of another venue or schema, which says more than what is wrong."""
        try:
            named = _named_decoder.decode(body)
        except NOT_DECODED:
            return
        self._expect(named.venue, named.schema)

    def _expect(self, venue: str, schema: int) -> None:
        if (venue, schema) != (self._kind, self._schema):
            msg = f"expected schema {self._schema} of {self._kind}, found {schema} of {venue}"
            raise BadRow(msg)
