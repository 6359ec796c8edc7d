"""Completes ``served`` after a change of owners: what the one before had shown, and could not keep any more.

A valuation's row and the record that keeps it go to two topics at once, so that nobody waits longer for a figure than
without. A worker that is killed between the two has shown rows that are not kept. They stand in the changelog, whose
cleaner leaves them there for an hour; the next owner finds them at its end and keeps them then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.codec import order_of_term, row_order
from models.engine.tables import VALUATIONS
from models.served import is_of_account
from streams.kafka.consumer import start_consumer
from streams.kafka.topics import changelog_name, served_name
from streams.process.supervision import supervised, waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.kafka.record import Record
    from streams.settings import Settings
    from streams.transport.terms import Terms

_log = logging.getLogger(__name__)

# What is on its way at a kill is mostly less than a hundred rows, and never more than a flush lets be.
_READ_BACK = (1_000, 20_000)
_FETCH_WAIT_MS = 50
_MOST_RECORDS = 5_000
_RETRY_S = 1.0


class Kept(NamedTuple):
    """A row of an account as it stands in either topic."""

    key: bytes
    row: bytes

    @property
    def name(self) -> tuple[bytes, bytes]:
        """What tells it from all others of its partition."""
        return self.key, row_order(self.row)


class KeptRows(Protocol):
    """Where rows are kept."""

    def keep(self, partition: int, key: bytes, row: bytes) -> None:
        """Keep a row as it was shown.

        Args:
            partition: The key's partition.
            key: The account.
            row: The row, under the term under which it was shown.
        """

    def flush(self) -> None:
        """Let what is kept leave."""


def not_kept(shown: Sequence[Kept], kept: Iterable[Kept]) -> list[Kept] | None:
    """Find the rows that were shown and are not kept.

    Both are the ends of topics that one writer wrote in the same order, each cut off somewhere.

    Args:
        shown: The end of the changelog.
        kept: The end of ``served``.

    Returns:
        The rows behind the first one that stands in both; None where none does.
    """
    names = {one.name for one in kept}
    first = next((at for at, one in enumerate(shown) if one.name in names), None)
    return None if first is None else [one for one in shown[first:] if one.name not in names]


class ServedGap:
    """Looks for the gap of each partition that becomes ours, beside everything else.

    Args:
        settings: Name the topics.
        rows: Keep what is missing.
        terms: Say which partitions are owned, and under which terms.
        fatal: Ends the process without a commit.
    """

    def __init__(
        self, settings: Settings, rows: KeptRows, terms: Terms, fatal: Callable[[BaseException], None]
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._terms = terms
        self._fatal = fatal
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, partition: int) -> None:
        """Begin to complete what is kept of a partition that is ours from now on."""
        work = self._complete(partition, self._terms.term(partition))
        self._tasks.append(supervised(work, f"gap of served {partition}", self._fatal))

    async def stop(self) -> None:
        """Keep nothing more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _complete(self, partition: int, term: int) -> None:
        missing: Sequence[Kept] | None = None
        while missing is None:
            try:
                missing = await self._missing(partition, term)
            except (KafkaError, TimeoutError) as error:
                _log.warning("what was shown before is not looked for yet partition=%d cause=%r", partition, error)
                await asyncio.sleep(_RETRY_S)
        for one in missing:
            self._rows.keep(partition, one.key, one.row)
        if missing:
            self._rows.flush()
            _log.info("kept what the owner before had shown partition=%d rows=%d", partition, len(missing))

    async def _missing(self, partition: int, term: int) -> Sequence[Kept]:
        changelog = TopicPartition(changelog_name(self._settings, VALUATIONS), partition)
        served = TopicPartition(served_name(self._settings), partition)
        consumer = await start_consumer(self._settings.bootstrap, wait_ms=_FETCH_WAIT_MS, most_records=_MOST_RECORDS)
        try:
            consumer.assign([changelog, served])
            begins = await consumer.beginning_offsets([changelog, served])
            ends = await consumer.end_offsets([changelog, served])
            for count in _READ_BACK:
                tails = await _tails(consumer, {tp: (max(begins[tp], ends[tp] - count), ends[tp]) for tp in ends})
                shown, kept = _before(tails[changelog], term), _before(tails[served], term)
                missing = not_kept(shown, kept)
                if missing is None and not kept and ends[served] - count <= begins[served]:
                    # Nobody kept anything before us. An owner that was killed at once has shown its last rows at most.
                    missing = shown
                if missing is not None:
                    return missing
        finally:
            await waited_out(consumer.stop())
        # What was shown before is older than what is kept.
        return ()


async def _tails(
    consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, tuple[int, int]]
) -> dict[TopicPartition, list[Record[bytes]]]:
    """Read these offsets, from the first up to, and without, the second."""
    found: dict[TopicPartition, list[Record[bytes]]] = {tp: [] for tp in spans}
    for tp, (begin, _) in spans.items():
        consumer.seek(tp, begin)
    left = {tp for tp, (begin, end) in spans.items() if begin < end}
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=200)).items():
            found[tp] += [record for record in records if record.offset < spans[tp][1]]
        left = {tp for tp in left if await consumer.position(tp) < spans[tp][1]}
    return found


def _before(records: Iterable[Record[bytes]], term: int) -> list[Kept]:
    """The rows of accounts up to the first one that was written under our own term."""
    found: list[Kept] = []
    own = order_of_term(term)
    for record in records:
        if record.value is None or not is_of_account(record.key):
            continue
        if record.value.startswith(own):
            break
        found.append(Kept(record.key, record.value))
    return found
