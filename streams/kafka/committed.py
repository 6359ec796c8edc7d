"""What a group has committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.structs import OffsetAndMetadata

# A broker makes the topic that has what is committed when it is first asked for a group, which takes seconds.
_WITHIN_S = 30.0
_AGAIN_S = (0.1, 1.0)


async def read_committed(admin: AIOKafkaAdminClient, group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Read the offsets that a group has committed, in a cluster where no group has ever been too.

    Args:
        admin: Is connected to the cluster.
        group: The group's name.

    Raises:
        KafkaError: The cluster does not answer, or has no coordinator for the group within half a minute.
    """
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + _WITHIN_S
    backoff = Backoff(*_AGAIN_S)
    while True:
        try:
            committed: Mapping[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            if loop.time() >= ends_s:
                raise
            await asyncio.sleep(backoff.next_s())
        else:
            return committed
