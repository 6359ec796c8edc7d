"""Why an account's valuation changed within a window: every event that changed it, in the order of the log.

The engine folds the account up to the beginning, as ``account_at`` does, and goes on record by record. After each event
of a raw record, and each look at the marks, the venue values what stands, and ``models.explaining`` says by which terms
that is another than before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.account_events import Final, Progress, RolledBack, Supported, Unsupported
from models.codec import decode_order
from models.engine.board import DeploymentInputs
from models.engine.tables import ACCOUNTS
from models.errors import BadRecord
from models.explaining import NOWHERE, REFERENCE, ROLLBACK, Event, Standing, standing_of, terms_between
from models.ids import mark_key
from models.instants import rfc3339
from models.moves import Move, moves_of
from models.prices import decode_tick
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.replay.account_at import fold_references, key_of
from streams.replay.bounded_log import BadWindow, Place, Span
from streams.replay.checkpoints import begin_fold, expect_raw
from streams.replay.log_window import resolve_times
from streams.replay.marks_at import LOOK_EVERY_MS, fold_marks, mark_keys
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from models.engine.in_memory import Engine
    from models.explaining import Term
    from models.venue import Positioned
    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.settings import Settings

_PROGRESS = {Final: "finality", RolledBack: ROLLBACK, Unsupported: "unsupported", Supported: "supported"}


class Explained(NamedTuple):
    """What stood at the beginning and at the end of a window; ``vector`` are the offsets that were read in it.

    ``refused`` says why records were refused, ``doubts`` what the log cannot tell any more.
    """

    begin: Standing
    end: Standing
    vector: Mapping[Place, Span]
    refused: tuple[str, ...]
    doubts: tuple[str, ...]


class _Taken(NamedTuple):
    """A record of the account, or of its whole deployment, as it was folded."""

    record: Positioned
    account: Any
    is_unsupported: bool


async def explain_account(
    log: Log, settings: Settings, deployment: str, account: str, *, since_ms: int, until_ms: int,
    on_term: Callable[[Term], None], on_record: Callable[[LogRecord], None], checkpoints: Checkpoints | None = None,
) -> Explained:  # fmt: skip
    """Explain why an account's valuation as of one instant is another than as of an instant before.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        account: The account, in any spelling of its venue.
        since_ms: The first instant, Unix ms; what was written by then has counted.
        until_ms: The second one; what was written by then counts.
        on_term: Is told each term, in the order of the log.
        on_record: Is told each record that was read.
        checkpoints: Where checkpoints are; by default every record is folded.

    Raises:
        ReplayError: The deployment, the window or the log is not one for which that can be said.
    """
    _expect_order(since_ms, until_ms)
    key = key_of(settings, deployment, account)
    place = await _place_of(log, settings, deployment, key)
    middle, end = [(await resolve_times(log, [place.topic], None, one + 1))[place].end for one in (since_ms, until_ms)]
    follows = _Follows(settings, deployment, key, {place: Span(0, middle)}, (since_ms, checkpoints))
    fold = follows.begun.fold
    await expect_raw(log, follows.begun)
    doubts: list[str] = []
    vector = {place: Span(middle, end)}
    if fold.venue.references is not None:
        said = topic_name(settings, fold.venue.references.name)
        doubts += await fold_references(log, said, fold, deployment, since_ms)
        vector |= await resolve_times(log, [said], since_ms + 1, until_ms + 1)
    async for record in read_merged(log, follows.begun.vector):
        on_record(record)
        fold.take(record)
    keys = await _keys_of_window(log, settings, deployment, (key, fold, dict(vector)), on_record)
    prices = topic_name(settings, PRICE_TICKS)
    doubts += await fold_marks(log, prices, fold.engine, keys, at_ms=since_ms, on_record=on_record)
    begin = follows.start(since_ms)
    ticks = await resolve_times(log, [prices], since_ms + 1, until_ms + 1) if keys else {}
    wanted = {partition_of(one, len(ticks)) for one in keys}
    vector |= {one: span for one, span in ticks.items() if one.partition in wanted}
    async for record in read_merged(log, vector):
        on_record(record)
        for term in follows.take(record, keys):
            on_term(term)
    for term in follows.look_until(until_ms):
        on_term(term)
    return Explained(begin, follows.standing, vector, tuple(fold.engine.refused), tuple(doubts))


async def explained_vector(
    log: Log, settings: Settings, deployment: str, account: str, *, since_ms: int, until_ms: int
) -> dict[Place, Span]:
    """The offsets that explaining a window reads at most, but for those in which older marks are looked for.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        account: The account, in any spelling of its venue.
        since_ms: The first instant, Unix ms.
        until_ms: The second one.

    Raises:
        ReplayError: The deployment, the window or the log is not one for which that can be said.
    """
    _expect_order(since_ms, until_ms)
    place = await _place_of(log, settings, deployment, key_of(settings, deployment, account))
    raw = {place: (await resolve_times(log, [place.topic], None, until_ms + 1))[place]}
    return raw | await resolve_times(log, [topic_name(settings, PRICE_TICKS)], since_ms + 1, until_ms + 1)


async def _place_of(log: Log, settings: Settings, deployment: str, key: bytes) -> Place:
    """Where the raw records of an account stand."""
    fold = RawFold(settings, deployment, (key,))
    (number,) = fold.partitions(await log.held([fold.topic]))
    return Place(fold.topic, number)


def _expect_order(since_ms: int, until_ms: int) -> None:
    if until_ms < since_ms:
        msg = f"expected a window that begins before it ends, found {rfc3339(since_ms)} to {rfc3339(until_ms)}"
        raise BadWindow(msg)


async def _keys_of_window(
    log: Log,
    settings: Settings,
    deployment: str,
    begun: tuple[bytes, RawFold, Mapping[Place, Span]],
    on_record: Callable[[LogRecord], None],
) -> set[bytes]:
    """The marks by which the account may be valued at any time in the window: what it holds is folded ahead for it."""
    key, fold, vector = begun
    ahead = RawFold(settings, deployment, (key,), tables=fold.engine.tables.copy())
    ahead.engine.choose(0)
    keys = mark_keys(ahead.engine)
    async for record in read_merged(log, vector):
        on_record(record)
        if record.topic != fold.topic:
            _refer(ahead.engine, deployment, record)
        else:
            ahead.take(record)
        # Only what changed the account could have brought another market.
        if ahead.engine.valuing.urgent:
            ahead.engine.valuing.urgent.clear()
            ahead.engine.choose(0)
            keys |= mark_keys(ahead.engine)
    return keys


def _refer(engine: Engine, deployment: str, record: LogRecord) -> bool:
    """Fold a reference; tell whether it was one of the deployment."""
    key = record.key or b""
    if not key.startswith(f"{deployment}:".encode()):
        return False
    try:
        engine.reference(key, record.value or b"", record.offset, record.partition)
    except BadRecord as error:
        engine.refused.append(str(error))
    return True


class _Follows:
    """Follows one account through the log, and says by which terms it changes."""

    def __init__(
        self,
        settings: Settings,
        deployment: str,
        key: bytes,
        raw: Mapping[Place, Span],
        begin: tuple[int, Checkpoints | None],
    ) -> None:
        self._deployment, self._key = deployment, key
        self._prices = topic_name(settings, PRICE_TICKS)
        self._taken: list[_Taken] = []
        self._account: Any = None
        self._is_unsupported = False
        self._term = 0
        self._looked_ms = 0
        self.standing = NOWHERE
        since_ms, checkpoints = begin
        self.begun = begin_fold(
            settings, deployment, (key,), raw, until_ms=since_ms, checkpoints=checkpoints, on_folded=self._note
        )
        self.fold = self.begun.fold
        self._inputs = DeploymentInputs(self.fold.engine.board, deployment)

    def start(self, at_ms: int) -> Standing:
        """Value what was folded so far as of an instant, Unix ms, at which the marks stand."""
        engine = self.fold.engine
        engine.choose(at_ms)
        self._taken.clear()
        self._looked_ms = at_ms
        accounts = engine.partition[self.fold.venue.kind].accounts
        self._account = accounts.row(self._key)
        self._is_unsupported = accounts.watermark(self._deployment).unsupported_since is not None
        row = engine.tables.read(ACCOUNTS, self._key)
        self._term = 0 if row is None else decode_order(row)[0]
        self.standing = self._value(self._account)
        return self.standing

    def take(self, record: LogRecord, keys: set[bytes]) -> Sequence[Term]:
        """Take the next record of the window, and return its terms, with those of the looks before it."""
        if record.topic == self._prices and record.key not in keys:
            return ()
        # What marks do by growing old is no event of the record.
        terms = [*self.look_until(record.time_ms)]
        place = f"{record.topic}:{record.partition}:{record.offset}"
        if record.topic == self.fold.topic:
            self.fold.take(record)
            terms += self._moved(Event(place, "", "", record.time_ms))
        elif record.key in keys:
            terms += self._priced(record, Event(place, "", "", record.time_ms))
        elif _refer(self.fold.engine, self._deployment, record):
            self.fold.engine.choose(record.time_ms)
            terms += self._change_to(
                self._account, Event(place, (record.key or b"").decode(), REFERENCE, record.time_ms)
            )
        return terms

    def look_until(self, at_ms: int) -> Sequence[Term]:
        """Look at the marks each full second up to an instant, Unix ms: one that grows old may give way to another."""
        terms: list[Term] = []
        board, markets = self.fold.engine.board, tuple(self.fold.engine.valuing.exposures.markets)
        next_ms = self._looked_ms - self._looked_ms % LOOK_EVERY_MS + LOOK_EVERY_MS
        # Without a market there is nothing to look at, however long that is.
        while markets and next_ms <= at_ms:
            if board.choose(markets, next_ms):
                terms += self._change_to(self._account, Event("", "", "", next_ms))
            next_ms += LOOK_EVERY_MS
        self._looked_ms = max(self._looked_ms, at_ms)
        if board.choose(markets, self._looked_ms):
            terms += self._change_to(self._account, Event("", "", "", self._looked_ms))
        return terms

    def _note(self, key: bytes, record: Positioned) -> None:
        if not isinstance(record, Progress) and key != self._key:
            return
        accounts = self.fold.engine.partition[self.fold.venue.kind].accounts
        is_unsupported = accounts.watermark(self._deployment).unsupported_since is not None
        self._taken.append(_Taken(record, accounts.row(self._key), is_unsupported))

    def _moved(self, event: Event) -> Sequence[Term]:
        """The terms of what a raw record did to the account."""
        if not self._taken:
            return ()
        # A market may be priced that the account has only now.
        self.fold.engine.choose(self._looked_ms)
        terms: list[Term] = []
        for record, account, is_unsupported in self._taken:
            was, self._is_unsupported = self._is_unsupported, is_unsupported
            if isinstance(record, Progress):
                moves: Sequence[Move] = (Move(_PROGRESS[type(record)], "", account),)
            elif account is self._account:
                continue
            else:
                moves = moves_of(self.fold.venue, self._account, record, account)
            if account is self._account and was == is_unsupported:
                continue
            for name, at, left in moves:
                terms += self._change_to(left, event._replace(name=name, at=at))
            self._account = account
        self._taken.clear()
        return terms

    def _priced(self, record: LogRecord, event: Event) -> Sequence[Term]:
        engine = self.fold.engine
        try:
            tick = decode_tick(record.value or b"")
            if mark_key(tick.source, tick.symbol) != record.key:
                return ()
            engine.tick(tick, record.offset)
        except BadRecord as error:
            engine.refused.append(str(error))
            return ()
        if not engine.board.choose(tuple(engine.valuing.exposures.markets), self._looked_ms):
            return ()
        return self._change_to(self._account, event._replace(at=record.key.decode()))

    def _change_to(self, account: Any, event: Event) -> Sequence[Term]:  # noqa: ANN401 - it is the venue's own
        before, self.standing = self.standing, self._value(account)
        return list(terms_between(before, self.standing, event))

    def _value(self, account: Any) -> Standing:  # noqa: ANN401 - it is the venue's own
        if account is None:
            return NOWHERE
        venue = self.fold.venue
        body = venue.value(venue.held(account), self._term, self._inputs, unsupported=self._is_unsupported).body
        return standing_of(body)
