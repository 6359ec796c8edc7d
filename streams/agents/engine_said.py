"""position-states-in → position-states: what solvers' engines say of the positions of their accounts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.ids import split_key
from models.symmio.engine_states import decode_engine_state, expect_own_key
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.symmio.engine_states import EngineState
    from streams.agents.due_states import PositionStates, Step
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

# A record is decoded in some 5 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 1_000


class PositionStatesAgent:
    """Folds engines' records into ``position-states``."""

    def __init__(self, rows: Rows, positions: PositionStates) -> None:
        self._rows = rows
        self._positions = positions

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each account's row is written once."""
        steps: dict[bytes, list[Step]] = {}
        for at, record in enumerate(part):
            try:
                key, state = self._read(record, part.partition)
            except BadRecord as error:
                self._rows.refuse(part, record, error)
                continue
            steps.setdefault(key, []).append(self._positions.of_engine(key, state, record.timestamp))
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key, own in steps.items():
            self._positions.change(part.partition, key, own, part)

    def _read(self, record: Record[bytes | None], partition: int) -> tuple[bytes, EngineState]:
        state = decode_engine_state(record.value or b"")
        key = record.key or b""
        expect_own_key(key, state)
        expect_in_place(key, partition, self._rows.partitions)
        deployment = split_key(key)[0]
        if not self._positions.knows(deployment):
            msg = f"expected a key of a configured deployment, found {key!r}; add [deployments.{deployment}]"
            raise BadRecord(msg)
        return key, state
