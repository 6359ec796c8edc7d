"""Exports as files: NDJSON by itself, Parquet and Arrow by pyarrow, which the extra ``analysis`` brings.

Beside each file stands a manifest, by which the same rows can be exported again, and are known to be the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from models.errors import TidemarkError
from streams.replay.bounded_log import ReplayError
from streams.replay.exported_rows import MONEY_E18, TEXT, TIME_NS, WHOLE, NumberTooLong, RowDigest, json_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.replay.exported_rows import Row, Schema

_FORMAT = 1
_ROWS_AT_ONCE = 50_000
_DIGITS, _DECIMALS = 38, 18
_FITS_E18 = 10**_DIGITS
_NULL = bytes(16)


class BadManifest(ReplayError):
    """A manifest of an export cannot be read, or is of another format."""


class ExportExists(ReplayError):
    """There is something where an export is to be written. Name another file, or remove it."""


class NoPyarrow(TidemarkError):
    """Parquet and Arrow need pyarrow: install tidemark[analysis]."""


class ExportManifest(msgspec.Struct, frozen=True):
    """What an export holds and was made of.

    ``offsets`` is the window as ``--offsets`` takes it, ``keys`` those that were chosen, ``code`` the version that made
    it, ``sha256`` the digest of the rows, whatever ``file_format`` they are in. ``configuration`` is the hash of what
    figures depend on in the settings, ``writer`` what wrote the file, and ``file_sha256`` the file's own digest, which
    is the same again where the same writer writes it.
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


class RowWriter(Protocol):
    """Writes rows of one schema in one format; files of the same rows by a writer of one name are the same bytes."""

    name: str

    def write(self, rows: list[Row], lines: list[bytes]) -> None:
        """Write some rows, and the same as lines of NDJSON."""

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
    """

    def __init__(self, path: Path, file_format: str, schema: Schema) -> None:
        self._path, self._format, self._schema = path, file_format, schema
        self._partial = path.with_name(path.name + ".partial")
        for one in (path, self._partial, manifest_path(path)):
            if one.exists():
                msg = f"expected nothing at {one}, found something; name another file, or remove it"
                raise ExportExists(msg)
        self._writer: RowWriter = (
            _Lines(self._partial) if file_format == "ndjson" else table_writer(self._partial, file_format, schema)
        )
        self._digest = RowDigest()
        self._rows: list[Row] = []
        self._lines: list[bytes] = []
        self._has_manifest = False

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return self._digest.rows

    def take(self, row: Row) -> None:
        """Write a row."""
        line = json_row(self._schema, row)
        self._digest.take(line)
        self._rows.append(row)
        self._lines.append(line)
        if len(self._rows) == _ROWS_AT_ONCE:
            self._flush()

    def finish(self, *, offsets: str, keys: tuple[str, ...], code: str, configuration: str) -> ExportManifest:
        """Write the manifest, and put the export in its place.

        Args:
            offsets: The window, as ``--offsets`` takes it.
            keys: Those that were chosen; none for all.
            code: The version of the code.
            configuration: The hash of what figures depend on in the settings.
        """
        self._flush()
        self._writer.close()
        manifest = ExportManifest(
            _FORMAT, self._schema.name, self._schema.version, self._format, offsets, keys, code,
            self._digest.rows, self._digest.text(), configuration, self._writer.name, _sha256_of(self._partial),
        )  # fmt: skip
        encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        self._has_manifest = True
        manifest_path(self._path).write_bytes(encoded + b"\n")
        self._partial.rename(self._path)
        return manifest

    def abandon(self) -> None:
        """Remove what was written."""
        self._partial.unlink(missing_ok=True)
        if self._has_manifest:
            manifest_path(self._path).unlink(missing_ok=True)
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write(self._rows, self._lines)
        self._rows, self._lines = [], []


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


class _Lines:
    name = "ndjson"

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, rows: list[Row], lines: list[bytes]) -> None:
        del rows
        self._file.writelines(lines)

    def close(self) -> None:
        self._file.close()


class _Tables:
    """Writes by pyarrow."""

    def __init__(self, arrow: Any, writer: Any, schema: Schema, arrow_schema: Any) -> None:  # noqa: ANN401
        self.name = f"pyarrow {arrow.__version__}"
        self._arrow, self._writer, self._schema, self._arrow_schema = arrow, writer, schema, arrow_schema

    def write(self, rows: list[Row], lines: list[bytes]) -> None:
        del lines
        self._writer.write_table(_table_of(self._arrow, self._schema, rows, self._arrow_schema))

    def close(self) -> None:
        self._writer.close()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_writer(path: Path, file_format: str, schema: Schema) -> RowWriter:
    """Open a file of columns.

    Args:
        path: Where it is written.
        file_format: ``parquet`` or ``arrow``.
        schema: That of the rows.

    Raises:
        NoPyarrow: pyarrow is not installed.
    """
    pa, arrow_schema = _arrow_of(schema, f"writes {file_format}")
    if file_format == "parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 - only who asks for it needs it

        writer = pq.ParquetWriter(path, arrow_schema, compression="zstd")
    else:
        writer = pa.ipc.new_file(str(path), arrow_schema)
    return _Tables(pa, writer, schema, arrow_schema)


def arrow_table(schema: Schema, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - pyarrow may be missing
    """The rows of a schema as a table of pyarrow, in the columns that an export has.

    Args:
        schema: The rows'.
        rows: The rows.

    Raises:
        NoPyarrow: It is not installed.
    """
    pa, arrow_schema = _arrow_of(schema, "makes tables of Arrow")
    return _table_of(pa, schema, rows, arrow_schema)


def _arrow_of(schema: Schema, does: str) -> tuple[Any, Any]:
    """Import pyarrow, and make its schema of one of ours."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - only who asks for it needs it
    except ImportError as error:
        msg = f"expected pyarrow, which {does}, found none: install tidemark[analysis]"
        raise NoPyarrow(msg) from error
    kinds = {
        TEXT: pa.string(),
        WHOLE: pa.int64(),
        TIME_NS: pa.timestamp("ns", tz="UTC"),
        MONEY_E18: pa.decimal128(_DIGITS, _DECIMALS),
    }
    fields = []
    for name, kind in schema.columns.items():
        fields.append((name, kinds[kind]))
        if kind == MONEY_E18:
            fields.append((f"{name}_text", pa.string()))
    metadata = {"tidemark.schema": schema.name, "tidemark.schema_version": str(schema.version)}
    return pa, pa.schema(fields, metadata=metadata)


