"""The tables, and the one way to write a row: into a partition that is owned, store first, then changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import faust
from yarl import URL

from models.codec import decode_order, join_row, order_of_term
from models.engine.tables import TABLES
from models.row_keys import key_test
from streams.kafka.deadletter import DeadLetters, encode_dead_letter
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, bookings_name, changelog_name, served_name, topic_name
from streams.process.unreadable_rows import note_foreign_key
from streams.transport.partition_rows import PartitionRows
from streams.transport.publisher import Receipt, check_size
from streams.transport.stores import MemoryStore, RocksStore, RowStore
from streams.transport.terms import Superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from models.engine.step import Served, Stage, Step, Write
    from models.errors import TidemarkError
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.publisher import Charge
    from streams.transport.slices import Slice
    from streams.transport.terms import Terms


class RowTable(faust.Table):  # type: ignore[misc]
    """A Faust table whose rows are written and read by partition and key."""

    def _new_store_by_url(self, url: str | URL) -> RowStore:
        # Stock stores write to the partition of whatever event is current, and keep what was revoked.
        store = MemoryStore if URL(url).scheme == "memory" else RocksStore
        return store(URL(url), self.app, self, table_name=self.name)


def _nothing(_stage: Stage) -> None:
    """Does nothing: nobody asked to hear of stages."""


class Uncharged:
    """The charge of records nothing waits for but the publisher's own drain."""

    def opened(self) -> None:
        """Does nothing: nobody waits for the record."""

    def acked(self, count: int) -> None:
        """Does nothing: nobody waits for the ``count`` records."""


UNCHARGED = Uncharged()


