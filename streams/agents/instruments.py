"""instrument-facts → instruments: the newest that each source said of each of its symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client

from models.codec import decode_row
from models.errors import BadRecord
from models.ids import mark_key
from models.instruments import Instrument, decode_fact, decode_instrument, encode_instrument, fold_fact
from streams.kafka.partitions import expect_in_place
from streams.kafka.topics import INSTRUMENTS

if TYPE_CHECKING:
    from models.instruments import InstrumentFact
    from streams.kafka.record import Record
    from streams.settings import Settings
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_FACTS = prometheus_client.Counter(
    "tidemark_instrument_facts_folded_total", "Facts of instruments folded, by what became of them.", ("outcome",)
)
_changed, _repeated, _refused = (_FACTS.labels(outcome) for outcome in ("changed", "repeated", "refused"))


class InstrumentsAgent:
    """Keeps the ``instruments`` table."""

    def __init__(self, settings: Settings, rows: Rows) -> None:
        self._partitions = settings.topics.partitions
        self._rows = rows

    async def handle(self, part: Slice) -> None:
        """Fold a slice of facts; each key's row is written once."""
        standing: dict[bytes, tuple[int, Instrument]] = {}
        changed: set[bytes] = set()
        for record in part:
            try:
                key, fact = self._read(record, part.partition)
                if key not in standing:
                    standing[key] = self._standing(part.partition, key)
                version, before = standing[key]
                after = fold_fact(before, fact)
            except BadRecord as error:
                _refused.inc()
                self._rows.refuse(part, record, error)
                continue
            if after is before:
                _repeated.inc()
                self._rows.restate(INSTRUMENTS, part.partition, key, part)
                continue
            _changed.inc()
            standing[key] = (version + 1, after)
            changed.add(key)
        for key in changed:
            version, instrument = standing[key]
            self._rows.write(INSTRUMENTS, part.partition, key, (version, encode_instrument(instrument)), part)

    def _read(self, record: Record[bytes | None], partition: int) -> tuple[bytes, InstrumentFact]:
        fact = decode_fact(record.value or b"")
        key = mark_key(fact.source, fact.symbol)
        if record.key != key:
            msg = f"expected key {key!r}, found {record.key!r}"
            raise BadRecord(msg)
        expect_in_place(key, partition, self._partitions)
        return key, fact

    def _standing(self, partition: int, key: bytes) -> tuple[int, Instrument]:
        value = self._rows.get(INSTRUMENTS, partition, key)
        if value is None:
            return 0, Instrument()
        row = decode_row(value)
        return row.version, decode_instrument(row.body)
