"""Rows of an export as tables of Arrow and as files of these, by pyarrow, which the extra ``analysis`` brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import TidemarkError
from streams.replay.bounded_log import ReplayError
from streams.replay.exported_rows import MONEY_E18, TEXT, TIME_NS, WHOLE, by_column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.replay.exported_rows import Column, Row, Schema

_DIGITS, _DECIMALS = 38, 18
# It rises whenever the same rows become other bytes by the same pyarrow.
_LAYOUT = 3


class NoPyarrow(TidemarkError):
    """Parquet and Arrow need pyarrow: install tidemark[analysis]."""


class NumberTooLong(ReplayError):
    """A whole number of a row has more bits than a column can hold. Export it as NDJSON, which has any number."""


class TableWriter:
    """Writes rows to a file of columns.

    ``name`` is what wrote it: files of the same rows by the same name are the same bytes.

    Args:
        path: Where it is written.
        file_format: ``parquet`` or ``arrow``.
        schema: That of the rows.

    Raises:
        NoPyarrow: pyarrow is not installed.
    """

    def __init__(self, path: Path, file_format: str, schema: Schema) -> None:
        self._arrow, self._arrow_schema = _arrow_of(schema, f"writes {file_format}")
        self._schema = schema
        self.name = f"pyarrow {self._arrow.__version__}, layout {_LAYOUT}"
        if file_format == "parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415 - only who asks for it needs it

            # Of texts there are few, numbers and times are near those before them, and of money each is another:
            # dictionaries of all of them, which is the default, would take three times as long and twice the bytes.
            near = [name for name, kind in schema.columns.items() if kind in {WHOLE, TIME_NS}]
            self._writer: Any = pq.ParquetWriter(
                path,
                self._arrow_schema,
                compression="zstd",
                use_dictionary=[field.name for field in self._arrow_schema if field.type == self._arrow.string()],
                column_encoding=dict.fromkeys(near, "DELTA_BINARY_PACKED"),
            )
        else:
            self._writer = self._arrow.ipc.new_file(str(path), self._arrow_schema)

    def write(self, columns: Sequence[Column], lines: bytes) -> None:
        """Write some rows.

        Args:
            columns: Their cells, as ``by_column`` makes them.
            lines: The same as NDJSON, of which nothing is needed.

        Raises:
            NumberTooLong: One has a whole number that is none of 63 bits and a sign.
        """
        del lines
        self._writer.write_table(_table_of(self._arrow, self._schema, columns, self._arrow_schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def arrow_table(schema: Schema, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - pyarrow may be missing
    """The rows of a schema as a table of pyarrow, in the columns that an export has.

    Args:
        schema: The rows'.
        rows: The rows.

    Raises:
        NoPyarrow: It is not installed.
    """
    arrow, arrow_schema = _arrow_of(schema, "makes tables of Arrow")
    return _table_of(arrow, schema, by_column(schema, rows), arrow_schema)


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


def _table_of(arrow: Any, schema: Schema, columns: Sequence[Column], arrow_schema: Any) -> Any:  # noqa: ANN401
    arrays: list[Any] = []
    try:
        for kind, cells in zip(schema.columns.values(), columns, strict=True):
            if kind == MONEY_E18:
                arrays += _money(arrow, cells)
            else:
                arrays.append(arrow.array(cells, arrow_schema.field(len(arrays)).type))
    except OverflowError as error:
        msg = f"expected whole numbers of {schema.name} below 2**63, found a longer one: only NDJSON has it"
        raise NumberTooLong(msg) from error
    return arrow.Table.from_arrays(arrays, schema=arrow_schema)


def _money(arrow: Any, texts: Column) -> tuple[Any, Any]:  # noqa: ANN401 - pyarrow has no types
    """Decimals of 18 places, null where they do not fit, and the texts of these.

    pyarrow reads the texts as integers, which differ from the decimals by nothing but where the point is.
    """
    integers = arrow.decimal128(_DIGITS, 0)
    try:
        read, too_long = arrow.array(texts, arrow.string()).cast(integers), arrow.nulls(len(texts), arrow.string())
    except arrow.ArrowInvalid:
        fits = [text is not None and len(text.lstrip("-")) <= _DIGITS for text in texts]
        short = [text if is_fit else None for text, is_fit in zip(texts, fits, strict=True)]
        read = arrow.array(short, arrow.string()).cast(integers)
        long = [None if is_fit else text for text, is_fit in zip(texts, fits, strict=True)]
        too_long = arrow.array(long, arrow.string())
    return arrow.Array.from_buffers(arrow.decimal128(_DIGITS, _DECIMALS), len(texts), read.buffers()), too_long
