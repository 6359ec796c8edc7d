"""Tables and topics as a replay fills them, where a replica would read them from Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiokafka import TopicPartition

from streams.kafka.feed import CurrentRows
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import SERVED, topic_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.kafka.reader import TopicReader
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.replay.bounded_log import LogRecord
    from streams.settings import Settings


class ReplayedRecord(NamedTuple):
    """A record as readers of topics take it; ``timestamp`` is in Unix ms."""

    key: bytes
    value: bytes | None
    offset: int
    timestamp: int


class ReplayedFeed(CurrentRows):
    """The rows of a table as of where the replay stands.

    Args:
        table: The table.
        clock: The replay's.
    """

    is_ready = True
    lag_records = 0

    def __init__(self, table: str, clock: Clock) -> None:
        super().__init__(table)
        self._clock = clock

    @property
    def answered_ms(self) -> int:
        """The instant that the rows are of, Unix ms."""
        return self._clock.now_ms()

    async def wait_ready(self) -> None:
        """Return: nobody sees it before it was filled."""

    def take(self, rows: Iterable[tuple[bytes, bytes]], at_ms: int) -> None:
        """Take keys and rows in, in the order in which they were written.

        Args:
            rows: They are encoded.
            at_ms: As of when, Unix ms.
        """
        self.take_in(([ReplayedRecord(key, row, 0, at_ms) for key, row in rows],))


def tell(reader: TopicReader, records: Sequence[LogRecord]) -> None:
    """Have a reader of a topic take in what stood there.

    Args:
        reader: It was not started.
        records: In the order of the log.
    """
    parts: dict[TopicPartition, list[Record[bytes]]] = {}
    for one in records:
        record = ReplayedRecord(one.key or b"", one.value, one.offset, one.time_ms)
        parts.setdefault(TopicPartition(one.topic, one.partition), []).append(record)
    reader.tell(parts)


class ReplayedRecords:
    """Takes what clients say to a replay, and writes nothing to any cluster.

    What a reader of this replica alone would hear again, such as that a login's nonce is used, it hears. What is kept
    of figures is not kept again. All else, such as an order or a ledger's event, is refused.

    Args:
        settings: Name the topics.
        clock: The replay's.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._said = 0
        self.readers: Mapping[str, TopicReader] = {}
        """By the full name of the topic."""

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Take a record.

        Args:
            topic: Name of a topic, without the prefix.
            key: Its key.
            value: Its value.

        Raises:
            NotWritten: It would have changed something for others than this replica.
        """
        if topic.startswith(f"{SERVED}-"):
            return
        reader = self.readers.get(topic_name(self._settings, topic))
        if reader is None:
            msg = f"expected nothing to be written to {topic}, since this is a replay of the past, found a record"
            raise NotWritten(msg)
        self._said += 1
        record = ReplayedRecord(key, value, self._said, self._clock.now_ms())
        reader.tell({TopicPartition(reader.topic, 0): [record]})


class ReplayedInterest:
    """Hears which accounts are watched; in a replay every row is brought up to date."""

    def watch(self, account: bytes) -> None:
        """Nobody has to be told."""

    def unwatch(self, account: bytes) -> None:
        """Nobody has to be told."""
