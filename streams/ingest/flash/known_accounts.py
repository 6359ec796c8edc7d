"""Reading, after a start, what of a deployment's accounts is on its topics already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from streams.kafka.reader import TopicReader
from streams.kafka.topics import topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiokafka import TopicPartition

    from streams.ingest.flash.account_journal import AccountJournal
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap


async def read_known(settings: Settings, deployment: str, journal: AccountJournal, clock: Clock) -> None:
    """Hand a journal every record of its deployment.

    Args:
        settings: Name the topics and the broker.
        deployment: The deployment.
        journal: Takes the records.
        clock: Tells when the broker last answered.

    Raises:
        TopicMissing: There is no such topic.
        KafkaError: The broker cannot be reached.
    """
    for topic in (FLASH_ACCOUNTS, FLASH_REFERENCES):
        reader = _Known(settings.bootstrap, topic_name(settings, topic), clock, deployment, journal.restore)
        await reader.start()
        try:
            await reader.wait_ready()
        finally:
            await reader.stop()


class _Known(TopicReader):
    """Reads the records of one deployment.

    Args:
        bootstrap: How the cluster is reached.
        topic: The topic's full name.
        clock: Tells when the broker last answered.
        deployment: The deployment.
        take: Takes what follows the deployment in a record's key, and the record.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        topic: str,
        clock: Clock,
        deployment: str,
        take: Callable[[str, bytes | None], None],
    ) -> None:
        super().__init__(bootstrap, topic, clock)
        self._prefix = f"{deployment}:".encode()
        self._restore = take

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for records in fetched.values():
            for record in records:
                if record.key.startswith(self._prefix):
                    name = record.key[len(self._prefix) :].decode(errors="replace")
                    self._restore(name, record.value)