def _table_of(arrow: Any, schema: Schema, rows: Sequence[Row], arrow_schema: Any) -> Any:  # noqa: ANN401
    columns: dict[str, list[Any]] = {}
    for name, kind in schema.columns.items():
        cells = [row[name] for row in rows]
        if kind == MONEY_E18:
            columns[name] = _decimals(arrow, cells)
            columns[f"{name}_text"] = [
                str(cell) if cell is not None and abs(cell) >= _FITS_E18 else None for cell in cells
            ]
        else:
            columns[name] = cells
    try:
        return arrow.Table.from_pydict(columns, schema=arrow_schema)
    except OverflowError as error:
        msg = (
            f"expected whole numbers of {schema.name} below 2**63, found a longer one: only NDJSON has it, below 2**64"
        )
        raise NumberTooLong(msg) from error


def _decimals(arrow: Any, cells_e18: Sequence[int | None]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Decimals of 18 places, null where they do not fit. Made of bytes: one by one they take ten times as long."""
    fits = [cell is not None and -_FITS_E18 < cell < _FITS_E18 for cell in cells_e18]
    raw = b"".join(
        cell.to_bytes(16, "little", signed=True) if is_fit and cell is not None else _NULL
        for cell, is_fit in zip(cells_e18, fits, strict=True)
    )
    validity = np.packbits(fits, bitorder="little").tobytes()
    kind = arrow.decimal128(_DIGITS, _DECIMALS)
    return arrow.Array.from_buffers(kind, len(fits), [arrow.py_buffer(validity), arrow.py_buffer(raw)])
