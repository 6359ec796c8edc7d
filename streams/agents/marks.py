"""price-ticks → marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from models.engine.registers import mark_registers
from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, mark_of
from streams.kafka.deadletter import form_of
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.prices import Mark
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_TICKS = prometheus_client.Counter(
    "tidemark_ticks_folded_total", "Ticks folded into marks, by what became of them.", ("outcome",)
)
_moved, _repeated, _refused = (_TICKS.labels(outcome) for outcome in ("moved", "repeated", "refused"))


class MarksAgent:
    """Keeps the ``marks`` table."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def handle(self, part: Slice) -> None:
        """Fold a slice of ticks; each key's row is written once."""
        registers = mark_registers(self._rows.of_partition(part.partition))
        for record in part:
            try:
                key, mark = self._read(record, part.partition)
            except BadRecord as error:
                _refused.inc()
                self._rows.refuse(part, record, error, form_of(error))
                continue
            (_moved if registers.apply(key, mark) else _repeated).inc()
        await self._rows.put_step(part.partition, registers.take(), part)

    def _read(self, record: Record[bytes | None], partition: int) -> tuple[bytes, Mark]:
        tick = decode_tick(record.value or b"")
        key = mark_key(tick.source, tick.symbol)
        if record.key != key:
            msg = f"expected key {key!r}, found {record.key!r}"
            raise BadRecord(msg)
        expect_in_place(key, partition, self._rows.partitions)
        return key, mark_of(tick, record.offset)
