"""position-states-in → position-states: what solvers' engines say of the positions of their accounts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models.engine.step import Write
from models.errors import BadRecord
from models.ids import split_key
from models.symmio.engine_states import decode_engine_state, expect_own_key
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.engine.due_states import Change, DueStates
    from models.symmio.engine_states import EngineState
    from streams.agents.state_releases import StateReleases
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows
    from streams.valuing.engines import Engines

# A record is decoded in some 5 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 1_000


class PositionStatesAgent:
    """Folds engines' records into ``position-states``.

    Args:
        rows: The tables.
        engines: Fold the records of each owned partition.
        releases: Wait for the states that are to stand later.
        clock: Tells what is news.
    """

    def __init__(self, rows: Rows, engines: Engines, releases: StateReleases, clock: Clock) -> None:
        self._rows = rows
        self._engines = engines
        self._releases = releases
        self._clock = clock

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each account's row is written once."""
        states = self._engines[part.partition].states
        changes: dict[bytes, list[Change]] = {}
        for at, record in enumerate(part):
            try:
                key, state = self._read(states, record, part.partition)
            except BadRecord as error:
                self._rows.refuse(part, record, error)
                continue
            change = states.of_engine(key, state, record.timestamp, self._clock.now_ms())
            changes.setdefault(key, []).append(change)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key, own in changes.items():
            found = states.fold(key, own)
            if isinstance(found, Write):
                self._rows.put(part.partition, found, part)
            else:
                self._rows.restate(found.table, part.partition, key, part)
        self._releases.look()

    def _read(self, states: DueStates, record: Record[bytes | None], partition: int) -> tuple[bytes, EngineState]:
        state = decode_engine_state(record.value or b"")
        key = record.key or b""
        expect_own_key(key, state)
        expect_in_place(key, partition, self._rows.partitions)
        deployment = split_key(key)[0]
        if not states.knows(deployment):
            msg = f"expected a key of a configured deployment, found {key!r}; add [deployments.{deployment}]"
            raise BadRecord(msg)
        return key, state
