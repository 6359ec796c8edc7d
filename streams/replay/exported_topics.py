"""What exports have of account events, of rows of tables, and of what an api replica made figures of.

Of a row the columns are its key, its order and, as JSON, its body: what is in it depends on the venue. JSON is text in
every format, so that tools read it by functions of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from models.account_events import Transaction, decode_account_record
from models.codec import decode_row
from models.engine.tables import ALERTS, POSITION_STATES, QUOTE_HISTORY
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.kept_inputs import CalculationsMade, FundingMade, decode_kept
from streams.replay.exported_rows import MONEY_E18, PLACE, TEXT, TIME_NS, WHOLE, Schema, place_of, split_row_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.replay.bounded_log import LogRecord
    from streams.replay.exported_rows import Row

K = TypeVar("K", CalculationsMade, FundingMade)

_NS_IN_MS = 1_000_000
_NS_IN_S = 1_000_000_000
_CALCULATIONS, _FUNDING = b":calc:", b":funding:"


def _account_events(record: LogRecord) -> Sequence[Row]:
    value, key = record.value or b"", record.key or b""
    found = decode_account_record(value)
    try:
        deployment, account = split_key(key)
        body = orjson.loads(value)
    except ValueError as error:
        msg = f"expected an account-events record with a key of text, found {value[:80]!r} of {key!r:.200} ({error})"
        raise BadRecord(msg) from error
    time_s = found.time_s if isinstance(found, Transaction) else None
    cells = (
        *place_of(record), deployment, account or None, body["kind"], *found.position, getattr(found, "block", None),
        None if time_s is None else time_s * _NS_IN_S, getattr(found, "tx", None), _text(body),
    )  # fmt: skip
    return (cells,)


def _rows_of_accounts(table: str) -> Callable[[LogRecord], Sequence[Row]]:
    return lambda record: ((*place_of(record), *split_row_key(table, record), *_row(record)),)


def _quotes(record: LogRecord) -> Sequence[Row]:
    deployment, rest = split_row_key(QUOTE_HISTORY, record)
    account, _, quote = rest.rpartition(":")
    return ((*place_of(record), deployment, account, quote, *_row(record)),)


def _fundings(record: LogRecord) -> Sequence[Row]:
    kept = _kept(record, _FUNDING, FundingMade)
    if kept is None:
        return ()
    deployment, made = kept
    said = (*place_of(record), deployment, made.at_ms * _NS_IN_MS, made.share, made.max_rate, int(made.is_scaled))
    try:
        return [
            (*said, market, one.symbol_id, one.tick_offset, int(one.rate_e18), one.epoch_s, one.interval_s)
            for market, one in sorted(made.markets.items())
        ]
    except ValueError as error:
        msg = f"expected rates that are whole numbers, found {record.value!r:.200} ({error})"
        raise BadRow(msg) from error


def _calculations(record: LogRecord) -> Sequence[Row]:
    kept = _kept(record, _CALCULATIONS, CalculationsMade)
    if kept is None:
        return ()
    deployment, made = kept
    marks = {
        market: None if one is None else {"mark_key": one.key, "mark_offset": one.offset, "stale": one.stale}
        for market, one in made.marks.items()
    }
    said = (*place_of(record), deployment, made.at_ms * _NS_IN_MS)
    # Thousands of calculations may share them.
    inputs = (_text(marks), _text(made.references))
    return [
        (*said, number, account, term, version, asked, *inputs)
        for number, (account, term, version, asked) in enumerate(made.asked)
    ]


def _row(record: LogRecord) -> Row:
    """Order and body of a row; a tombstone has neither."""
    if record.value is None:
        return None, None, None
    row = decode_row(record.value)
    return row.term, row.version, _text(row.body)


def _kept(record: LogRecord, prefix: bytes, kind: type[K]) -> tuple[str, K] | None:
    """Of which deployment figures were made, and of what; None of a record of something else."""
    key = record.key or b""
    if record.value is None or not key.startswith(prefix):
        return None
    made = decode_kept(record.value)
    try:
        deployment = key.removeprefix(prefix).decode()
    except UnicodeDecodeError as error:
        msg = f"expected the name of a deployment behind {prefix!r}, found {key!r:.200}"
        raise BadRow(msg) from error
    if not isinstance(made, kind):
        msg = f"expected what {key!r:.200} is of, a {kind.__name__}, found a {type(made).__name__}"
        raise BadRow(msg)
    return deployment, made


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        msg = f"expected numbers of 64 bits, found {value!r:.200} ({error})"
        raise BadRow(msg) from error


_ACCOUNT = {**PLACE, "deployment": TEXT, "account": TEXT}
_ROW = {"term": WHOLE, "version": WHOLE, "body": TEXT}
TOPIC_SCHEMAS = (
    Schema(
        "account-events",
        1,
        {
            **_ACCOUNT, "kind": TEXT, "log_offset": WHOLE, "log_index": WHOLE, "block": WHOLE, "block_time": TIME_NS,
            "tx": TEXT, "body": TEXT,
        },
        _account_events,
    ),
    Schema("alerts", 1, {**_ACCOUNT, **_ROW}, _rows_of_accounts(ALERTS)),
    Schema("position-states", 1, {**_ACCOUNT, **_ROW}, _rows_of_accounts(POSITION_STATES)),
    Schema("quote-history", 1, {**_ACCOUNT, "quote": TEXT, **_ROW}, _quotes),
    Schema(
        "fundings",
        1,
        {
            **PLACE, "deployment": TEXT, "at": TIME_NS, "share": TEXT, "max_rate": TEXT, "scaled": WHOLE,
            "market": TEXT, "symbol_id": WHOLE, "tick_offset": WHOLE, "rate": MONEY_E18, "epoch_s": WHOLE,
            "interval_s": WHOLE,
        },
        _fundings,
    ),
    Schema(
        "calculations",
        1,
        {
            **PLACE, "deployment": TEXT, "at": TIME_NS, "number": WHOLE, "account": TEXT, "statement_term": WHOLE,
            "statement_version": WHOLE, "calculation": TEXT, "marks": TEXT, "references": TEXT,
        },
        _calculations,
    ),
)  # fmt: skip
