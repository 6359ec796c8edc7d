"""What a replica of the api last calculated of an account by an instant, with what it was calculated of.

Figures that a replica computes itself are no rows: ``served`` keeps what they were made of (``models/kept_inputs.py``).
Here that is read again. The dialect that calculated makes the same of it once more.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from models.codec import decode_order
from models.engine.tables import STATEMENTS
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.kept_inputs import CalculationsMade, decode_kept, kept_key
from models.prices import used_mark
from models.references import UsedReference, read_reference
from streams.kafka.topics import PRICE_TICKS, served_name, topic_name
from streams.replay.bounded_log import Place, Span
from streams.replay.checkpoints import begin_fold, expect_raw
from streams.replay.log_window import resolve_times
from streams.replay.looking_back import windows_back
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold
from streams.replay.row_inputs import Places, read_offsets_of, tick_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.prices import UsedMark
    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Begun, Checkpoints
    from streams.replay.row_inputs import Offsets
    from streams.settings import Settings


T = TypeVar("T")

# A record is written when its moment is over, and when the broker has those before it.
_WRITTEN_LATE_MS = 60_000


class Calculated(NamedTuple):
    """What was calculated of an account.

    Attributes:
        record: Where it is kept.
        made: Of what.
        asked: What was asked, in the words of the dialect that calculated.
        statement: The row of the account's statement that it was calculated of, as it is folded again; None where no
            raw record leaves the account at that version.
        inputs: The marks and references that it was made of.
    """

    record: LogRecord
    made: CalculationsMade
    asked: str
    statement: bytes | None
    inputs: KeptInputs


class KeptInputs:
    """The inputs that a record names, as dialects are given those of now.

    Args:
        made: The record.
        fold: Reads references.
        read: The records that it names.
        ticks: Where ticks stand.
        said: Where references stand; None where the venue has none.
    """

    def __init__(self, made: CalculationsMade, fold: RawFold, read: Offsets, ticks: Places, said: str | None) -> None:
        self._made, self._fold, self._read, self._ticks, self._said = made, fold, read, ticks, said

    def mark(self, market: int | str, /) -> UsedMark | None:
        """The mark that was chosen.

        Raises:
            BadRecord: It was not asked for then, or its tick is not held any more.
        """
        kept = _asked_for(self._made.marks, str(market), "the mark of")
        if kept is None:
            return None
        record = self._read.get(self._ticks.of(kept.key.encode()), {}).get(kept.offset)
        if record is None:
            msg = f"expected the tick of {kept.key} at offset {kept.offset}, found that it is not held any more"
            raise BadRecord(msg)
        if record.key != kept.key.encode():
            msg = f"expected a tick of {kept.key} at offset {kept.offset}, found one of {record.key!r}"
            raise BadRecord(msg)
        return used_mark(kept.key, tick_mark(record), stale=kept.stale)

    def reference(self, name: str, /) -> UsedReference | None:
        """The reference that held.

        Raises:
            BadRecord: It was not asked for then, or its record is not held any more.
        """
        at = _asked_for(self._made.references, name, "the reference")
        if at is None or self._said is None:
            return None
        record = self._read.get(Place(self._said, at[0]), {}).get(at[1])
        if record is None:
            msg = f"expected the reference {name} at {at[0]}:{at[1]}, found that it was said again and compacted away"
            raise BadRecord(msg)
        if record.key != f"{self._fold.name}:{name}".encode():
            msg = f"expected the reference {name} at {at[0]}:{at[1]}, found {record.key!r}"
            raise BadRecord(msg)
        return UsedReference(read_reference(self._fold.venue, name, record.value or b""), *at)


async def calculated_at(
    log: Log, settings: Settings, key: bytes, at_ms: int, *, on_record: Callable[[LogRecord], None],
    on_unreadable: Callable[[LogRecord, BadRow], None], checkpoints: Checkpoints | None = None,
) -> list[Calculated]:  # fmt: skip
    """Find what was calculated of an account last by an instant, of each thing that was asked in that record.

    Args:
        log: Where the topics are.
        settings: Have the deployment.
        key: The account's key.
        at_ms: The instant, Unix ms.
        on_record: Is told each record that was read.
        on_unreadable: Is told each record of calculations of the deployment that cannot be read, and why.
        checkpoints: Where checkpoints are; by default the account is folded from its first record on.

    Returns:
        Nothing where nothing that is still held was calculated of it.

    Raises:
        ReplayError: The log cannot be read, or the account's first records are gone.
    """
    found = await _newest(log, settings, key, at_ms, on_record=on_record, on_unreadable=on_unreadable)
    if found is None:
        return []
    record, made = found
    deployment, account = split_key(key)[0], key.decode()
    asked = {(version, what): None for of, _, version, what in made.asked if of == account}
    fold, partitions = RawFold(settings, deployment, (key,)), settings.topics.partitions
    (number,) = fold.partitions(await log.held([fold.topic]))
    place = Place(fold.topic, number)
    end = (await resolve_times(log, [fold.topic], None, record.time_ms + 1))[place].end
    begun = begin_fold(
        settings, deployment, (key,), {place: Span(0, end)}, until_ms=record.time_ms, checkpoints=checkpoints
    )
    await expect_raw(log, begun)
    statements = await _statements(log, begun, key, {version for version, _ in asked}, on_record)
    ticks = Places(topic_name(settings, PRICE_TICKS), partitions)
    references = fold.venue.references
    said = None if references is None else topic_name(settings, references.name)
    wanted: dict[Place, set[int]] = {}
    for kept in made.marks.values():
        if kept is not None:
            wanted.setdefault(ticks.of(kept.key.encode()), set()).add(kept.offset)
    for at in made.references.values():
        if at is not None and said is not None:
            wanted.setdefault(Place(said, at[0]), set()).add(at[1])
    inputs = KeptInputs(made, fold, await read_offsets_of(log, wanted, on_record), ticks, said)
    return [Calculated(record, made, what, statements.get(version), inputs) for version, what in asked]


async def _newest(
    log: Log, settings: Settings, key: bytes, at_ms: int, *, on_record: Callable[[LogRecord], None],
    on_unreadable: Callable[[LogRecord, BadRow], None],
) -> tuple[LogRecord, CalculationsMade] | None:  # fmt: skip
    account, kept = key.decode(), kept_key("calc", split_key(key)[0])
    newest: tuple[LogRecord, CalculationsMade] | None = None
    topic = served_name(settings)
    async with aclosing(windows_back(log, topic, kept, at_ms, late_ms=_WRITTEN_LATE_MS)) as windows:
        async for window in windows:
            async for record in read_merged(log, window.vector):
                on_record(record)
                made = _made(record, on_unreadable) if record.key == kept else None
                if made is None or made.at_ms > at_ms or all(of != account for of, *_ in made.asked):
                    continue
                # Of several replicas, the one that calculated last need not have written last.
                if newest is None or made.at_ms >= newest[1].at_ms:
                    newest = record, made
            if newest is not None and (window.since_ms is None or newest[1].at_ms >= window.since_ms):
                break
    return newest


def _asked_for(kept: Mapping[str, T], name: str, what: str) -> T:
    if name not in kept:
        msg = f"expected {what} {name} among what was calculated of, found that it was not: another version did it"
        raise BadRecord(msg)
    return kept[name]


def _made(record: LogRecord, on_unreadable: Callable[[LogRecord, BadRow], None]) -> CalculationsMade | None:
    try:
        made = decode_kept(record.value or b"")
    except BadRow as error:
        on_unreadable(record, error)
        return None
    return made if isinstance(made, CalculationsMade) else None


async def _statements(
    log: Log, begun: Begun, key: bytes, versions: set[int], on_record: Callable[[LogRecord], None]
) -> Mapping[int, bytes]:
    """The rows of an account's statement at some versions, which count the records that changed it."""
    tables = begun.fold.engine.tables
    found: dict[int, bytes] = {}

    def look() -> None:
        row = tables.read(STATEMENTS, key)
        if row is not None and (version := decode_order(row)[1]) in versions:
            found[version] = row

    look()
    async for record in read_merged(log, begun.vector):
        on_record(record)
        begun.fold.take(record)
        look()
    return found
