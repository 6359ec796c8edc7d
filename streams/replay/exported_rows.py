"""What an export has of a record: one row of plain cells, of which every format is made.

Schemas are versioned: a column is never given another meaning, and whoever adds one raises the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.errors import BadNumber, BadRecord, BadRow
from models.ids import split_key
from models.prices import decode_tick, mark_of
from models.provenance import MADE_FROM
from models.row_keys import key_test

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.replay.bounded_log import LogRecord

_is_account = key_test(VALUATIONS)
_NS_IN_MS = 1_000_000
TEXT, WHOLE, TIME_NS, MONEY_E18 = "text", "whole", "time_ns", "money_e18"
Row = tuple[Any, ...]
Column = Sequence[Any]


class Schema(NamedTuple):
    """The columns of an export, by name and kind, and what reads rows from a record: none of one that is of others.

    The cells of a row are in the order of the columns; money is a 1e18-scaled int.
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


def _valuation(record: LogRecord) -> Sequence[Row]:
    key = record.key or b""
    if record.value is None or not _is_account(key):
        return ()
    try:
        row = decode_row(record.value)
    except BadRow:
        return ()
    body = row.body
    deployment, account = split_key(key)
    made = body.get(MADE_FROM)
    cells = (
        *place_of(record), deployment, account, row.term, row.version, body["status"], body["stale"], body["unpriced"],
        *(None if body[name] is None else int(body[name]) for name in _FIGURES),
        body["as_of_ms"] * _NS_IN_MS, None if made is None else made["at_ms"] * _NS_IN_MS,
    )  # fmt: skip
    return (cells,)


def _price(record: LogRecord) -> Sequence[Row]:
    try:
        tick = decode_tick(record.value or b"")
        mark = mark_of(tick, record.offset)
    except (BadRecord, BadNumber):
        return ()
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
