"""Bars as Parquet, row group after row group, so that a long window takes no more memory than a page of it.

pyarrow is in the extra ``analysis``: a server without it says so.
"""

from __future__ import annotations

import asyncio
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from api.http.problems import NOT_INSTALLED, Problem
from models.history_records import candles_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from models.history import Bar

SCHEMA_VERSION = 1
_NS_A_SECOND = 10**9
_DIGITS, _DECIMALS = 38, 18
_FITS_E18 = 10**_DIGITS
# By default decimals are rounded to 28 digits.
_EXACT = Context(prec=_DIGITS)


class _Sink:
    """Takes what pyarrow writes, until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Does nothing: what was written waits to be taken."""

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


async def parquet_of(
    pages: AsyncIterator[Sequence[Bar]], figures: Sequence[str], values: Sequence[str]
) -> AsyncGenerator[bytes]:
    """The bytes of a file, in parts.

    Args:
        pages: Its bars.
        figures: The figures that each bar has.
        values: The values of each figure.

    Raises:
        Problem: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - only who asks for such a file needs it
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        detail = "expected pyarrow, which writes Parquet, found none: install tidemark[analysis], or ask for .csv"
        raise Problem(NOT_INSTALLED, detail) from error
    names = [f"{figure}_{value}" for figure in figures for value in values]
    fields = [("at", pa.timestamp("ns", tz="UTC"))]
    fields += [
        field for name in names for field in ((name, pa.decimal128(_DIGITS, _DECIMALS)), (f"{name}_text", pa.string()))
    ]
    schema = pa.schema(fields, metadata={"tidemark.schema": "bars", "tidemark.schema_version": str(SCHEMA_VERSION)})
    sink = _Sink()
    writer = pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd")
    try:
        async for bars in pages:
            if bars:
                # A thousand bars are 12,000 decimals, some 10 ms, in which the loop has other work.
                await asyncio.to_thread(_write, pa, writer, schema, _columns(bars, figures, names))
            yield sink.take()
    finally:
        writer.close()
    yield sink.take()


def _write(arrow: Any, writer: Any, schema: Any, columns: dict[str, list[Any]]) -> None:  # noqa: ANN401 - pyarrow's own
    for name in [name for name in columns if name != "at"]:
        cells = columns[name]
        columns[name] = [_decimal(cell) for cell in cells]
        columns[f"{name}_text"] = [None if cell is None or abs(cell) < _FITS_E18 else str(cell) for cell in cells]
    writer.write_table(arrow.Table.from_pydict(columns, schema=schema))


def _columns(bars: Sequence[Bar], figures: Sequence[str], names: Sequence[str]) -> dict[str, list[Any]]:
    rows = [[cell for figure in figures for cell in candles_of(bar)[figure]] for bar in bars]
    columns: dict[str, list[Any]] = {"at": [bar.start_s * _NS_A_SECOND for bar in bars]}
    return columns | {name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}


def _decimal(value_e18: int | None) -> Decimal | None:
    if value_e18 is None or abs(value_e18) >= _FITS_E18:
        return None
    return Decimal(value_e18).scaleb(-_DECIMALS, _EXACT)
