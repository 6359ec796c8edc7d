"""The newest that was said of a key is its row, whatever order it came in and wherever steps were cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codec import decode_order
from models.engine.registers import instrument_registers, mark_registers
from models.engine.step import RowId, Step
from models.engine.tables import INSTRUMENTS, MARKS, MemoryTables
from models.errors import BadRecord
from models.instruments import FundingTermsFact, TickerFact, decode_instrument
from models.prices import Mark, decode_mark

if TYPE_CHECKING:
    from collections.abc import Sequence

BTC, ETH = b"venue:BTC", b"venue:ETH"
TICKER = TickerFact("venue", "BTC", 5, "-1.230", "123456789.12")
FUNDING = FundingTermsFact("venue", "BTC", 5, 4, "0.02000000", "-0.02000000")


def mark(event_ms: int, offset: int = 1) -> Mark:
    return Mark(100 + event_ms, None, None, None, event_ms, event_ms + 1, offset)


def written(step: Step) -> list[tuple[bytes, int]]:
    return [(write.key, write.version) for stage in step.stages for write in stage.writes]


def rested_on(step: Step) -> list[RowId]:
    return [row for stage in step.stages for row in stage.rests_on]


def test_each_key_is_written_once_with_as_many_versions_as_it_had_values() -> None:
    tables = MemoryTables()
    marks = mark_registers(tables)

    assert [True, True, True] == [marks.apply(key, mark(at)) for key, at in ((BTC, 1), (ETH, 1), (BTC, 2))]
    step = marks.take()
    assert ([(BTC, 2), (ETH, 1)], []) == (written(step), rested_on(step))
    tables.take(step)
    assert mark(2) == decode_mark(tables.read(MARKS, BTC) or b"")


def test_a_tick_that_is_not_newer_changes_nothing_and_rests_on_the_row_that_is() -> None:
    tables = MemoryTables()
    marks = mark_registers(tables)
    marks.apply(BTC, mark(5))
    tables.take(marks.take())

    assert [False, False] == [marks.apply(BTC, mark(at, 9)) for at in (5, 4)]
    step = marks.take()
    assert ([], [RowId(MARKS, BTC)]) == (written(step), rested_on(step))


def test_steps_go_on_from_the_rows_and_what_was_taken_is_not_taken_again() -> None:
    tables = MemoryTables()
    marks = mark_registers(tables)
    marks.apply(BTC, mark(5))
    tables.take(marks.take())
    assert Step() == marks.take()
    marks.apply(BTC, mark(6))

    assert [(BTC, 2)] == written(marks.take())


def test_a_key_that_changed_and_was_repeated_is_written_and_rested_on() -> None:
    marks = mark_registers(MemoryTables())
    for at in (5, 4):
        marks.apply(BTC, mark(at))
    step = marks.take()

    assert ([(BTC, 1)], [RowId(MARKS, BTC)]) == (written(step), rested_on(step))


def test_facts_of_several_kinds_are_one_row() -> None:
    tables = MemoryTables()
    instruments = instrument_registers(tables)
    assert instruments.apply(BTC, TICKER)
    tables.take(instruments.take())
    assert instruments.apply(BTC, FUNDING)
    assert not instruments.apply(BTC, TICKER)
    tables.take(instruments.take())

    row = tables.read(INSTRUMENTS, BTC) or b""
    instrument = decode_instrument(row)
    assert (2, False, False, True) == (
        decode_order(row)[1], instrument.ticker is None, instrument.funding is None, instrument.rules is None,
    )  # fmt: skip


def test_a_fact_that_contradicts_itself_is_refused_and_changes_nothing() -> None:
    tables = MemoryTables()
    instruments = instrument_registers(tables)
    instruments.apply(BTC, TICKER)
    with pytest.raises(BadRecord, match="expected a quote volume of venue:BTC from 0 on, found -1"):
        instruments.apply(BTC, msgspec.structs.replace(TICKER, received_ms=9, quote_volume="-1"))
    with pytest.raises(BadRecord):
        instruments.apply(ETH, msgspec.structs.replace(TICKER, received_ms=0))

    assert [(BTC, 1)] == written(instruments.take())


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from((BTC, ETH)), st.integers(1, 6)), max_size=20), st.data())
def test_wherever_ticks_are_cut_and_delivered_again_the_rows_are_those_of_one_delivery(
    ticks: Sequence[tuple[bytes, int]], data: st.DataObject
) -> None:
    newest: dict[bytes, tuple[int, Mark]] = {}
    for offset, (key, at) in enumerate(ticks):
        version, before = newest.get(key, (0, None))
        if before is None or at > before.event_ms:
            newest[key] = version + 1, mark(at, offset)
    tables, committed = MemoryTables(), 0
    while committed < len(ticks):
        until = data.draw(st.integers(committed + 1, len(ticks)), label="the slice ends")
        for _ in range(data.draw(st.integers(1, 2), label="deliveries")):
            marks = mark_registers(tables)
            for offset in range(committed, until):
                key, at = ticks[offset]
                marks.apply(key, mark(at, offset))
            tables.take(marks.take())
        committed = until

    found = {key: (decode_order(row)[1], decode_mark(row)) for key, row in tables.items(MARKS)}
    assert newest == found
