"""Files in directories of this machine, of which each stands on the disk before anything is said of it.

What was written and moved is in memory at first: after a power cut a file may be empty under its name, or its name may
be missing, though what was written later is there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class DurableFiles:
    """A local file system of fsspec, whose writing and moving are done when they are on the disk.

    Args:
        files: The file system.
    """

    def __init__(self, files: Any) -> None:  # noqa: ANN401 - fsspec has no types
        self._files = files

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever reads is as it was
        return getattr(self._files, name)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as fsspec has it
        """Make a directory and those above it that are missing."""
        missing = [one for one in (Path(path), *Path(path).parents) if not one.exists()]
        self._files.makedirs(path, exist_ok=exist_ok)
        for one in missing:
            _sync_directory(one.parent)

    def pipe_file(self, path: str, content: bytes) -> None:
        """Write a file."""
        with Path(path).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def mv(self, path: str, place: str) -> None:
        """Move a file within its directory, over the one that is there."""
        Path(path).replace(place)
        _sync_directory(Path(place).parent)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
