"""The newest tick of each mark in spans of ``price-ticks``, of which few are read exactly however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.body_reader import NOT_DECODED
from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from models.prices import PriceTick
    from streams.replay.bounded_log import Log, LogRecord, Place, Span


class _Dated(msgspec.Struct):
    """What of a tick says whether it is the newest; what has no such time is no tick."""

    event_ms: int


_decode_dated = msgspec.json.Decoder(_Dated).decode


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
        for key, record in self._latest(records).items():
            newest = _newest(key, record)
            if newest is not None:
                self.found[key] = newest
            else:
                self._take_each(key, records)

    def _latest(self, records: Sequence[LogRecord]) -> Mapping[bytes, LogRecord]:
        """The record of the latest event of each key, where that is later than what was found; only times are read."""
        keys, found = self._keys, self.found
        latest: dict[bytes, tuple[int, LogRecord]] = {}
        for record in records:
            key = record.key
            if key is None or (keys is not None and key not in keys):
                continue
            try:
                event_ms = _decode_dated(record.value or b"").event_ms
            except NOT_DECODED:
                continue
            standing = latest.get(key)
            if standing is None:
                known = found.get(key)
                is_later = known is None or event_ms > known.event_ms
            else:
                is_later = event_ms > standing[0]
            if is_later:
                latest[key] = event_ms, record
        return {key: record for key, (_, record) in latest.items()}

    def _take_each(self, key: bytes, records: Sequence[LogRecord]) -> None:
        """Take the records of a key of which the latest one is no tick, or has no price that can be read."""
        for record in records:
            if record.key != key:
                continue
            known, newest = self.found.get(key), _newest(key, record)
            if newest is not None and (known is None or newest.event_ms > known.event_ms):
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


def _newest(key: bytes, record: LogRecord) -> NewestTick | None:
    """The tick of a record; None where it is none of the key, or has no price that can be read."""
    try:
        tick = decode_tick(record.value or b"")
        mark_of(tick, record.offset)
    except BadRecord:
        return None
    if mark_key(tick.source, tick.symbol) != key:
        return None
    return NewestTick(tick.event_ms, tick, record.offset, record.time_ms)
