"""A venue's topic of references → references."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from models.engine.registers import reference_registers
from models.errors import BadRecord
from models.ids import split_key
from models.references import said_by
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.engine.deployment import InstalledVenue
    from models.references import Said
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_SAID = prometheus_client.Counter(
    "tidemark_reference_records_total", "Records of references, by what became of them.", ("outcome",)
)
_changed, _repeated, _refused = (_SAID.labels(outcome) for outcome in ("changed", "repeated", "refused"))


class ReferencesAgent:
    """Keeps the ``references`` table: of each reference, the newest record that its venue can read.

    Args:
        installed: The venue whose records they are, with its deployments.
        rows: The tables.
    """

    def __init__(self, installed: InstalledVenue, rows: Rows) -> None:
        self._venue, self._deployments = installed
        self._rows = rows

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each reference's row is written once."""
        registers = reference_registers(self._rows.of_partition(part.partition))
        for record in part:
            try:
                said = self._read(record, part.partition)
                is_changed = registers.apply(record.key or b"", said)
            except BadRecord as error:
                _refused.inc()
                self._rows.refuse(part, record, error)
                continue
            (_changed if is_changed else _repeated).inc()
        await self._rows.put_step(part.partition, registers.take(), part)

    def _read(self, record: Record[bytes | None], partition: int) -> Said:
        key = record.key or b""
        deployment, name = split_key(key) if key.isascii() else ("", "")
        if deployment not in self._deployments:
            msg = f"expected the key <deployment>:<name> of a configured deployment, found {key!r:.200}"
            raise BadRecord(msg)
        expect_in_place(key, partition, self._rows.partitions)
        return said_by(self._venue, name, record.value or b"", (partition, record.offset))
