"""Writing to a file of SQLite: all of a block, or nothing of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


@contextmanager
def whole_or_nothing(base: sqlite3.Connection) -> Iterator[None]:
    """Write all of what is written in the block, or nothing of it.

    Args:
        base: The connection, which begins no transaction by itself.
    """
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")
