"""Records as aiokafka's parser makes them, without the ``ConsumerRecord`` that aiokafka makes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aiokafka.consumer.fetcher import FetchResult

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer


K_co = TypeVar("K_co", covariant=True)


class Record(Protocol[K_co]):
    """A record of a topic, without the fields that all records of its partition share; a ``ConsumerRecord`` is one too.

    In a ``Record[bytes]`` there is always a key, as in changelogs; in a ``Record[bytes | None]`` it may be absent.
    """

    @property
    def offset(self) -> int:
        """Its offset in its partition."""

    @property
    def timestamp(self) -> int:
        """When it was made, or appended where its topic is so configured, in Unix ms."""

    @property
    def key(self) -> K_co:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value, None for a tombstone."""


def hand_out_plain_records(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that was started hand out records as they were parsed.

    A ``ConsumerRecord`` takes 0.5 µs to make, as long as a tick takes to decode.
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
