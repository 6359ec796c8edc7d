"""One deployment in a replay: its engine, brought from record to record as the workers were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.ids import mark_key
from models.instruments import decode_fact
from models.prices import decode_tick
from models.venue import ToldAt
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS, topic_name
from streams.replay.accounts_at import value_accounts_at
from streams.replay.bounded_log import OutOfRetention
from streams.replay.log_window import held_among, resolve_times
from streams.replay.marks_at import mark_keys
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from streams.replay.accounts_at import AccountsAt
    from streams.replay.bounded_log import Log, LogRecord, Place, Span
    from streams.replay.checkpoints import Checkpoints
    from streams.settings import Settings

# Of markets in which nobody has a position, what was said in this time before the beginning is shown.
_PRICES_BACK_MS = 600_000
# Each fact of an instrument is repeated within the hour.
_FACTS_BACK_MS = 3_600_000


class ReplayedDeployment:
    """Folds and values what a deployment's topics say, in the order of the log.

    Args:
        settings: Name the topics.
        valued: Its accounts, as of where the replay begins.
    """

    def __init__(self, settings: Settings, valued: AccountsAt) -> None:
        self._fold = valued.fold
        self.doubts = valued.doubts
        self.engine = valued.fold.engine
        venue, self._prefix = valued.fold.venue, f"{valued.fold.name}:".encode()
        self._takes: dict[str, Callable[[LogRecord], None]] = {
            topic_name(settings, PRICE_TICKS): self._tick,
            topic_name(settings, INSTRUMENT_FACTS): self._fact,
            valued.fold.topic: self._raw,
        }
        self.told = None if venue.told is None else topic_name(settings, venue.told.name)
        if self.told is not None:
            self._takes[self.told] = self._told
        if venue.references is not None:
            self._takes[topic_name(settings, venue.references.name)] = self._reference

    @property
    def topics(self) -> Collection[str]:
        """Full names of the topics that it follows."""
        return self._takes.keys()

    def leave_out(self, topic: str) -> None:
        """Follow a topic no longer, since the log has none of that name."""
        del self._takes[topic]
        self.doubts = (*self.doubts, f"{topic} is not held, so what follows from it is not shown")

    def take(self, record: LogRecord) -> None:
        """Fold a record; one of a topic that it does not follow, or that cannot be read, is passed over."""
        take = self._takes.get(record.topic)
        if take is None:
            return
        try:
            take(record)
        except BadRecord as error:
            self.engine.refused.append(str(error))

    def look(self, now_ms: int) -> None:
        """Bring every row up to date with an instant, Unix ms, as workers do again and again."""
        self.engine.release(now_ms)
        self.engine.value(now_ms)

    def _raw(self, record: LogRecord) -> None:
        self._fold.take(record)

    def _tick(self, record: LogRecord) -> None:
        tick = decode_tick(record.value or b"")
        if mark_key(tick.source, tick.symbol) == record.key:
            self.engine.tick(tick, record.offset)

    def _fact(self, record: LogRecord) -> None:
        fact = decode_fact(record.value or b"")
        if mark_key(fact.source, fact.symbol) == record.key:
            self.engine.fact(fact)

    def _told(self, record: LogRecord) -> None:
        if record.key is not None and record.key.startswith(self._prefix):
            told_at = ToldAt(record.partition, record.offset, record.time_ms)
            self.engine.told(record.key, record.value or b"", told_at, record.time_ms)

    def _reference(self, record: LogRecord) -> None:
        if record.key is not None and record.key.startswith(self._prefix):
            self.engine.reference(record.key, record.value or b"", record.offset, record.partition)


async def begin_deployment(
    log: Log, settings: Settings, name: str, at_ms: int, *, on_record: Callable[[LogRecord], None],
    checkpoints: Checkpoints | None,
) -> ReplayedDeployment:  # fmt: skip
    """Bring a deployment to where a replay begins.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        name: Its name.
        at_ms: The instant, Unix ms; what was written by then counts.
        on_record: Is told each record that was read.
        checkpoints: Where checkpoints are; None for every record to be folded.

    Raises:
        ReplayError: The deployment, the instant or the log is not one for which that can be said.
    """
    valued = await value_accounts_at(
        log, settings, name, at_ms, on_record=on_record, is_stated=True, checkpoints=checkpoints
    )
    one = ReplayedDeployment(settings, valued)
    known = mark_keys(one.engine)
    prices, facts = topic_name(settings, PRICE_TICKS), topic_name(settings, INSTRUMENT_FACTS)
    wanted = [(prices, _PRICES_BACK_MS), (facts, _FACTS_BACK_MS)]
    if one.told is not None:
        wanted.append((one.told, at_ms))
    held = await held_among(log, [topic for topic, _ in wanted])
    for topic, back_ms in wanted:
        if topic not in held:
            one.leave_out(topic)
            continue
        async for record in read_merged(log, await _window_before(log, topic, at_ms, back_ms)):
            on_record(record)
            # The marks that accounts are valued at stand already, with how long they have been fresh.
            if topic != prices or record.key not in known:
                one.take(record)
    one.look(at_ms)
    return one


async def _window_before(log: Log, topic: str, at_ms: int, back_ms: int) -> Mapping[Place, Span]:
    """What stands in a topic before an instant, as far back as is wanted and held."""
    try:
        return await resolve_times(log, [topic], at_ms - back_ms, at_ms + 1)
    except OutOfRetention:
        return await resolve_times(log, [topic], None, at_ms + 1)
