"""The newest tick of each mark in spans of ``price-ticks``, of which few are read exactly however many there are."""

from __future__ import annotations

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
        for key, (tick, record) in self._latest(records).items():
            newest = NewestTick(tick.event_ms, tick, record.offset, record.time_ms)
            if _is_mark(key, newest):
                self.found[key] = newest
            else:
                self._take_each(key, records)

    def _latest(self, records: Sequence[LogRecord]) -> Mapping[bytes, tuple[PriceTick, LogRecord]]:
        """The tick of the latest event of each key, where that is later than what was found; no price is read."""
        keys, found = self._keys, self.found
        latest: dict[bytes, tuple[PriceTick, LogRecord]] = {}
        for record in records:
            key = record.key
            if key is None or (keys is not None and key not in keys):
                continue
            try:
                tick = decode_tick(record.value or b"")
            except BadRecord:
                continue
            standing = latest.get(key)
            if standing is None:
                known = found.get(key)
                is_later = known is None or tick.event_ms > known.event_ms
            else:
                is_later = tick.event_ms > standing[0].event_ms
            if is_later:
                latest[key] = tick, record
        return latest

    def _take_each(self, key: bytes, records: Sequence[LogRecord]) -> None:
        """Take the records of a key of which the latest tick has no price that can be read."""
        for record in records:
            if record.key != key:
                continue
            try:
                tick = decode_tick(record.value or b"")
            except BadRecord:
                continue
            known, newest = self.found.get(key), NewestTick(tick.event_ms, tick, record.offset, record.time_ms)
            if (known is None or tick.event_ms > known.event_ms) and _is_mark(key, newest):
                self.found[key] = newest


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
