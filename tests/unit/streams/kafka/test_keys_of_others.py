"""What something else wrote into a changelog under a key that its table cannot have."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from models.codec import encode_row
from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    QUOTE_HISTORY,
    QUOTES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    TABLES,
    VALUATIONS,
    WATERMARKS,
)
from models.errors import BadRow
from streams.kafka.feed import CurrentRows
from streams.process.unreadable_rows import UNREADABLE, note_unreadable

OWN = {
    MARKS: ["binance-futures:BTCUSDT", "pyth:Crypto.BTC/USD", "desk:a:b"],
    INSTRUMENTS: ["bitfinex:tBTCF0:USTF0"],
    QUOTES: ["main:7"],
    MARKETS: ["main:1"],
    DEPLOYMENTS: ["main"],
    ACCOUNTS: ["main:0x" + "a" * 40, "desk:Bob_1"],
    WATERMARKS: ["main:0"],
    QUOTE_HISTORY: ["main:0x" + "a" * 40 + ":7"],
    VALUATIONS: ["desk:Bob_1"],
    SUBTOTALS: ["hedger:main:0xb:0", "symbol:main:tBTCF0:USTF0:3", "unhedged:main::1"],
    ALERTS: ["desk:bob"],
    POSITION_STATES: ["main:0xa"],
    REFERENCES: ["desk:symbol:tETHUSD"],
    STATEMENTS: ["desk:ann"],
}
FOREIGN = [b"", b":", b"\xff:1"]
OF_TABLES = {
    DEPLOYMENTS: [b"main:1"],
    MARKETS: [b"main", b"main:BTCUSDT", b"main:-1"],
    WATERMARKS: [b"main:zero", "main:\u0661".encode()],
    SUBTOTALS: [b"main", b"hedger:main", b"hedger:main:0xb", b"guess:main:0xb:0"],
    MARKS: [b"BTCUSDT", b"binance:", b":BTCUSDT"],
}


def counted(table: str) -> float:
    UNREADABLE.labels(table)
    return REGISTRY.get_sample_value("tidemark_unreadable_rows_total", {"table": table}) or 0.0


@pytest.mark.parametrize("table", TABLES)
def test_a_key_that_a_table_cannot_have_is_counted_and_nobody_hears_of_it(table: str) -> None:
    rows, heard, before = CurrentRows(table), list[bytes](), counted(table)
    rows.listen(heard.extend)
    foreign = FOREIGN + OF_TABLES.get(table, [])
    row, own = encode_row(1, 1, {}), [key.encode() for key in OWN[table]]

    rows.take_written([*((key, row) for key in foreign), *((key, row) for key in own)])
    rows.take_written([(key, row) for key in foreign])

    assert own == heard == list(rows.rows)
    assert len(foreign) == counted(table) - before


def test_rows_without_an_order_are_counted_each_once() -> None:
    before = counted(MARKS)

    for row in (b"\0\0\0\0\1frame", b"text", b"text", b"another text"):
        note_unreadable(MARKS, b"pyth:one", row, BadRow("it is none"))

    assert 3 == counted(MARKS) - before
