"""Records as aiokafka's parser makes them, instead of a ``ConsumerRecord`` made of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aiokafka.consumer.fetcher import FetchResult

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer


K_co = TypeVar("K_co", covariant=True)


class Record(Protocol[K_co]):
    """A record of a topic, without what all records of its partition have in common; a ``ConsumerRecord`` is one too.

    ``Record[bytes]`` where every record has a key, as in changelogs; ``Record[bytes | None]`` where that is to be seen.
    """

    @property
    def offset(self) -> int:
        """Where in its partition it stands."""

    @property
    def timestamp(self) -> int:
        """When it was made or appended, as its topic says, in ms."""

    @property
    def key(self) -> K_co:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value, None for a tombstone."""


def hand_out_plain_records(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that was started hand out ``Record``.

    A ``ConsumerRecord`` takes 0.5 µs to make, as long as it takes to decode a tick.
    """
    fetcher = consumer._fetcher
    receive = fetcher._proc_fetch_request

    async def receive_plain(assignment: Any, node_id: int, request: Any) -> bool:
        has_new_data: bool = await receive(assignment, node_id, request)
        for result in fetcher._records.values():
            if isinstance(result, FetchResult) and result._partition_records is not None:
                result._partition_records._consumer_record = _as_parsed
        return has_new_data

    fetcher._proc_fetch_request = receive_plain


def _as_parsed(tp: Any, record: Record[Any]) -> Record[Any]:
    del tp
    return record
