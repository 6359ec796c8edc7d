"""Where an archive stands: a directory, or whatever fsspec and pyarrow open by a URL, such as ``s3://bucket/archive``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from models.errors import TidemarkError
from streams.archive.durable_files import DurableFiles
from streams.replay.bounded_log import BadArchive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

# pyarrow brings clients of its own for these, so that no package with another version of boto is needed.
_OF_PYARROW = ("s3://", "gs://", "abfs://", "abfss://")
_PARTIAL = ".partial"


class NoArchiveExtra(TidemarkError):
    """Archives need pyarrow and fsspec: install tidemark[analysis]."""


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"expected to reach {path} of the archive, found {type(error).__name__}: {error}"
        raise BadArchive(msg) from error


class ArchiveStore:
    """Files by name. A file is there only when it is whole.

    Args:
        files: The file system, as fsspec has them.
        root: The archive's path in it.
    """

    def __init__(self, files: Any, root: str) -> None:  # noqa: ANN401 - fsspec has no types
        self._files = files
        self._root = root.rstrip("/")

    def __str__(self) -> str:
        """Where it is, without what a URL may have of keys."""
        return self._root

    def read(self, name: str) -> bytes | None:
        """Read a file; None where there is none.

        Raises:
            BadArchive: The store does not answer.
        """
        with self._naming(name):
            try:
                found: bytes = self._files.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
            return found

    def write(self, name: str, content: bytes) -> None:
        """Write a file under another name, and put it in its place, over the one that is there.

        It is durable when this returns: in a directory it is on the disk, and so is its name.

        Raises:
            BadArchive: The store does not take it.
        """
        path = f"{self._root}/{name}"
        with self._naming(name):
            # Where there are no directories this makes none.
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path + _PARTIAL, content)
            self._files.mv(path + _PARTIAL, path)

    def names(self, under: str) -> list[str]:
        """The names of all files in a directory and below it, in order; those that were not finished too.

        Raises:
            BadArchive: The store does not answer.
        """
        with self._naming(under):
            self._files.invalidate_cache()
            try:
                found = self._files.find(f"{self._root}/{under}".rstrip("/"))
            except FileNotFoundError:
                return []
        return sorted(path.partition(f"{self._root}/")[2] for path in found)

    def directories(self) -> list[str]:
        """The names of the directories that it has at its root, in order.

        Raises:
            BadArchive: The store does not answer.
        """
        with self._naming(""):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory")

    def _naming(self, name: str) -> AbstractContextManager[None]:
        return _naming(f"{self._root}/{name}")


def opened_store(url: str) -> ArchiveStore:
    """Open the store of an archive.

    Args:
        url: A directory, or a URL that fsspec or pyarrow knows.

    Raises:
        NoArchiveExtra: What it needs is not installed.
        BadArchive: The URL cannot be opened.
    """
    try:
        import fsspec  # noqa: PLC0415 - only who asks for it needs it
        from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415
        from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415
        from pyarrow import fs as arrow_files  # noqa: PLC0415
    except ImportError as error:
        msg = f"expected fsspec and pyarrow to read and write archives, found: {error}; install tidemark[analysis]"
        raise NoArchiveExtra(msg) from error
    shown = url.partition("?")[0].rpartition("@")[2]
    with _naming(shown):
        try:
            if url.startswith(_OF_PYARROW):
                files, root = arrow_files.FileSystem.from_uri(url)
                return ArchiveStore(ArrowFSWrapper(files), root)
            files, root = fsspec.url_to_fs(url)
            return ArchiveStore(DurableFiles(files) if isinstance(files, LocalFileSystem) else files, root)
        except (ValueError, ImportError) as error:
            msg = f"expected a directory or a URL such as s3://bucket/archive, found {shown}: {type(error).__name__}"
            raise BadArchive(msg) from error


def is_unfinished(name: str) -> bool:
    """Whether a name is that of a file whose writing did not end."""
    return name.endswith(_PARTIAL)
