"""Exports as files, each with a manifest by which the same rows can be exported again, and are known to be the same."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from streams.replay.bounded_log import ReplayError
from streams.replay.exported_rows import TEXT, by_column
from streams.replay.output_files import writing
from streams.replay.row_lines import RowLines
from streams.replay.row_tables import TableWriter
from streams.replay.unreadable_records import UnreadableRecord  # noqa: TC001 - msgspec resolves it at run time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.replay.exported_rows import Column, Row, Schema
    from streams.replay.unreadable_records import UnreadableRecords

_FORMAT = 1
# So many rows, or so many characters of their texts, wait in memory: bodies may be of any length up to a record's.
_ROWS_AT_ONCE = 50_000
_TEXT_AT_ONCE = 32 * 2**20


class BadManifest(ReplayError):
    """A manifest of an export cannot be read, or is of another format."""


class ExportExists(ReplayError):
    """There is something where an export is to be written. Name another file, or remove it."""


class ExportManifest(msgspec.Struct, frozen=True):
    """What an export holds and was made of.

    ``offsets`` is the window as ``--offsets`` takes it, ``keys`` those that were chosen, ``code`` the version that made
    it, ``sha256`` the digest of the rows, whatever ``file_format`` they are in. ``configuration`` is the hash of what
    figures depend on in the settings, ``writer`` what wrote the file, and ``file_sha256`` the file's own digest, which
    is the same again where the same writer writes it. ``unreadable`` is how many records of the window could not be
    read, so that their rows are not in the file; the first ``NAMED_MAX`` of them are ``unreadable_records``.
    """

    format: int
    schema: str
    schema_version: int
    file_format: str
    offsets: str
    keys: tuple[str, ...]
    code: str
    rows: int
    sha256: str
    configuration: str = ""
    writer: str = ""
    file_sha256: str = ""
    unreadable: int = 0
    unreadable_records: tuple[UnreadableRecord, ...] = ()


class RowWriter(Protocol):
    """Writes rows of one schema in one format; files of the same rows by a writer of one name are the same bytes."""

    name: str

    def write(self, columns: Sequence[Column], lines: bytes) -> None:
        """Write some rows.

        Args:
            columns: Their cells, as ``by_column`` makes them.
            lines: The same as NDJSON.
        """

    def close(self) -> None:
        """Finish the file."""


class ExportWriter:
    """Writes an export beside its place, and puts it there when it is whole.

    Args:
        path: Where it is to be; there must be nothing.
        file_format: ``ndjson``, ``parquet`` or ``arrow``.
        schema: The rows'.

    Raises:
        ExportExists: There is something.
        NoPyarrow: The format needs it, and it is not installed.
        CannotWrite: There can be no file.
    """

    def __init__(self, path: Path, file_format: str, schema: Schema) -> None:
        self._path, self._format, self._schema = path, file_format, schema
        self._partial = path.with_name(path.name + ".partial")
        for one in (path, self._partial, manifest_path(path)):
            if one.exists():
                msg = f"expected nothing at {one}, found something; name another file, or remove it"
                raise ExportExists(msg)
        with writing(path):
            self._writer: RowWriter = (
                _LineWriter(self._partial)
                if file_format == "ndjson"
                else TableWriter(self._partial, file_format, schema)
            )
        self._lines = RowLines(schema)
        self._digest = hashlib.sha256()
        self._written = 0
        # What waits to be written is turned into columns at once, which takes a fraction of what each row would.
        self._waiting: list[Row] = []
        self._texts = [at for at, kind in enumerate(schema.columns.values()) if kind == TEXT]
        self._waiting_text = 0
        self._has_manifest = False

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return self._written + len(self._waiting)

    def take(self, rows: Sequence[Row]) -> None:
        """Write rows.

        Raises:
            NumberTooLong: One that was taken until now has a number that the format cannot hold.
            CannotWrite: The disk is full.
        """
        for row in rows:
            self._waiting.append(row)
            for at in self._texts:
                self._waiting_text += len(row[at] or "")
            if len(self._waiting) >= _ROWS_AT_ONCE or self._waiting_text >= _TEXT_AT_ONCE:
                self._flush()

    def finish(
        self, *, offsets: str, keys: tuple[str, ...], code: str, configuration: str, unreadable: UnreadableRecords
    ) -> ExportManifest:
        """Write the manifest, and put the export in its place.

        Args:
            offsets: The window, as ``--offsets`` takes it.
            keys: Those that were chosen; none for all.
            code: The version of the code.
            configuration: The hash of what figures depend on in the settings.
            unreadable: The records that could not be read.

        Raises:
            NumberTooLong: A row has a number that the format cannot hold.
            CannotWrite: The disk is full.
        """
        self._flush()
        with writing(self._path):
            self._writer.close()
            manifest = ExportManifest(
                _FORMAT, self._schema.name, self._schema.version, self._format, offsets, keys, code,
                self._written, self._digest.hexdigest(), configuration, self._writer.name, _sha256_of(self._partial),
                unreadable.count, tuple(unreadable.named),
            )  # fmt: skip
            self._put_in_place(manifest)
        return manifest

    def _put_in_place(self, manifest: ExportManifest) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        self._has_manifest = True
        manifest_path(self._path).write_bytes(encoded + b"\n")
        self._partial.rename(self._path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._partial.unlink(missing_ok=True)
        if self._has_manifest:
            manifest_path(self._path).unlink(missing_ok=True)
        # What was not written yet may not be taken any more, and is not wanted.
        with suppress(OSError):
            self._writer.close()

    def _flush(self) -> None:
        rows, self._waiting, self._waiting_text = self._waiting, [], 0
        if not rows:
            return
        columns = by_column(self._schema, rows)
        lines = self._lines.encode(columns)
        self._digest.update(lines)
        with writing(self._path):
            self._writer.write(columns, lines)
        self._written += len(rows)


def manifest_path(path: Path) -> Path:
    """Where the manifest of an export stands."""
    return path.with_name(path.name + ".manifest.json")


def read_manifest(path: Path) -> ExportManifest:
    """Read a manifest.

    Raises:
        BadManifest: It is none of this format.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=ExportManifest)
    except (OSError, msgspec.DecodeError) as error:
        msg = f"expected the manifest of an export at {path}, found: {error}"
        raise BadManifest(msg) from error
    if manifest.format != _FORMAT:
        msg = f"expected a manifest of format {_FORMAT} at {path}, found {manifest.format}: use its version"
        raise BadManifest(msg)
    return manifest


class _LineWriter:
    name = "ndjson"

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, columns: Sequence[Column], lines: bytes) -> None:
        del columns
        self._file.write(lines)

    def close(self) -> None:
        self._file.close()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
