"""price-ticks → marks: the newest price of each source and symbol, by event time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from models.codec import decode_row
from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_mark, decode_tick, encode_mark, later_mark, mark_of
from streams.kafka.partitions import expect_in_place
from streams.kafka.topics import MARKS

if TYPE_CHECKING:
    from models.prices import Mark
    from streams.kafka.record import Record
    from streams.settings import Settings
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_TICKS = prometheus_client.Counter(
    "tidemark_ticks_folded_total", "Ticks folded into marks, by what became of them.", ("outcome",)
)
_moved, _repeated, _refused = (_TICKS.labels(outcome) for outcome in ("moved", "repeated", "refused"))


class MarksAgent:
    """Keeps the ``marks`` table."""

    def __init__(self, settings: Settings, rows: Rows) -> None:
        self._partitions = settings.topics.partitions
        self._rows = rows

    async def handle(self, part: Slice) -> None:
        """Fold a slice of ticks; each key's row is written once."""
        standing: dict[bytes, tuple[int, Mark | None]] = {}
        changed: dict[bytes, Mark] = {}
        for record in part:
            try:
                key, mark = self._read(record, part.partition)
            except BadRecord as error:
                _refused.inc()
                self._rows.refuse(part, record, error)
                continue
            if key not in standing:
                standing[key] = self._standing(part.partition, key)
            version, before = standing[key]
            newer = later_mark(before, mark)
            if newer is None:
                _repeated.inc()
                self._rows.restate(MARKS, part.partition, key, part)
                continue
            _moved.inc()
            standing[key] = (version + 1, newer)
            changed[key] = newer
        for key, mark in changed.items():
            self._rows.write(MARKS, part.partition, key, (standing[key][0], encode_mark(mark)), part)

    def _read(self, record: Record[bytes | None], partition: int) -> tuple[bytes, Mark]:
        tick = decode_tick(record.value or b"")
        key = mark_key(tick.source, tick.symbol)
        if record.key != key:
            msg = f"expected key {key!r}, found {record.key!r}"
            raise BadRecord(msg)
        expect_in_place(key, partition, self._partitions)
        return key, mark_of(tick, record.offset)

    def _standing(self, partition: int, key: bytes) -> tuple[int, Mark | None]:
        value = self._rows.get(MARKS, partition, key)
        if value is None:
            return 0, None
        row = decode_row(value)
        return row.version, decode_mark(row.body)
