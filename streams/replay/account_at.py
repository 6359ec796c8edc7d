"""An account's valuation as of an instant, recomputed from the raw topics by the engine on the clock of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.chain_records import Block
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.errors import BadRecord
from models.ids import canonical_id, is_account_id, mark_key
from models.prices import decode_tick, later_mark, mark_of
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.replay.bounded_log import BadWindow, OutOfRetention, Place, Span
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold, held_from_the_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.prices import Mark, PriceTick
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.settings import Settings

# Whether a mark is stale follows from the marks of the last seconds (models/freshness.py); before so long nothing does.
_WATCHED_MS = 300_000
_LOOK_EVERY_MS = 1_000
# How far back marks are looked for at first; each further attempt goes four times as far.
_FIRST_BACK_MS = 600_000
_FURTHER = 4
# A tick's own time may be ahead of the time when it was written (models.prices.FUTURE_MAX_MS): one that stands before
# what was read could be the newest, unless another was written so much later.
_MARGIN_MS = 120_000


class AccountAt(NamedTuple):
    """An account's valuation: ``body`` of the row, at ``at_ms``, Unix ms; ``offset`` is that of the last raw record.

    ``refused`` says why records were refused, ``doubts`` what the log cannot tell any more.
    """

    body: Mapping[str, Any]
    at_ms: int
    offset: int
    refused: tuple[str, ...]
    doubts: tuple[str, ...]


class At(NamedTuple):
    """Up to where raw records are folded: one of the three is given.

    ``time_ms`` is an instant, Unix ms, whose records count; ``block`` a block, up to the last record of it that
    stands; ``offset`` the last offset of the account's partition of the raw topic.
    """

    time_ms: int | None = None
    block: int | None = None
    offset: int | None = None


async def value_account_at(
    log: Log, settings: Settings, deployment: str, account: str, at: At, *, on_record: Callable[[LogRecord], None]
) -> AccountAt | None:
    """Fold an account from the first raw record on, and value it as of an instant.

    Prices are those that had been written by then: with a block or an offset, by the time of the last record folded.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        account: The account, in any spelling of its venue.
        at: Up to where.
        on_record: Is told each record that was read.

    Returns:
        The valuation; None where there was no such account.

    Raises:
        ReplayError: The deployment, the instant or the log is not one for which that can be said.
    """
    key = _key_of(settings, deployment, account)
    fold = RawFold(settings, deployment, (key,))
    held = await held_from_the_first(log, fold.topic)
    (number,) = fold.partitions(held)
    place = Place(fold.topic, number)
    end = await _end(log, fold, place, held[place].end, at)
    at_ms, last = at.time_ms, -1
    doubts: list[str] = []
    if fold.venue.references is not None:
        # Exposures are made with the references that hold; a time is known before anything is folded only by --time.
        until_ms = at_ms if at_ms is not None else await _time_of_last(log, place, end)
        doubts += await _fold_references(
            log, topic_name(settings, fold.venue.references.name), fold, deployment, until_ms
        )
    async for record in read_merged(log, {place: Span(0, end)}):
        on_record(record)
        fold.take(record)
        last = record.offset
        if at.time_ms is None:
            at_ms = record.time_ms
    if at_ms is None or last < 0:
        return None
    doubts += await _fold_marks(log, topic_name(settings, PRICE_TICKS), fold, at_ms, on_record)
    fold.engine.value(at_ms)
    row = fold.engine.tables.read(VALUATIONS, key)
    if row is None:
        return None
    return AccountAt(decode_row(row).body, at_ms, last, tuple(fold.engine.refused), tuple(doubts))


def _key_of(settings: Settings, deployment: str, account: str) -> bytes:
    venue = RawFold(settings, deployment, ()).venue
    spelt = venue.account_id(canonical_id(account)) if is_account_id(account) else None
    if spelt is None:
        msg = f"expected an account of {deployment}, a {venue.kind} deployment, found {account!r:.100}"
        raise BadWindow(msg)
    return f"{deployment}:{spelt}".encode()


async def _end(log: Log, fold: RawFold, place: Place, end: int, at: At) -> int:
    """The first offset that is not folded."""
    if at.time_ms is not None:
        return (await resolve_times(log, [place.topic], None, at.time_ms + 1))[place].end
    if at.offset is not None:
        if at.offset >= end:
            msg = f"expected an offset of {place.topic}:{place.partition} below {end}, found {at.offset}"
            raise BadWindow(msg)
        return at.offset + 1
    return await _end_of_block(log, fold, place, end, at.block or 0)


async def _end_of_block(log: Log, fold: RawFold, place: Place, end: int, number: int) -> int:
    """Behind the last record of a block: a block that left the chain may have been written before it."""
    last, newest = -1, -1
    async for record in read_merged(log, {place: Span(0, end)}):
        decoded = fold.decode(record)
        if not isinstance(decoded, Block):
            continue
        newest = max(newest, decoded.number)
        if decoded.number <= number:
            last = record.offset
    if newest < number:
        msg = f"expected block {number} in {place.topic}, found {newest} to be the newest"
        raise BadWindow(msg)
    return last + 1


async def _time_of_last(log: Log, place: Place, end: int) -> int:
    time_ms, begin = 0, end
    while time_ms == 0 and begin > 0:
        # At the last offsets there may be no record, but the ends of transactions.
        begin = max(0, begin - 100)
        async for record in read_merged(log, {place: Span(begin, end)}):
            time_ms = record.time_ms
    return time_ms


async def _fold_references(log: Log, topic: str, fold: RawFold, deployment: str, until_ms: int) -> list[str]:
    """Fold the references that had been said by an instant; say of which only newer ones are left."""
    prefix = f"{deployment}:".encode()
    known: set[bytes] = set()
    later: dict[bytes, None] = {}
    async for record in read_merged(log, await resolve_times(log, [topic], None, None)):
        key = record.key or b""
        if not key.startswith(prefix):
            continue
        if record.time_ms > until_ms:
            later[key] = None
            continue
        try:
            fold.engine.reference(key, record.value or b"", record.offset, record.partition)
        except BadRecord as error:
            fold.engine.refused.append(str(error))
            continue
        known.add(key)
    return [
        f"{key.decode()} was said again later; what it said by then may have been compacted away"
        for key in later
        if key not in known
    ]


async def _fold_marks(
    log: Log, topic: str, fold: RawFold, at_ms: int, on_record: Callable[[LogRecord], None]
) -> list[str]:
    """Fold the newest mark of each key that the account needs, and choose marks through the last minutes.

    What is said of a key that has none, of whose place the first records are gone, is returned.
    """
    engine = fold.engine
    engine.choose(at_ms)
    keys = {source.key for market in engine.valuing.exposures.markets for source in engine.board.sources_of(market)}
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
            look_ms += _LOOK_EVERY_MS
        engine.tick(tick, offset)
    while look_ms < at_ms:
        engine.choose(look_ms)
        look_ms += _LOOK_EVERY_MS
    return [
        f"no price of {key.decode()} by then is held in {topic}, whose older records are gone"
        for key in sorted(keys - found.last_ms.keys())
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
