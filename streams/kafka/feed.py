"""A table as its readers see it: all partitions of its changelog, read into memory without a consumer group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from models.codec import row_order
from models.row_keys import key_test
from streams.kafka.reader import TopicReader
from streams.kafka.topics import changelog_name
from streams.process.unreadable_rows import note_foreign_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiokafka import TopicPartition

    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap


class CurrentRows:
    """The current row of every key of one changelog, told to whoever listens.

    Rows are ordered by (term, version). A row below the current one is ignored, so a fenced owner's late row has no
    effect. So is one whose key the table cannot have: nobody who listens could take it apart.

    Args:
        table: The table.

    Attributes:
        newest_ms: The greatest timestamp of a record that was taken in, in Unix ms; 0 before the first.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._is_key = key_test(table)
        self._rows: dict[bytes, bytes] = {}
        self._listeners: list[Callable[[Sequence[bytes]], None]] = []
        self._row_listeners: list[Callable[[bytes, bytes], None]] = []
        self.newest_ms = 0

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """The current rows by key, as ``models.codec`` encodes them."""
        return self._rows

    def listen(self, on_rows: Callable[[Sequence[bytes]], None]) -> None:
        """Call ``on_rows`` in the loop with the keys that changed, whenever ``rows`` holds new rows for them."""
        self._listeners.append(on_rows)

    def listen_rows(self, on_row: Callable[[bytes, bytes], None]) -> None:
        """Call ``on_row`` with the key and the value of each row in log order, also of those that are soon replaced."""
        self._row_listeners.append(on_row)

    def take_in(self, parts: Iterable[Sequence[Record[bytes]]]) -> None:
        """Take records in, those of each partition in the order of the log, and tell what changed."""
        changed: list[bytes] = []
        for records in parts:
            changed += self._apply(records)
        if changed:
            for on_rows in self._listeners:
                on_rows(changed)

    def take_written(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Take rows in that this process has written and the broker has acknowledged, before they are read back.

        Whichever comes first, the order of rows decides which one is current, so that it makes no difference whether
        they are read back too.

        Args:
            rows: Keys and rows, those of a partition in the order of the log.
        """
        changed = [key for key, row in rows if self._put(key, row)]
        if changed:
            for on_rows in self._listeners:
                on_rows(changed)

    def _apply(self, records: Sequence[Record[bytes]]) -> list[bytes]:
        rows = self._rows
        changed = []
        for record in records:
            key, value = record.key, record.value
            if value is None:
                if rows.pop(key, None) is not None:
                    changed.append(key)
                continue
            if self._put(key, value):
                changed.append(key)
        self.newest_ms = max(self.newest_ms, records[-1].timestamp)
        return changed

    def _put(self, key: bytes, row: bytes) -> bool:
        """Take a row in; False where it is below the current one, or none of the table's."""
        current = self._rows.get(key)
        if current is None:
            if not self._is_key(key):
                note_foreign_key(self._table, key, row)
                return False
        elif row_order(row) < row_order(current):
            return False
        self._rows[key] = row
        for on_row in self._row_listeners:
            on_row(key, row)
        return True


class Feed(CurrentRows, TopicReader):
    """The rows of a changelog that is read from Kafka.

    Args:
        bootstrap: How the cluster is reached.
        topic: The changelog's full name.
        clock: Tells when the broker last answered.
        table: The table whose changelog it is.
    """

    def __init__(self, bootstrap: Bootstrap, topic: str, clock: Clock, *, table: str) -> None:
        CurrentRows.__init__(self, table)
        TopicReader.__init__(self, bootstrap, topic, clock)

    @classmethod
    def of(cls, settings: Settings, table: str, clock: Clock) -> Self:
        """Make the feed of a deployment's table.

        Args:
            settings: Name the cluster, and its topics.
            table: The table.
            clock: Tells when the broker last answered.
        """
        return cls(settings.bootstrap, changelog_name(settings, table), clock, table=table)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        self.take_in(fetched.values())