class Outlet(Protocol):
    """What rows and outputs leave through."""

    @property
    def unsent(self) -> int:
        """Records appended that have not left yet."""

    @property
    def unacked(self) -> int:
        """Records appended and not acknowledged yet."""

    def append(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        """Send a record with the next flush.

        Args:
            topic: Its topic's full name.
            partition: The partition.
            key: The record's key.
            value: The record's value.
            charge: What is not complete before the broker has it.
        """

    def flush(self, *, at_once: bool = False) -> None:
        """Let what was appended leave.

        Args:
            at_once: Whether something cannot go on before it is acknowledged.
        """

    async def drain(self) -> None:
        """Wait until everything appended is acknowledged."""


class Rows:
    """Reads and writes rows of owned partitions.

    Args:
        settings: Name the topics and the changelogs.
        stores: One for each table.
        publisher: Sends what is written.
        terms: Say which partitions are owned, and under which terms.
        clock: Tells when a record was refused.
        on_restated: Called with table, partition and key of a row that was written again under another term.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Mapping[str, RowStore],
        publisher: Outlet,
        terms: Terms,
        *,
        clock: Clock,
        on_restated: Callable[[str, int, bytes], None],
    ) -> None:
        self._stores = stores
        self._publisher = publisher
        self._terms = terms
        self._on_restated = on_restated
        self.partitions = settings.topics.partitions
        self._letters = DeadLetters(clock)
        self._served_topic = served_name(settings)
        self._bookings_topic = bookings_name(settings)
        self._letters_topic = topic_name(settings, DEAD_LETTERS)
        self._changelogs = {name: changelog_name(settings, name) for name in TABLES}
        self._tables_of = {changelog: name for name, changelog in self._changelogs.items()}

    def of_partition(self, partition: int) -> PartitionRows:
        """The rows of one partition, as the engine asks for them."""
        return PartitionRows(self._stores, partition)

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key and row of a partition; one under a key that the table cannot have is noted, and passed over."""
        is_key = key_test(table)
        for key, row in self._stores[table].rows(partition):
            if is_key(key):
                yield key, row
            else:
                note_foreign_key(table, key, row)

    def put(self, partition: int, write: Write, charge: Charge = UNCHARGED) -> None:
        """Write a row under the owner's term.

        Args:
            partition: The key's partition.
            write: The row.
            charge: What is not complete before the broker has the row.

        Raises:
            NotOwner: The partition is not ours.
            RecordTooLarge: The broker would refuse the row; the store is as it was.
        """
        row = join_row(self._terms.term(partition), write.version, write.body)
        self._put(write.table, partition, write.key, row, charge)

    def put_shown(self, partition: int, write: Write) -> None:
        """Write a row that is shown, and in the same stage the record that keeps it when the row is another.

        Either may be durable without the other when the worker is killed: ``ServedGap`` keeps then what was shown, and
        a record of what never was has a row of a later term behind it. Arguments and errors are those of ``put``.
        """
        row = join_row(self._terms.term(partition), write.version, write.body)
        self._put(write.table, partition, write.key, row, UNCHARGED)
        self._publisher.append(self._served_topic, partition, write.key, row, UNCHARGED)

    def put_served(self, partition: int, served: Served) -> None:
        """Keep something that is shown and is no row of its own; errors are those of ``put``.

        Args:
            partition: The partition whose owner says it.
            served: The record.
        """
        value = join_row(self._terms.term(partition), served.version, served.body)
        self._publisher.append(self._served_topic, partition, served.key, value, UNCHARGED)

    def keep(self, partition: int, key: bytes, row: bytes) -> None:
        """Keep a row that an owner before has shown, as it was.

        Args:
            partition: The key's partition.
            key: The account.
            row: The row, under the term under which it was shown.
        """
        self._publisher.append(self._served_topic, partition, key, row, UNCHARGED)

    def put_stage(self, partition: int, stage: Stage, charge: Charge = UNCHARGED) -> None:
        """Write what is in a stage, and the rows again that it rests on; arguments and errors are those of ``put``."""
        for write in stage.writes:
            self.put(partition, write, charge)
        for table, key in stage.rests_on:
            self.restate(table, partition, key, charge)
        for booked in stage.bookings:
            self._publisher.append(self._bookings_topic, partition, booked.key, booked.value, charge)

    async def put_step(
        self, partition: int, step: Step, charge: Charge, on_written: Callable[[Stage], None] = _nothing
    ) -> None:
        """Write a step, each stage when the broker has the one before; the last one is charged to ``charge``.

        Args:
            partition: The partition of all its keys.
            step: The step.
            charge: What is not complete before the broker has the last stage.
            on_written: Called with each stage when the store has its rows, and the broker may not have them yet.
        """
        for at, stage in enumerate(step.stages, start=1):
            if at == len(step.stages):
                self.put_stage(partition, stage, charge)
                on_written(stage)
                return
            receipt = Receipt()
            self.put_stage(partition, stage, receipt)
            on_written(stage)
            self._publisher.flush(at_once=True)
            await receipt.acknowledged()

    def begin(self, changelog: str, partition: int, first: int, end: int) -> int:
        """Find where a changelog is to be read on into its store; rows that are of another one are dropped.

        Args:
            changelog: The changelog's full name.
            partition: The partition.
            first: The first offset that it holds.
            end: The offset behind its last record.
        """
        return self._store_of(changelog).begin(partition, changelog, first, end)

    def restore(self, changelog: str, partition: int, records: Sequence[Record[bytes]]) -> None:
        """Apply records of a changelog to its store.

        Args:
            changelog: The changelog's full name.
            partition: The partition that they are of.
            records: The records, by offset.
        """
        self._store_of(changelog).restore(partition, records)

    def restored(self, changelog: str, partition: int, end: int) -> None:
        """Take note that a changelog has been read to an end.

        Args:
            changelog: The changelog's full name.
            partition: The partition that was read.
            end: Offset up to, and without, which it was read.
        """
        self._store_of(changelog).restored(partition, end)

    def newest_term(self, records: Sequence[Record[bytes]]) -> int:
        """The highest term in records of a changelog, -1 where none has one."""
        return max((decode_order(record.value)[0] for record in records if record.value is not None), default=-1)

    def restate(self, table: str, partition: int, key: bytes, charge: Charge = UNCHARGED) -> None:
        """Write the current row of a key again under our term, where it is under another.

        A record that was delivered again and changed nothing rests on that row, and is about to be committed. Under its
        old term a late row of a fenced owner could hide it.

        Args:
            table: The table.
            partition: The key's partition.
            key: The key; where it has no row, nothing is written.
            charge: What is not complete before the broker has the row.
        """
        row, head = self._stores[table].get(partition, key), order_of_term(self._terms.term(partition))
        if row is not None and not row.startswith(head):
            self._restate(table, partition, key, row, charge)

    def _restate(self, table: str, partition: int, key: bytes, row: bytes, charge: Charge) -> None:
        head = order_of_term(self._terms.term(partition))
        self._put(table, partition, key, head + row[len(head) :], charge)
        self._on_restated(table, partition, key)

    def rewrite_overwritten(self, partition: int) -> int:
        """Write the rows of a partition again, under our term, whose last restored record is a fenced owner's.

        Returns:
            How many there are.
        """
        rewritten = 0
        for table, store in self._stores.items():
            for key in sorted(store.overwritten(partition)):
                self.restate(table, partition, key)
                rewritten += 1
        return rewritten

    def heard(self, changelog: str, partition: int, records: Sequence[Record[bytes]]) -> int:
        """Look through records of an owned changelog, and write our row again behind each of a fenced owner.

        Its order does not matter: a reader may have the fenced owner's row already, and must end with ours.

        Args:
            changelog: The changelog's full name.
            partition: The partition that the records are of.
            records: The records, by offset.

        Returns:
            How many rows were written again.

        Raises:
            Superseded: A later owner writes there.
        """
        if not self._terms.owns(partition):
            return 0
        term = self._terms.term(partition)
        # A fenced owner's row may stand behind a later owner's of the same key.
        if self.newest_term(records) > term:
            msg = f"expected to own partition {partition} of {changelog} under term {term}, found it under a later"
            raise Superseded(msg)
        head = order_of_term(term)
        strange = {one.key for one in records if one.value is None or not one.value.startswith(head)}
        table = self._tables_of[changelog]
        rewritten = 0
        for key in sorted(strange):
            row = self._stores[table].get(partition, key)
            if row is not None:
                self._restate(table, partition, key, row, UNCHARGED)
                rewritten += 1
        if rewritten:
            self._publisher.flush()
        return rewritten

    def _store_of(self, changelog: str) -> RowStore:
        return self._stores[self._tables_of[changelog]]

    def send(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        """Send an output record that is no row.

        Args:
            topic: Its topic's full name.
            partition: The partition.
            key: The record's key.
            value: The record's value.
            charge: What is not complete before the broker has it.
        """
        self._publisher.append(topic, partition, key, value, charge)

    def refuse(self, part: Slice, record: Record[bytes | None], error: TidemarkError, fault: str | None = None) -> None:
        """Put a record that cannot be read or folded on dead-letters, with its cause and offset; a repeat is counted.

        Args:
            part: The slice that the record is of; the dead letter is charged to it.
            record: The record.
            error: Why it is refused.
            fault: What is at fault, where another record of the same fault is a repeat although its reason differs.
        """
        key, value, position = record.key or b"", record.value or b"", (part.partition, record.offset)
        letter = self._letters.refuse(part.tp.topic, value, error, key=key, position=position, fault=fault)
        if letter is not None:
            partition = partition_of(key, self.partitions)
            self.send(self._letters_topic, partition, key, encode_dead_letter(letter), part)

    def _put(self, table: str, partition: int, key: bytes, row: bytes, charge: Charge) -> None:
        check_size(table, key, row)
        self._stores[table].put(partition, key, row)
        self._publisher.append(self._changelogs[table], partition, key, row, charge)

    def flush(self) -> None:
        """Let what was written leave."""
        self._publisher.flush()

    async def drain(self) -> None:
        """Wait until everything written is acknowledged."""
        await self._publisher.drain()

    @property
    def unsent(self) -> int:
        """Records written that no ``flush`` has let leave yet."""
        return self._publisher.unsent

    @property
    def unacked(self) -> int:
        """Records written and not acknowledged yet."""
        return self._publisher.unacked

    def acknowledged(self, topic: str, partition: int, rows: list[tuple[bytes, bytes]], first_offset: int) -> None:
        """The broker acknowledged a batch; if it was of a changelog, its rows are durable.

        Rows from before this ownership count as a fenced owner's, even our own: recovery reads them. The follower
        passes over what we wrote, and need not read them: a process that gives a partition up with rows on their way
        owns nothing again (``SliceConsumer.wait_empty``).

        Args:
            topic: The full name of the batch's topic.
            partition: The partition.
            rows: Key and value of each record.
            first_offset: Offset of the first one; the others follow it.
        """
        table = self._tables_of.get(topic)
        if table is None or not self._terms.owns(partition):
            return
        head = order_of_term(self._terms.term(partition))
        if all(row.startswith(head) for _, row in rows):
            self._stores[table].acknowledged(partition, rows, first_offset)

    def keep_only(self, partitions: Collection[int]) -> None:
        """Forget the rows of partitions that went to others."""
        for store in self._stores.values():
            for partition in set(range(self.partitions)) - set(partitions):
                store.forget(partition)

    def forget_unacked(self) -> None:
        """Drop rows that the broker did not acknowledge."""
        for store in self._stores.values():
            store.forget_unacked()
