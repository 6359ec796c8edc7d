"""What a group has committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.admin import AIOKafkaAdminClient

# A broker makes the topic that has what is committed when it is first asked for a group, and reads a partition of it
# when it becomes the coordinator of its groups; either takes seconds.
_NOT_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
_WITHIN_S = 30.0
_AGAIN_S = (0.1, 1.0)


async def read_committed(admin: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Read the offsets that a group has committed, in a cluster where no group has ever been too.

    Args:
        admin: Is connected to the cluster.
        group: The group's name.

    Raises:
        KafkaError: The cluster does not answer, or has no coordinator for the group within half a minute that knows
            what it has committed.
    """
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + _WITHIN_S
    backoff = Backoff(*_AGAIN_S)
    while True:
        try:
            return await _read_once(admin, group)
        except _NOT_YET:
            if loop.time() >= ends_s:
                raise
            await asyncio.sleep(backoff.next_s())


async def _read_once(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    coordinator = await admin.find_coordinator(group)
    # The client's own method does not look at this error, and tells of a coordinator that has not read yet what is
    # committed as of a group that has committed nothing.
    response = await admin._send_request(OffsetFetchRequest(group, None), coordinator)  # noqa: SLF001 - no public way
    errors = [response.error_code, *(code for _, offsets in response.topics for _, _, _, code in offsets)]
    for code in filter(None, errors):
        msg = f"expected the offsets that group {group} has committed, found that its coordinator does not tell them"
        raise for_code(code)(msg)
    return {
        TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata)
        for topic, offsets in response.topics
        for partition, offset, metadata, _ in offsets
    }
