"""Files that commands of replay write: what keeps one from being written is said of it by name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from streams.replay.bounded_log import ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class CannotWrite(ReplayError):
    """A file cannot be written where it is to be, and nothing is left of it. Name another place, or make room there."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what is written, where the file system does not take it.

    Args:
        path: The file or directory.

    Raises:
        CannotWrite: The file system refuses it, or is full.
    """
    try:
        yield
    except OSError as error:
        msg = f"expected to write {path}, found: {error}"
        raise CannotWrite(msg) from error
