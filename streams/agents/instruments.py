"""instrument-facts → instruments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from models.engine.registers import instrument_registers
from models.errors import BadRecord
from models.ids import mark_key
from models.instruments import decode_fact
from streams.kafka.deadletter import form_of
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.instruments import InstrumentFact
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_FACTS = prometheus_client.Counter(
    "tidemark_instrument_facts_folded_total", "Facts of instruments folded, by what became of them.", ("outcome",)
)
_changed, _repeated, _refused = (_FACTS.labels(outcome) for outcome in ("changed", "repeated", "refused"))


class InstrumentsAgent:
    """Keeps the ``instruments`` table."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def handle(self, part: Slice) -> None:
        """Fold a slice of facts; each key's row is written once."""
        registers = instrument_registers(self._rows.of_partition(part.partition))
        for record in part:
            try:
                is_changed = registers.apply(*self._read(record, part.partition))
            except BadRecord as error:
                _refused.inc()
                self._rows.refuse(part, record, error, form_of(error))
                continue
            (_changed if is_changed else _repeated).inc()
        await self._rows.put_step(part.partition, registers.take(), part)

    def _read(self, record: Record[bytes | None], partition: int) -> tuple[bytes, InstrumentFact]:
        fact = decode_fact(record.value or b"")
        key = mark_key(fact.source, fact.symbol)
        if record.key != key:
            msg = f"expected key {key!r}, found {record.key!r}"
            raise BadRecord(msg)
        expect_in_place(key, partition, self._rows.partitions)
        return key, fact
