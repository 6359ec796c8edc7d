"""Rows of an answer, which become tables of Arrow, pandas or DuckDB where these are installed."""

from __future__ import annotations

from decimal import Context, Decimal
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, overload

from models.errors import TidemarkError
from models.instants import rfc3339
from streams.replay.exported_rows import MONEY_E18, TIME_NS
from streams.replay.row_tables import arrow_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.replay.exported_rows import Row, Schema
    from streams.replay.unreadable_records import UnreadableRecord

_NS_IN_MS = 1_000_000
# A uint256 has 78 digits.
_EXACT = Context(prec=100)
# A notebook shows so many rows of a table.
_SHOWN = 20


class NeedsExtra(TidemarkError):
    """A package that this needs is not installed. The message says which, and how to install it."""


class Table:
    """Some rows, each with the same columns.

    Rows are handed out as dictionaries: money as ``Decimal``, times as ns since 1970; a slice of them is a table.

    Args:
        schema: Names and kinds of the columns.
        rows: Their cells, in the order of the columns: money as 1e18-scaled ints.
        note: What is to be said of them, such as which offsets they come from.
        unreadable: How many records could not be read, so that their rows are missing.
        unreadable_records: The first of these, with the cause of each.
    """

    def __init__(
        self, schema: Schema, rows: Sequence[Row], note: str = "", *, unreadable: int = 0,
        unreadable_records: Sequence[UnreadableRecord] = (),
    ) -> None:  # fmt: skip
        self._schema = schema
        self._rows = rows
        self.note = note
        self.unreadable = unreadable
        self.unreadable_records = unreadable_records

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._schema.columns)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._plain(row) for row in self._rows)

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, at: slice) -> Table: ...

    def __getitem__(self, at: int | slice) -> dict[str, Any] | Table:
        if isinstance(at, slice):
            return Table(
                self._schema, self._rows[at], self.note,
                unreadable=self.unreadable, unreadable_records=self.unreadable_records,
            )  # fmt: skip
        return self._plain(self._rows[at])

    def __repr__(self) -> str:
        missing = f"; {self.unreadable} records could not be read" if self.unreadable else ""
        return f"{len(self)} rows of {', '.join(self.columns)}{missing}"

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow may be missing
        """A ``pyarrow.Table``, with the columns and types of an export (docs/replay.md).

        Raises:
            NoPyarrow: It is not installed.
        """
        return arrow_table(self._schema, self._rows)

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas may be missing
        """A ``pandas.DataFrame`` of the same columns.

        Raises:
            NeedsExtra: pandas is not installed.
            NoPyarrow: pyarrow is not.
        """
        if find_spec("pandas") is None:
            msg = "expected pandas, found none: pip install pandas, beside tidemark[analysis]"
            raise NeedsExtra(msg)
        return self.to_arrow().to_pandas()

    def to_duckdb(self, name: str, connection: Any = None) -> Any:  # noqa: ANN401 - duckdb may be missing
        """Have DuckDB know it under a name, and return the connection, whose ``sql`` takes queries.

        Args:
            name: The name in queries.
            connection: Where; by default a new one in memory.

        Raises:
            NeedsExtra: duckdb is not installed.
            NoPyarrow: pyarrow is not.
        """
        try:
            import duckdb  # noqa: PLC0415 - only who asks for it needs it
        except ImportError as error:
            msg = "expected duckdb, found none: install tidemark[analysis]"
            raise NeedsExtra(msg) from error
        connected = duckdb.connect() if connection is None else connection
        connected.register(name, self.to_arrow())
        return connected

    def _plain(self, row: Row) -> dict[str, Any]:
        return {
            name: decimal_of(cell) if kind == MONEY_E18 and cell is not None else cell
            for (name, kind), cell in zip(self._schema.columns.items(), row, strict=True)
        }

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        lines = "".join(f"<tr>{self._cells(row)}</tr>" for row in self._rows[:_SHOWN])
        more = f" {len(self) - _SHOWN} more." if len(self) > _SHOWN else ""
        said = escape(f"{len(self)} rows.{more} {self.note}".strip())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table><p>{said}</p>"

    def _cells(self, row: Row) -> str:
        kinds = self._schema.columns.values()
        return "".join(f"<td>{escape(_shown(kind, cell))}</td>" for kind, cell in zip(kinds, row, strict=True))


def decimal_of(value_e18: int) -> Decimal:
    """A 1e18-scaled int as a decimal, to the last digit."""
    return Decimal(value_e18).scaleb(-18, _EXACT)


def _shown(kind: str, cell: Any) -> str:  # noqa: ANN401 - whatever stands in a cell
    if cell is None:
        return ""
    if kind == MONEY_E18:
        return f"{decimal_of(cell):f}"
    return rfc3339(cell // _NS_IN_MS) if kind == TIME_NS else str(cell)
