"""The table of Flash that a process goes by: a file of the configuration, or the one that is built in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flash.flash_table import built_in_table, read_table
from streams.settings import BadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from models.flash.flash_table import FlashTable


def table_of(setting: str, path: Path | None) -> FlashTable:
    """Read a table.

    Args:
        setting: Where the file is configured, for messages.
        path: The file, None for the built-in table.

    Raises:
        BadSettings: The file cannot be read.
        BadRecord: It holds no table.
    """
    if path is None:
        return built_in_table()
    try:
        return read_table(path.read_bytes())
    except OSError as error:
        msg = f"expected a table in {setting}, found {error}: make one with tidemark flash refresh"
        raise BadSettings(msg) from error
