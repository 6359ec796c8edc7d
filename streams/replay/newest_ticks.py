"""The newest tick of each mark in spans of ``price-ticks``, of which few are read exactly however many there are."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.prices import PriceTick
    from streams.replay.bounded_log import Log, LogRecord, Place, Span


class NewestTick(NamedTuple):
    """A tick, and the record that it stands in; its price can be read."""

    event_ms: int
    tick: PriceTick
    offset: int
    time_ms: int


class NewestTicks:
    """Keeps of each key the tick of the latest event, the first one of several, as the register of marks does.

    Args:
        keys: Those that are wanted; None for all.

    Attributes:
        found: The newest tick of each key.
    """

    def __init__(self, keys: Collection[bytes] | None) -> None:
        self._keys = None if keys is None else frozenset(keys)
        self.found: dict[bytes, NewestTick] = {}

    def take(self, records: Sequence[LogRecord]) -> None:
        """Take records in the order of their partition. Exactly read is only the newest of each key among them."""
        keys, found = self._keys, self.found
        newer: dict[bytes, list[NewestTick]] = {}
        for record in records:
            key = record.key
            if key is None or (keys is not None and key not in keys):
                continue
            try:
                tick = decode_tick(record.value or b"")
            except BadRecord:
                continue
            standing = found.get(key)
            if standing is None or tick.event_ms > standing.event_ms:
                newer.setdefault(key, []).append(NewestTick(tick.event_ms, tick, record.offset, record.time_ms))
        for key, ticks in newer.items():
            # Of one event the first comes first: a sort leaves what is alike in its order, also the other way round.
            ticks.sort(key=itemgetter(0), reverse=True)
            first = next((one for one in ticks if _is_mark(key, one)), None)
            if first is not None:
                found[key] = first


async def newest_ticks(
    log: Log,
    vector: Mapping[Place, Span],
    keys: Collection[bytes] | None,
    on_record: Callable[[LogRecord], None] | None = None,
) -> dict[bytes, NewestTick]:
    """Find the newest tick of each key. Partitions are not merged: all ticks of a key stand in one.

    Args:
        log: Where they stand.
        vector: What is read of ``price-ticks``; all of it is held.
        keys: Those that are wanted; None for all.
        on_record: Is told each record that was read; None where nobody is.

    Raises:
        BrokenOff: The vector cannot be read to its end.
    """
    newest, left = NewestTicks(keys), {place for place, span in vector.items() if span.begin < span.end}
    if not left:
        return newest.found
    async with log.reading(vector) as reading:
        while left:
            for place, records in (await reading.more(left)).items():
                if not records:
                    left.discard(place)
                newest.take(records)
                if on_record is not None:
                    for record in records:
                        on_record(record)
    return newest.found


def _is_mark(key: bytes, newest: NewestTick) -> bool:
    tick = newest.tick
    try:
        mark_of(tick, newest.offset)
    except BadRecord:
        return False
    return mark_key(tick.source, tick.symbol) == key
