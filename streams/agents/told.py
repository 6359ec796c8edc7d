"""What others than a venue tell of the positions of its accounts, such as a solver's engine → position-states."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from models.engine.step import Write
from models.engine.tables import ACCOUNTS
from models.errors import BadRecord
from models.row_keys import expect_key
from models.venue import ToldAt
from streams.kafka.partitions import expect_in_place

if TYPE_CHECKING:
    from models.venue import Change, Notices
    from streams.agents.state_releases import StateReleases
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows
    from streams.valuing.engines import Engines

# A record is decoded in some 5 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 1_000


class ToldAgent:
    """Folds what is told into ``position-states``.

    Args:
        kind: The venue whose accounts it is told of; it has notices.
        rows: The tables.
        engines: Fold the records of each owned partition.
        releases: Wait for the states that are to stand later.
        clock: Tells what is news.
    """

    def __init__(self, kind: str, rows: Rows, engines: Engines, releases: StateReleases, clock: Clock) -> None:
        self._kind = kind
        self._rows = rows
        self._engines = engines
        self._releases = releases
        self._clock = clock

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each account's row is written once."""
        notices = self._engines[part.partition][self._kind].notices
        if notices is None:
            msg = f"expected notices of a venue with a topic of what is told of it, found none of {self._kind}"
            raise TypeError(msg)
        changes: dict[bytes, list[Change]] = {}
        for at, record in enumerate(part):
            try:
                change = self._read(notices, record, part.partition)
            except BadRecord as error:
                self._rows.refuse(part, record, error)
                continue
            changes.setdefault(record.key or b"", []).append(change)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key, own in changes.items():
            found = notices.fold(key, own)
            if isinstance(found, Write):
                self._rows.put(part.partition, found, part)
            else:
                self._rows.restate(found.table, part.partition, key, part)
        self._releases.look()

    def _read(self, notices: Notices[Any, Any], record: Record[bytes | None], partition: int) -> Change:
        key = record.key or b""
        expect_key(ACCOUNTS, key)
        told_at = ToldAt(partition, record.offset, record.timestamp)
        change = notices.read(key, record.value or b"", told_at, self._clock.now_ms())
        expect_in_place(key, partition, self._rows.partitions)
        return change
