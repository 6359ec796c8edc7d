"""Rows of tables that cannot be read: counted and logged once each, with table, key and cause."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

import prometheus_client

from models.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_log = logging.getLogger(__name__)
UNREADABLE = prometheus_client.Counter(
    "tidemark_unreadable_rows_total", "Rows of tables that were found not to be readable, each once.", ("table",)
)
"""Of this process; who has a registry of his own registers it there."""

# Of each key the digest of its row is kept, some 200 bytes: what something else wrote has no order by which rows could
# be told apart. Where more rows cannot be read, the oldest may be counted again.
_NOTED_MAX = 20_000
_noted: dict[tuple[str, bytes], bytes] = {}


def decoded(table: str, key: bytes, row: bytes, decode: Callable[[bytes], T]) -> T:
    """Decode a row; where it cannot be read, take note of that before whoever asked is told.

    Args:
        table: The row's table.
        key: Its key.
        row: The row, its order included.
        decode: Decodes it.

    Raises:
        BadRow: It cannot be read.
    """
    try:
        return decode(row)
    except BadRow as error:
        note_unreadable(table, key, row, error)
        raise


def note_foreign_key(table: str, key: bytes, row: bytes) -> None:
    """Take note of a row under a key that its table cannot have, so that nobody can take it apart.

    Args:
        table: The row's table.
        key: The key.
        row: The row, its order included.
    """
    cause = f"expected a key of {table}, found {key!r:.200}; delete it from the changelog"
    note_unreadable(table, key, row, BadRow(cause))


def note_unreadable(table: str, key: bytes, row: bytes, cause: BadRow) -> None:
    """Take note of a row that cannot be read, unless that was done before.

    Args:
        table: The row's table.
        key: Its key.
        row: The row, its order included.
        cause: Why it cannot be read.
    """
    digest = blake2b(row, digest_size=16).digest()
    if _noted.get((table, key)) == digest:
        return
    _noted[table, key] = digest
    if len(_noted) > _NOTED_MAX:
        del _noted[next(iter(_noted))]
    UNREADABLE.labels(table).inc()
    _log.error(
        "row cannot be read, its key is served as one without table=%s key=%s cause=%s",
        table,
        key.decode(errors="replace"),
        cause,
    )
