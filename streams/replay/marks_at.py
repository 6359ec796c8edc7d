"""The marks that stood at an instant, found by reading back in ``price-ticks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRecord
from models.ids import mark_key
from models.prices import decode_tick, mark_of
from streams.kafka.partitions import partition_of
from streams.replay.bounded_log import OutOfRetention, Place, Span
from streams.replay.log_window import held_for, resolve_times
from streams.replay.merging import read_merged
from streams.replay.newest_ticks import newest_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.engine.in_memory import Engine
    from models.prices import PriceTick
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.replay.newest_ticks import NewestTick

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
    held = {place: held_for(one, None, at_ms + 1) for place, one in (await log.held([topic])).items()}
    found = await _find_marks(log, held, keys, at_ms, on_record)
    for one in found.early.values():
        engine.tick(one.tick, one.offset)
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


class _Found(NamedTuple):
    """The ticks of some keys: of those before the last minutes the newest of each, and all of these."""

    early: Mapping[bytes, NewestTick]
    late: list[tuple[int, PriceTick, int]]
    last_ms: dict[bytes, int]


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
        vector = {place: window[place] for place in places}
        found = await _read_ticks(log, vector, await log.find(held, at_ms - _WATCHED_MS), keys, on_record)
        is_all = since_ms is None or all(span.begin == held[place].begin for place, span in vector.items())
        if is_all or all(found.last_ms.get(key, 0) >= (since_ms or 0) + _MARGIN_MS for key in keys):
            return found
        back_ms *= _FURTHER


async def _read_ticks(
    log: Log,
    vector: Mapping[Place, Span],
    since: Mapping[Place, int],
    keys: Collection[bytes],
    on_record: Callable[[LogRecord], None],
) -> _Found:
    middles = {place: min(max(since[place], span.begin), span.end) for place, span in vector.items()}
    before = {place: Span(span.begin, middles[place]) for place, span in vector.items()}
    early = await newest_ticks(log, before, keys, on_record)
    late, last_ms = [], {key: one.time_ms for key, one in early.items()}
    async for record in read_merged(log, {place: Span(middles[place], span.end) for place, span in vector.items()}):
        on_record(record)
        if record.key is None or record.key not in keys:
            continue
        try:
            tick = decode_tick(record.value or b"")
            mark_of(tick, record.offset)
        except BadRecord:
            continue
        if mark_key(tick.source, tick.symbol) == record.key:
            last_ms[record.key] = record.time_ms
            late.append((record.time_ms, tick, record.offset))
    return _Found(early, late, last_ms)
