"""What exports have of account events, of rows of tables, and of what an api replica made figures of.

Of a row the columns are its key, its order and, as JSON, its body: what is in it depends on the venue. JSON is text in
every format, so that tools read it by functions of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from models.account_events import decode_account_record
from models.codec import decode_row
from models.engine.tables import ACCOUNTS, QUOTE_HISTORY
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.kept_inputs import CalculationsMade, FundingMade, decode_kept
from models.row_keys import key_test
from streams.replay.exported_rows import MONEY_E18, PLACE, TEXT, TIME_NS, WHOLE, Schema, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.replay.bounded_log import LogRecord
    from streams.replay.exported_rows import Row

_is_account, _is_finished_quote = key_test(ACCOUNTS), key_test(QUOTE_HISTORY)
_NS_IN_MS = 1_000_000
_NS_IN_S = 1_000_000_000
_CALCULATIONS, _FUNDING = b":calc:", b":funding:"


def _account_events(record: LogRecord) -> Sequence[Row]:
    try:
        found = decode_account_record(record.value or b"")
    except BadRecord:
        return ()
    deployment, _, account = (record.key or b"").decode(errors="replace").partition(":")
    body = orjson.loads(record.value or b"")
    time_s = body.get("time_s")
    cells = (
        *place_of(record), deployment, account or None, body["kind"], *found.position, body.get("block"),
        None if time_s is None else time_s * _NS_IN_S, body.get("tx"), _text(body),
    )  # fmt: skip
    return (cells,)


def _rows_of_accounts(record: LogRecord) -> Sequence[Row]:
    key, found = record.key or b"", _row(record)
    return ((*place_of(record), *split_key(key), *found),) if found is not None and _is_account(key) else ()


def _quotes(record: LogRecord) -> Sequence[Row]:
    key, found = record.key or b"", _row(record)
    if found is None or not _is_finished_quote(key):
        return ()
    of, _, quote = key.rpartition(b":")
    return ((*place_of(record), *split_key(of), quote.decode(), *found),)


def _fundings(record: LogRecord) -> Sequence[Row]:
    made = _kept(record, _FUNDING)
    if not isinstance(made, FundingMade):
        return ()
    deployment = (record.key or b"").removeprefix(_FUNDING).decode(errors="replace")
    said = (*place_of(record), deployment, made.at_ms * _NS_IN_MS, made.share, made.max_rate, int(made.is_scaled))
    return [
        (*said, market, one.symbol_id, one.tick_offset, int(one.rate_e18), one.epoch_s, one.interval_s)
        for market, one in sorted(made.markets.items())
    ]


def _calculations(record: LogRecord) -> Sequence[Row]:
    made = _kept(record, _CALCULATIONS)
    if not isinstance(made, CalculationsMade):
        return ()
    marks = {
        market: None if one is None else {"mark_key": one.key, "mark_offset": one.offset, "stale": one.stale}
        for market, one in made.marks.items()
    }
    deployment = (record.key or b"").removeprefix(_CALCULATIONS).decode(errors="replace")
    said = (*place_of(record), deployment, made.at_ms * _NS_IN_MS)
    # Thousands of calculations may share them.
    inputs = (_text(marks), _text(made.references))
    return [
        (*said, number, account, term, version, asked, *inputs)
        for number, (account, term, version, asked) in enumerate(made.asked)
    ]


def _row(record: LogRecord) -> Row | None:
    """Order and body of a row; a tombstone has neither."""
    if record.value is None:
        return None, None, None
    try:
        row = decode_row(record.value)
    except BadRow:
        return None
    return row.term, row.version, _text(row.body)


def _kept(record: LogRecord, prefix: bytes) -> CalculationsMade | FundingMade | None:
    if record.value is None or not (record.key or b"").startswith(prefix):
        return None
    try:
        return decode_kept(record.value)
    except BadRow:
        return None


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


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
    Schema("alerts", 1, {**_ACCOUNT, **_ROW}, _rows_of_accounts),
    Schema("position-states", 1, {**_ACCOUNT, **_ROW}, _rows_of_accounts),
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
