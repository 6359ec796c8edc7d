"""What an export has of a record: one row of plain cells, of which every format is made.

Schemas are versioned: a column is never given another meaning, and whoever adds one raises the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.body_reader import amount_of, body_reader, no_row
from models.codec import decode_order
from models.engine.tables import VALUATIONS
from models.ids import split_key
from models.prices import decode_tick, mark_of
from models.row_keys import expect_key
from models.served import is_of_account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.replay.bounded_log import LogRecord

_NS_IN_MS = 1_000_000
TEXT, WHOLE, TIME_NS, MONEY_E18 = "text", "whole", "time_ns", "money_e18"
Row = tuple[Any, ...]
Column = Sequence[Any]


class Schema(NamedTuple):
    """The columns of an export, by name and kind, and what reads rows from a record: none of one that is of others.

    The cells of a row are in the order of the columns; money is a 1e18-scaled int. ``read`` raises ``BadRecord`` or
    ``BadRow`` at a record that cannot be read.
    """

    name: str
    version: int
    columns: Mapping[str, str]
    read: Callable[[LogRecord], Sequence[Row]]


def by_column(schema: Schema, rows: Sequence[Row]) -> Sequence[Column]:
    """The cells of rows, column by column; money is decimal text of the 1e18-scaled int."""
    columns: Sequence[Column] = list(zip(*rows, strict=True)) if rows else [()] * len(schema.columns)
    kinds = schema.columns.values()
    return [_texts(column) if kind == MONEY_E18 else column for kind, column in zip(kinds, columns, strict=True)]


def _texts(column: Column) -> list[str | None]:
    return [None if cell is None else str(cell) for cell in column]


def place_of(record: LogRecord) -> Row:
    """The cells of ``PLACE``: the record's own time, and where it stands."""
    return record.time_ms * _NS_IN_MS, record.partition, record.offset


def split_row_key(table: str, record: LogRecord) -> tuple[str, str]:
    """Split the key of a table's record as ``split_key`` does.

    Args:
        table: The table.
        record: The record.

    Raises:
        BadRecord: The key is none of the table's.
    """
    key = record.key or b""
    expect_key(table, key)
    return split_key(key)


class _MadeFrom(msgspec.Struct, gc=False):
    at_ms: int


class _Shown(msgspec.Struct, gc=False):
    """The columns that an export has of a row of ``valuations``."""

    status: str
    stale: int
    unpriced: int
    upnl: str | None
    notional: str | None
    equity: str | None
    available_balance: str | None
    as_of_ms: int | None
    made_from: _MadeFrom | None = None


_read_shown = body_reader(VALUATIONS, _Shown)


def _valuation(record: LogRecord) -> Sequence[Row]:
    value = record.value
    if value is None or not is_of_account(record.key or b""):
        return ()
    deployment, account = split_row_key(VALUATIONS, record)
    body, (term, version) = _read_shown(value), decode_order(value)
    try:
        figures = [amount_of(text) for text in (body.upnl, body.notional, body.equity, body.available_balance)]
    except ValueError as error:
        raise no_row(value, VALUATIONS, error) from error
    made = body.made_from
    cells = (
        *place_of(record), deployment, account, term, version, body.status, body.stale, body.unpriced, *figures,
        _ns(body.as_of_ms), None if made is None else _ns(made.at_ms),
    )  # fmt: skip
    return (cells,)


def _ns(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms * _NS_IN_MS


def _price(record: LogRecord) -> Sequence[Row]:
    tick = decode_tick(record.value or b"")
    mark = mark_of(tick, record.offset)
    cells = (
        *place_of(record), tick.source, tick.symbol, tick.event_ms * _NS_IN_MS, tick.received_ms * _NS_IN_MS,
        mark.mark_e18, mark.index_e18, mark.funding_rate_e18,
    )  # fmt: skip
    return (cells,)


_FIGURES = ("upnl", "notional", "equity", "available_balance")
PLACE = {"time": TIME_NS, "partition": WHOLE, "offset": WHOLE}
VALUATIONS_SCHEMA = Schema(
    "valuations",
    1,
    {
        **PLACE, "deployment": TEXT, "account": TEXT, "term": WHOLE, "version": WHOLE, "status": TEXT, "stale": WHOLE,
        "unpriced": WHOLE, **dict.fromkeys(_FIGURES, MONEY_E18), "as_of": TIME_NS, "made_at": TIME_NS,
    },
    _valuation,
)  # fmt: skip
PRICES_SCHEMA = Schema(
    "prices",
    1,
    {
        **PLACE, "source": TEXT, "symbol": TEXT, "event": TIME_NS, "received": TIME_NS, "mark": MONEY_E18,
        "index": MONEY_E18, "funding_rate": MONEY_E18,
    },
    _price,
)  # fmt: skip
