"""However records are cut, delivered again or folded anew after a crash, a reader is told each event once, in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from tidemark_options import PACKAGE

from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import STATEMENTS
from models.statements import decode_statement
from tidemark.venue import Own

if TYPE_CHECKING:
    from models.engine.tables import MemoryTables

ID = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
KEY = f"coins:{ID}".encode()
NOW_MS = 1_700_000_005_000

_records = st.lists(
    st.one_of(
        st.integers(-5, 5).map(lambda coins: {"kind": "paid", "time_ms": 1, "wallet": "main", "amount": str(coins)}),
        st.integers(0, 3).map(lambda name: {"kind": "order", "time_ms": 2, "id": str(name), "margin": "0.1"}),
    ),
    min_size=1,
    max_size=30,
)  # fmt: skip
# How many records a slice has, and after how many of its stages the worker is killed; 9 lets it write all of them.
_cuts = st.lists(st.tuples(st.integers(1, 6), st.sampled_from((0, 1, 9, 9))), max_size=40)


class Reader:
    """Reads each row of statements that is written, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.missed = False

    def read(self, row: bytes) -> None:
        news = decode_statement(row).events_after(len(self.told))
        if news is None:
            self.missed = True
            return
        self.told += [event.body for event in news]


def _engine(tables: MemoryTables | None = None) -> Engine:
    return Engine({"coins": EngineDeployment(PACKAGE.venue, None)}, tables)


def _write(engine: Engine, reader: Reader, stages: int) -> bool:
    """Write the first stages of what was folded; tell whether those were all."""
    step = engine.partition["inverse"].accounts.take()
    for stage in step.stages[:stages]:
        for write in stage.writes:
            engine.tables.put(write)
            if write.table == STATEMENTS:
                reader.read(engine.tables.read(*write[:2]) or b"")
        engine.partition.written("inverse", stage)
    return stages >= len(step.stages)


def _folded(engine: Engine, records: list[dict[str, Any]], first: int, end: int) -> None:
    for offset in range(first, end):
        engine.account_record(KEY, Own((offset, -1), json.dumps(records[offset]).encode()), NOW_MS)


@given(_records, _cuts)
def test_each_event_is_told_once_in_order_through_crashes(
    records: list[dict[str, Any]], cuts: list[tuple[int, int]]
) -> None:
    once, reader, engine, committed = _engine(), Reader(), _engine(), 0
    _folded(once, records, 0, len(records))
    _write(once, Reader(), 9)
    for size, stages in [*cuts, *([(len(records), 9)] * 2)]:
        end = min(committed + size, len(records))
        _folded(engine, records, committed, end)
        if _write(engine, reader, stages):
            committed = end
        else:
            engine = _engine(engine.tables)

    assert not reader.missed
    assert records == reader.told
    assert engine.tables.read(STATEMENTS, KEY) == once.tables.read(STATEMENTS, KEY)
