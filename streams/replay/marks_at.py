"""The marks that stood at an instant, found by reading back in ``price-ticks``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, later_mark, mark_of
from streams.kafka.partitions import partition_of
from streams.replay.bounded_log import OutOfRetention, Place
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.engine.in_memory import Engine
    from models.prices import Mark, PriceTick
    from streams.replay.bounded_log import Held, Log, LogRecord

# Whether a mark is stale follows from the marks of the last seconds (models/freshness.py); before so long nothing does.
_WATCHED_MS = 300_000
LOOK_EVERY_MS = 1_000
"""How often a worker looks at least whether marks are stale."""
# How far back marks are looked for at first; each further attempt goes four times as far.
_FIRST_BACK_MS = 600_000
_FURTHER = 4
# A tick's own time may be ahead of the time when it was written (models.prices.FUTURE_MAX_MS): one that stands before
# what was read could be the newest, unless another was written so much later.
_MARGIN_MS = 120_000


def mark_keys(engine: Engine) -> set[bytes]:
    """The keys of the marks by which the engine's accounts may be valued, as they are now."""
    return {source.key for market in engine.valuing.exposures.markets for source in engine.board.sources_of(market)}


async def fold_marks(
    log: Log, topic: str, engine: Engine, keys: Collection[bytes], *, at_ms: int, on_record: Callable[[LogRecord], None]
) -> list[str]:
    """Fold the newest mark of each key as of an instant, and choose marks through the last minutes.

    Args:
        log: Where the topics are.
        topic: Full name of ``price-ticks``.
        engine: Has the accounts folded, and no marks yet.
        keys: Of the marks.
        at_ms: The instant, Unix ms.
        on_record: Is told each record that was read.

    Returns:
        What is to be said of a key that has none, of whose place the first records are gone.
    """
    engine.choose(at_ms)
    if not keys:
        return []
    held = await log.held([topic])
    found = await _find_marks(log, held, keys, at_ms, on_record)
    for tick, offset in found.early.values():
        engine.tick(tick, offset)
    look_ms = at_ms - _WATCHED_MS
    for time_ms, tick, offset in found.late:
        while look_ms < time_ms:
            engine.choose(look_ms)
            look_ms += LOOK_EVERY_MS
        engine.tick(tick, offset)
    while look_ms < at_ms:
        engine.choose(look_ms)
        look_ms += LOOK_EVERY_MS
    return [
        f"no price of {key.decode()} by then is held in {topic}, whose older records are gone"
        for key in sorted(set(keys) - found.last_ms.keys())
        if held[Place(topic, partition_of(key, len(held)))].begin > 0
    ]


class _Found:
    """The ticks of some keys: of those before the last minutes the newest of each, and all of these."""

    def __init__(self, late_from_ms: int) -> None:
        self._late_from_ms = late_from_ms
        self._marks: dict[bytes, Mark] = {}
        self.early: dict[bytes, tuple[PriceTick, int]] = {}
        self.late: list[tuple[int, PriceTick, int]] = []
        self.last_ms: dict[bytes, int] = {}

    def take(self, key: bytes, record: LogRecord) -> None:
        try:
            tick = decode_tick(record.value or b"")
            mark = mark_of(tick, record.offset)
        except BadRecord:
            return
        if mark_key(tick.source, tick.symbol) != key:
            return
        self.last_ms[key] = record.time_ms
        if record.time_ms >= self._late_from_ms:
            self.late.append((record.time_ms, tick, record.offset))
        elif later_mark(self._marks.get(key), mark) is not None:
            self._marks[key], self.early[key] = mark, (tick, record.offset)


async def _find_marks(
    log: Log,
    held: Mapping[Place, Held],
    keys: Collection[bytes],
    at_ms: int,
    on_record: Callable[[LogRecord], None],
) -> _Found:
    """Read back until each key has a tick, or to the oldest one."""
    (topic,) = {place.topic for place in held}
    places = {Place(topic, partition_of(key, len(held))) for key in keys}
    back_ms = _FIRST_BACK_MS
    while True:
        since_ms: int | None = at_ms - back_ms
        try:
            window = await resolve_times(log, [topic], since_ms, at_ms + 1)
        except OutOfRetention:
            since_ms = None
            window = await resolve_times(log, [topic], None, at_ms + 1)
        found = _Found(at_ms - _WATCHED_MS)
        vector = {place: window[place] for place in places}
        async for record in read_merged(log, vector):
            on_record(record)
            if record.key is not None and record.key in keys:
                found.take(record.key, record)
        is_all = since_ms is None or all(span.begin == held[place].begin for place, span in vector.items())
        if is_all or all(found.last_ms.get(key, 0) >= (since_ms or 0) + _MARGIN_MS for key in keys):
            return found
        back_ms *= _FURTHER
