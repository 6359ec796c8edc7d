"""What an export has of a record: one row of plain columns, of which every format is made.

Schemas are versioned: a column is never given another meaning, and whoever adds one raises the version.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.codec import decode_row
from models.errors import BadNumber, BadRecord, BadRow
from models.ids import split_key
from models.prices import decode_tick, mark_of
from models.provenance import MADE_FROM
from models.served import is_of_account
from streams.replay.bounded_log import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.replay.bounded_log import LogRecord

_NS_IN_MS = 1_000_000
TEXT, WHOLE, TIME_NS, MONEY_E18 = "text", "whole", "time_ns", "money_e18"
Row = dict[str, Any]


class NumberTooLong(ReplayError):
    """A whole number of a row has more bits than the format can hold. Choose other keys, or another window."""


class Schema(NamedTuple):
    """The columns of an export, by name and kind, and what reads rows from a record: none of one that is of others."""

    name: str
    version: int
    columns: Mapping[str, str]
    read: Callable[[LogRecord], Iterator[Row]]


def place_of(record: LogRecord) -> Row:
    """The columns of ``PLACE``: where a record stands, and its own time."""
    return {"time": record.time_ms * _NS_IN_MS, "partition": record.partition, "offset": record.offset}


def _valuation(record: LogRecord) -> Iterator[Row]:
    key = record.key or b""
    if record.value is None or not is_of_account(key):
        return
    try:
        row = decode_row(record.value)
    except BadRow:
        return
    body = row.body
    deployment, account = split_key(key)
    made = body.get(MADE_FROM)
    yield {
        **place_of(record),
        "deployment": deployment,
        "account": account,
        "term": row.term,
        "version": row.version,
        "status": body["status"],
        "stale": body["stale"],
        "unpriced": body["unpriced"],
        **{name: None if body[name] is None else int(body[name]) for name in _FIGURES},
        "as_of": body["as_of_ms"] * _NS_IN_MS,
        "made_at": None if made is None else made["at_ms"] * _NS_IN_MS,
    }


def _price(record: LogRecord) -> Iterator[Row]:
    try:
        tick = decode_tick(record.value or b"")
        mark = mark_of(tick, record.offset)
    except (BadRecord, BadNumber):
        return
    yield {
        **place_of(record),
        "source": tick.source,
        "symbol": tick.symbol,
        "event": tick.event_ms * _NS_IN_MS,
        "received": tick.received_ms * _NS_IN_MS,
        "mark": mark.mark_e18,
        "index": mark.index_e18,
        "funding_rate": mark.funding_rate_e18,
    }


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


class RowDigest:
    """The SHA-256 of rows in their order, the same in whatever format they are written."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.rows = 0

    def take(self, line: bytes) -> None:
        """Count a row, as ``json_row`` encodes it."""
        self._sha256.update(line)
        self.rows += 1

    def text(self) -> str:
        """The digest so far."""
        return self._sha256.hexdigest()


def json_row(schema: Schema, row: Row) -> bytes:
    """One line of NDJSON: money is decimal text of the 1e18-scaled int, times are ns since 1970.

    Args:
        schema: The row's.
        row: The row.

    Raises:
        NumberTooLong: It has a whole number that is none of 64 bits.
    """
    kinds = schema.columns
    cells = {name: str(cell) if kinds[name] == MONEY_E18 and cell is not None else cell for name, cell in row.items()}
    try:
        return orjson.dumps(cells, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        msg = f"expected whole numbers of {schema.name} below 2**64, found a row without: {row!r:.300}"
        raise NumberTooLong(msg) from error
