"""An account's valuation as of an instant, recomputed from the raw topics by the engine on the clock of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.chain_records import Block
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.errors import BadRecord
from models.ids import canonical_id, is_account_id
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.replay.bounded_log import BadWindow, Place, Span
from streams.replay.checkpoints import begin_fold, expect_raw
from streams.replay.cut import time_of_last
from streams.replay.log_window import resolve_times
from streams.replay.marks_at import fold_marks, mark_keys
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold, expect_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.settings import Settings


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
    log: Log, settings: Settings, deployment: str, account: str, at: At, *, on_record: Callable[[LogRecord], None],
    checkpoints: Checkpoints | None = None,
) -> AccountAt | None:  # fmt: skip
    """Fold an account from the first raw record or a checkpoint on, and value it as of an instant.

    Prices are those that had been written by then: with a block or an offset, by the time of the last record folded.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        account: The account, in any spelling of its venue.
        at: Up to where.
        on_record: Is told each record that was read.
        checkpoints: Where checkpoints are; by default every record is folded.

    Returns:
        The valuation; None where there was no such account.

    Raises:
        ReplayError: The deployment, the instant or the log is not one for which that can be said.
    """
    key = key_of(settings, deployment, account)
    fold = RawFold(settings, deployment, (key,))
    held = await log.held([fold.topic])
    (number,) = fold.partitions(held)
    place = Place(fold.topic, number)
    if at.block is not None:
        # The block is looked for from the first record on.
        expect_first(held)
    end = await _end(log, fold, place, held[place].end, at)
    raw = {place: Span(0, end)}
    begun = begin_fold(settings, deployment, (key,), raw, until_ms=at.time_ms, checkpoints=checkpoints)
    await expect_raw(log, begun)
    fold = begun.fold
    at_ms, last = at.time_ms, begun.vector[place].begin - 1
    doubts: list[str] = []
    if fold.venue.references is not None:
        # Exposures are made with the references that hold; a time is known before anything is folded only by --time.
        until_ms = at_ms if at_ms is not None else await time_of_last(log, place, held[place]._replace(end=end))
        doubts += await fold_references(
            log, topic_name(settings, fold.venue.references.name), fold, deployment, until_ms
        )
    async for record in read_merged(log, begun.vector):
        on_record(record)
        fold.take(record)
        last = record.offset
        if at.time_ms is None:
            at_ms = record.time_ms
    if at_ms is None and last >= 0:
        # The checkpoint has all of it.
        at_ms = await time_of_last(log, place, held[place]._replace(end=end))
    if at_ms is None or last < 0:
        return None
    engine = fold.engine
    engine.choose(at_ms)
    prices = topic_name(settings, PRICE_TICKS)
    doubts += await fold_marks(log, prices, engine, mark_keys(engine), at_ms=at_ms, on_record=on_record)
    engine.value(at_ms)
    row = engine.tables.read(VALUATIONS, key)
    if row is None:
        return None
    return AccountAt(decode_row(row).body, at_ms, last, tuple(engine.refused), tuple(doubts))


def key_of(settings: Settings, deployment: str, account: str) -> bytes:
    """The key of an account, in any spelling of its venue.

    Args:
        settings: Have the deployment.
        deployment: Its name.
        account: The account.

    Raises:
        NoDeployment: There is no such deployment, or its venue is not installed.
        BadWindow: It can be no account of that venue.
    """
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


async def fold_references(log: Log, topic: str, fold: RawFold, deployment: str, until_ms: int) -> list[str]:
    """Fold the references that had been said by an instant, and return of which only newer ones are left.

    Args:
        log: Where the topics are.
        topic: Full name of the venue's topic of references.
        fold: Takes them in.
        deployment: Whose they are.
        until_ms: The instant, Unix ms.
    """
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
    if known:
        # Those of a checkpoint were taken in before it was said which markets they are in.
        fold.engine.recover_accounts()
    return [
        f"{key.decode(errors='replace')} was said again later; what it said by then may have been compacted away"
        for key in later
        if key not in known
    ]
