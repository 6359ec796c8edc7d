"""All accounts of a deployment as of an instant, folded and valued by the engine on the clock of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.replay.account_at import fold_references
from streams.replay.bounded_log import Span
from streams.replay.checkpoints import begin_fold, expect_raw
from streams.replay.log_window import resolve_times
from streams.replay.marks_at import fold_marks, mark_keys
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.replay.bounded_log import Log, LogRecord, Place
    from streams.replay.checkpoints import Begun, Checkpoints
    from streams.settings import Settings


class AccountsAt(NamedTuple):
    """The accounts in an engine, valued as of an instant; ``doubts`` say what the log cannot tell any more."""

    fold: RawFold
    doubts: tuple[str, ...]


async def raw_vector(log: Log, settings: Settings, deployment: str, at_ms: int) -> Mapping[Place, Span]:
    """The offsets of the raw topic that are folded for an instant.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        at_ms: The instant, Unix ms.

    Raises:
        ReplayError: There is no such deployment, or first records are gone.
    """
    fold = RawFold(settings, deployment, None)
    numbers = fold.partitions(await log.held([fold.topic]))
    spans = await resolve_times(log, [fold.topic], None, at_ms + 1)
    return {place: Span(0, span.end) for place, span in spans.items() if place.partition in numbers}


async def fold_accounts_at(
    log: Log, settings: Settings, deployment: str, at_ms: int, *, on_record: Callable[[LogRecord], None],
    checkpoints: Checkpoints | None = None,
) -> Begun:  # fmt: skip
    """Fold every account of a deployment from the first raw record or a checkpoint on, up to an instant.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        at_ms: The instant, Unix ms; what was written by then counts.
        on_record: Is told each record that was read.
        checkpoints: Where checkpoints are; by default every record is folded.

    Returns:
        The fold, and what was folded of it now.

    Raises:
        ReplayError: The deployment, the instant or the log is not one for which that can be said.
    """
    begun = await _begun(log, settings, deployment, at_ms, checkpoints, is_stated=True)
    await _fold(log, begun, on_record)
    return begun


async def _begun(
    log: Log, settings: Settings, deployment: str, at_ms: int, checkpoints: Checkpoints | None, *, is_stated: bool
) -> Begun:
    vector = await raw_vector(log, settings, deployment, at_ms)
    begun = begin_fold(settings, deployment, None, vector, until_ms=at_ms, checkpoints=checkpoints, is_stated=is_stated)
    await expect_raw(log, begun)
    return begun


async def _fold(log: Log, begun: Begun, on_record: Callable[[LogRecord], None]) -> None:
    async for record in read_merged(log, begun.vector):
        on_record(record)
        begun.fold.put(record)
    begun.fold.write()


async def value_accounts_at(
    log: Log, settings: Settings, deployment: str, at_ms: int, *, on_record: Callable[[LogRecord], None],
    is_stated: bool, checkpoints: Checkpoints | None = None,
) -> AccountsAt:  # fmt: skip
    """Fold every account of a deployment as ``fold_accounts_at`` does, and value all as of an instant.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        deployment: Its name.
        at_ms: The instant, Unix ms; what was written by then counts.
        on_record: Is told each record that was read.
        is_stated: Whether statements are made of accounts, for whoever folds on and shows them.
        checkpoints: Where checkpoints are; by default every record is folded.

    Raises:
        ReplayError: The deployment, the instant or the log is not one for which that can be said.
    """
    begun = await _begun(log, settings, deployment, at_ms, checkpoints, is_stated=is_stated)
    fold = begun.fold
    doubts: list[str] = []
    if fold.venue.references is not None:
        # Which marks an account needs follows from the references that hold when it is folded.
        said = topic_name(settings, fold.venue.references.name)
        doubts += await fold_references(log, said, fold, deployment, at_ms)
    await _fold(log, begun, on_record)
    engine, prices = fold.engine, topic_name(settings, PRICE_TICKS)
    engine.choose(at_ms)
    doubts += await fold_marks(log, prices, engine, mark_keys(engine), at_ms=at_ms, on_record=on_record)
    engine.value(at_ms)
    return AccountsAt(fold, tuple(doubts))
