"""The tables, and the one way to write a row: into a partition that is owned, store first, then changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faust
from yarl import URL

from models.codec import ORDER_BYTES, decode_order, encode_row, join_row, order_of_term
from streams.kafka.deadletter import dead_letter, encode_dead_letter
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, TABLES, changelog_name, topic_name
from streams.transport.publisher import check_size
from streams.transport.stores import MemoryStore, RocksStore, RowStore
from streams.transport.terms import Superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from models.errors import TidemarkError
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.publisher import Charge, Publisher
    from streams.transport.slices import Slice
    from streams.transport.terms import Terms


class RowTable(faust.Table):  # type: ignore[misc]
    """A Faust table whose rows are written and read by partition and key."""

    def _new_store_by_url(self, url: str | URL) -> RowStore:
        # Stock stores write to the partition of whatever event is current, and keep what was revoked.
        store = MemoryStore if URL(url).scheme == "memory" else RocksStore
        return store(URL(url), self.app, self, table_name=self.name)


class Uncharged:
    """The charge of records nothing waits for but the publisher's own drain."""

    def opened(self) -> None:
        """One more record."""

    def acked(self, count: int) -> None:
        """``count`` records are acknowledged."""


_UNCHARGED = Uncharged()


class Rows:
    """Reads and writes rows of owned partitions.

    ``on_restated`` is called with table, partition and key of a row that was written again under another term.
    """

    def __init__(
        self, settings: Settings, stores: Mapping[str, RowStore], publisher: Publisher, terms: Terms, clock: Clock
    ) -> None:
        self._stores = stores
        self._publisher = publisher
        self._terms = terms
        self._clock = clock
        self.partitions = settings.topics.partitions
        self.on_restated: Callable[[str, int, bytes], None] | None = None
        self._dead_letters = topic_name(settings, DEAD_LETTERS)
        self._changelogs = {name: changelog_name(settings, name) for name in TABLES}
        self._tables_of = {changelog: name for name, changelog in self._changelogs.items()}

    def get(self, table: str, partition: int, key: bytes) -> bytes | None:
        """Read a row as it is encoded, None where there is none."""
        return self._stores[table].get(partition, key)

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key and row of a partition."""
        return self._stores[table].rows(partition)

    def write(
        self,
        table: str,
        partition: int,
        key: bytes,
        row: tuple[int, Mapping[str, Any]],
        charge: Charge = _UNCHARGED,
    ) -> None:
        """Write a row, given as version and body, under the owner's term.

        Raises:
            NotOwner: The partition is not ours.
            RecordTooLarge: The broker would refuse the row; the store is as it was.
        """
        self._put(table, partition, key, encode_row(self._terms.term(partition), *row), charge)

    def write_if_changed(
        self, table: str, partition: int, key: bytes, standing: bytes | None, encoded_body: bytes
    ) -> bool:
        """Write a derived row under the next version, where its body is another than that of the row that stands.

        Returns:
            Whether it was written.
        """
        if standing is not None and standing[ORDER_BYTES:] == encoded_body:
            return False
        version = 0 if standing is None else decode_order(standing)[1]
        row = join_row(self._terms.term(partition), version + 1, encoded_body)
        self._put(table, partition, key, row, _UNCHARGED)
        return True

    def restored_to(self, changelog: str, partition: int) -> int | None:
        """Offset up to which a changelog is in its store, None where nothing is."""
        return self._store_of(changelog).restored_to(partition)

    def restore(self, changelog: str, partition: int, records: Sequence[Record[bytes]]) -> None:
        """Apply records of a changelog to its store, in their order."""
        self._store_of(changelog).restore(partition, records)

    def restored(self, changelog: str, partition: int, end: int) -> None:
        """A changelog has been read up to, and without, offset ``end``."""
        self._store_of(changelog).restored(partition, end)

    def newest_term(self, records: Sequence[Record[bytes]]) -> int:
        """The highest term in records of a changelog, -1 where none has one."""
        return max((decode_order(record.value)[0] for record in records if record.value is not None), default=-1)

    def restate(self, table: str, partition: int, key: bytes, charge: Charge = _UNCHARGED) -> None:
        """Write the row that stands again, under our term, where it is under another.

        What was delivered again and changes nothing rests on that row, and is about to be committed. Under its old term
        a late row of the owner between could hide it.
        """
        row, head = self._stores[table].get(partition, key), order_of_term(self._terms.term(partition))
        if row is not None and not row.startswith(head):
            self._restate(table, partition, key, row, charge)

    def _restate(self, table: str, partition: int, key: bytes, row: bytes, charge: Charge) -> None:
        head = order_of_term(self._terms.term(partition))
        self._put(table, partition, key, head + row[len(head) :], charge)
        if self.on_restated is not None:
            self.on_restated(table, partition, key)

    def rewrite_overwritten(self, partition: int) -> int:
        """Write the rows of a partition again, under our term, whose last record, as it was restored, is a stranger's.

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
        """Look at what stands in a changelog of an owned partition; write rows again behind which a stranger's stands.

        Whatever its order: a reader may have it already, and our own row must be the one that it keeps.

        Returns:
            How many were written again.

        Raises:
            Superseded: A later owner writes there.
        """
        if not self._terms.owns(partition):
            return 0
        term = self._terms.term(partition)
        head = order_of_term(term)
        strange: dict[bytes, bytes | None] = {}
        for record in records:
            value = record.value
            if value is None or not value.startswith(head):
                strange[record.key] = value
            elif strange:
                strange.pop(record.key, None)
        table = self._tables_of[changelog]
        rewritten = 0
        for key, value in strange.items():
            if value is not None and decode_order(value)[0] > term:
                msg = f"expected to own partition {partition} of {changelog} under term {term}, found it under a later"
                raise Superseded(msg)
            row = self._stores[table].get(partition, key)
            if row is not None:
                self._restate(table, partition, key, row, _UNCHARGED)
                rewritten += 1
        if rewritten:
            self._publisher.flush()
        return rewritten

    def _store_of(self, changelog: str) -> RowStore:
        return self._stores[self._tables_of[changelog]]

    def send(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        """Send an output record that is no row."""
        self._publisher.append(topic, partition, key, value, charge)

    def refuse(self, part: Slice, record: Record[bytes | None], error: TidemarkError) -> None:
        """Put a record of a slice that cannot be read or folded on dead-letters, with its cause and position."""
        key = record.key or b""
        letter = dead_letter(
            part.tp.topic,
            record.value or b"",
            error,
            at_ms=self._clock.now_ms(),
            key=key,
            position=(part.partition, record.offset),
        )
        self.send(self._dead_letters, partition_of(key, self.partitions), key, encode_dead_letter(letter), part)

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

        Rows from before this ownership are a stranger's, though they are our own: recovery or the follower hears them.
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
