"""Topics into which records of the past are written: meanwhile they keep everything, at the times that it was made."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from streams.kafka.topics import BadTopic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiokafka.admin import AIOKafkaAdminClient

    from streams.kafka.topics import Topic

# Records are of any age and size, and come in the order of their offsets, until all are there.
_WHILE_FILLED = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    "max.message.bytes": str(2 * 2**20),
}


@asynccontextmanager
async def being_filled(admin: AIOKafkaAdminClient, topic: Topic) -> AsyncIterator[None]:
    """Have a topic take records of the past for as long as the block lasts, and then be as it is registered.

    Where the block fails the topic stays as it is: what was written into it is to be gone on with, or deleted.

    Args:
        admin: Connected to the cluster, and may configure topics.
        topic: As it is to be in the end; there is one of its name.

    Raises:
        BadTopic: The cluster does not configure it.
        KafkaError: The cluster does not answer.
    """
    await _configure(admin, topic.name, {**topic.config, **_WHILE_FILLED})
    yield
    await configure_as_registered(admin, topic)


async def configure_as_registered(admin: AIOKafkaAdminClient, topic: Topic) -> None:
    """Give a topic the settings that it is registered with, and no others.

    Args:
        admin: Connected to the cluster, and may configure topics.
        topic: There is one of its name.

    Raises:
        BadTopic: The cluster does not configure it.
        KafkaError: The cluster does not answer.
    """
    await _configure(admin, topic.name, topic.config)


async def _configure(admin: AIOKafkaAdminClient, topic: str, config: Mapping[str, str]) -> None:
    answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(config))])
    for answer in answers:
        for code, message, *_ in answer.resources:
            if code:
                msg = f"expected the cluster to configure {topic}, found: {message or for_code(code).__name__}"
                raise BadTopic(msg)
