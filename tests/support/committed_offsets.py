"""What a group's coordinator says of the offsets that the group has committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.protocol.commit import OffsetFetchResponse_v3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import TopicPartition


def told_committed(committed: Mapping[TopicPartition, int], error_code: int = 0) -> OffsetFetchResponse_v3:
    """The answer to a request for them.

    Args:
        committed: The offsets.
        error_code: Why the coordinator does not tell them, by the protocol; 0 where it does.
    """
    topics: dict[str, list[tuple[int, int, str, int]]] = {}
    for place, offset in committed.items():
        topics.setdefault(place.topic, []).append((place.partition, offset, "", 0))
    return OffsetFetchResponse_v3(0, list(topics.items()), error_code)
