"""The newest tick of each mark in spans of ``price-ticks``, of which few are read exactly however many there are."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.body_reader import NOT_DECODED
from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, mark_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence

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


async def newest_ticks(
    log: Log,
    vector: Mapping[Place, Span],
    keys: Collection[bytes] | None,
    on_record: Callable[[LogRecord], None] | None = None,
) -> dict[bytes, NewestTick]:
    """Find the tick of the latest event of each key, the first one of several, as the register of marks does.

    Partitions are not merged: all ticks of a key stand in one. Of most ticks only the time is read, and a second time
    only those of keys of which the latest record turns out to be no tick, or to have no price that can be read.

    Args:
        log: Where they stand.
        vector: What is read of ``price-ticks``; all of it is held.
        keys: Those that are wanted; None for all.
        on_record: Is told each record that was read; None where nobody is.

    Raises:
        BrokenOff: The vector cannot be read to its end.
    """
    latest: dict[bytes, tuple[int, LogRecord]] = {}
    wanted = None if keys is None else frozenset(keys)
    async with aclosing(_read(log, vector)) as reading:
        async for records in reading:
            _note_latest(latest, records, wanted)
            if on_record is not None:
                for record in records:
                    on_record(record)
    newest = {key: _newest(key, record) for key, (_, record) in latest.items()}
    found = {key: one for key, one in newest.items() if one is not None}
    unread = newest.keys() - found.keys()
    if not unread:
        return found
    async with aclosing(_read(log, vector)) as reading:
        async for records in reading:
            for record in records:
                key = record.key
                if key is None or key not in unread:
                    continue
                one, known = _newest(key, record), found.get(key)
                if one is not None and (known is None or one.event_ms > known.event_ms):
                    found[key] = one
    return found


async def _read(log: Log, vector: Mapping[Place, Span]) -> AsyncGenerator[Sequence[LogRecord], None]:
    """Yield the records of each place in their order, however many come at a time."""
    left = {place for place, span in vector.items() if span.begin < span.end}
    if not left:
        return
    async with log.reading(vector) as reading:
        while left:
            for place, records in (await reading.more(left)).items():
                if not records:
                    left.discard(place)
                yield records


def _note_latest(
    latest: dict[bytes, tuple[int, LogRecord]], records: Sequence[LogRecord], keys: frozenset[bytes] | None
) -> None:
    """Keep of each key the record of the latest event; no more of it is read than its time."""
    for record in records:
        key = record.key
        if key is None or (keys is not None and key not in keys):
            continue
        try:
            event_ms = _decode_dated(record.value or b"").event_ms
        except NOT_DECODED:
            continue
        standing = latest.get(key)
        if standing is None or event_ms > standing[0]:
            latest[key] = event_ms, record


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
